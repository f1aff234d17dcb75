"""The project's own tools, as processes."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tools.vulnerabilities import verdict

ROOT = Path(__file__).resolve().parents[2]


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"over tls"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_a_loopback_server_can_be_offered_over_tls(tmp_path: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    command = [sys.executable, "-u", str(ROOT / "tools/expose.py"), "--ca", str(tmp_path / "ca.pem")]
    command += ["--to", f"127.0.0.1:{server.server_port}", "--address", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            url = process.stdout.readline().removeprefix("listening on ").strip()
            context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
            opener = urllib.request.build_opener(
                urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
            )
            with opener.open(url, timeout=10) as answer:
                assert answer.read() == b"over tls"
        finally:
            process.terminate()
    server.shutdown()
    server.server_close()


@pytest.fixture
def bare_copy(tmp_path: Path) -> Path:
    """What `tools/setup` reads, in a folder with a space in its name."""
    folder = tmp_path / "a copy"
    for name in ("tools/setup", "requirements/dev.txt", "pyproject.toml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


def setup_with_pythons(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run `tools/setup` where every Python is this shell script."""
    programs = folder / "programs"
    programs.mkdir()
    for name in ("cat", "cksum", "dirname", "pwd", "sed", "sh", "rm"):
        (programs / name).symlink_to(shutil.which(name) or name)
    for name in ("python3.13", "python3.12", "python3.11", "python3", "python"):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    environment = {"PATH": str(programs), "HOME": ""}
    return subprocess.run([folder / "tools/setup"], env=environment, capture_output=True, text=True, check=False)  # noqa: S603


def test_setup_says_so_when_no_python_fits(bare_copy: Path) -> None:
    done = setup_with_pythons(bare_copy, "exit 1")
    assert done.returncode == 1
    assert "Python 3.11, 3.12 or 3.13 is needed" in done.stderr
    assert not (bare_copy / ".venv").exists()


def test_setup_says_so_when_venv_is_missing(bare_copy: Path) -> None:
    done = setup_with_pythons(bare_copy, 'case "$2" in *venv*) exit 1 ;; *) exit 0 ;; esac')
    assert done.returncode == 1
    assert "python3-venv" in done.stderr


def test_setup_does_nothing_where_nothing_has_changed(bare_copy: Path) -> None:
    (bare_copy / ".venv/bin").mkdir(parents=True)
    (bare_copy / ".venv/bin/python").symlink_to(sys.executable)
    files = [bare_copy / name for name in ("requirements/dev.txt", "pyproject.toml", "tools/setup")]
    content = b"".join(path.read_bytes() for path in files)
    checksum = subprocess.run(["cksum"], input=content, capture_output=True, check=True).stdout.decode()  # noqa: S607
    (bare_copy / ".venv/.ready").write_text(f"{checksum}{bare_copy}\n")
    done = subprocess.run(  # noqa: S603
        [bare_copy / "tools/setup"], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_end_to_end_tests_are_never_green_without_an_engine(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("docker", "dockerd"):
        (programs / name).write_text("#!/bin/sh\necho cannot start here >&2\nexit 1\n")
        (programs / name).chmod(0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "E2E_STATE": str(tmp_path / "state")}
    done = subprocess.run([ROOT / "tools/e2e/run"], env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 75
    assert "NOTHING WAS TESTED" in done.stderr.splitlines()[-1]
    assert done.stdout == ""


def test_byte_code_is_made_without_what_the_image_does_not_carry() -> None:
    without_rich = "import sys; sys.modules['rich'] = None; sys.argv[:] = ['x']; import tools.bytecode as made; "
    command = [
        sys.executable,
        "-c",
        f"{without_rich}made.import_everything(); print('dbt_cloud_run.post' in sys.modules)",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


CLEAN = {"name": "httpx", "version": "0.28.1", "vulns": []}
BAD = {"name": "idna", "version": "3.1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3.2"]}]}
SKIPPED = {"name": "certifi", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "status", "strict_status", "words"),
    [
        ([CLEAN], 0, 0, ["none is known of the 1 packages"]),
        ([CLEAN, BAD], 1, 1, ["idna 3.1: PYSEC-1, fixed in 3.2"]),
        ([CLEAN, SKIPPED], 0, 1, ["NOT CHECKED here: 1 of 2 packages"]),
        ([BAD, SKIPPED], 1, 1, ["PYSEC-1", "NOT CHECKED"]),
        ([], 0, 1, ["NOT CHECKED"]),
        (None, 0, 1, ["NOT CHECKED"]),
    ],
)
def test_a_package_that_was_not_looked_up_is_not_called_clean(
    packages: list[dict[str, object]] | None, status: int, strict_status: int, words: list[str]
) -> None:
    text = "" if packages is None else json.dumps({"dependencies": packages})
    assert verdict(text, strict=True)[0] == strict_status
    assert verdict(text, strict=False)[0] == status
    lines = verdict(text, strict=False)[1]
    assert len(lines) == len(words)
    assert all(word in line for word, line in zip(words, lines, strict=True))
