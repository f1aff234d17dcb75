"""An Azure blob server (Azurite) and the official artifact client, both from npm, in a folder that Git ignores."""

from __future__ import annotations

import base64
import hashlib
import hmac
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

PACKAGES = ("azurite@3.35.0", "@actions/artifact@6.2.1")
FOLDER = Path(__file__).parents[2] / "build" / "artifact-tools"
VERSION = "2020-10-02"
ACCOUNT = "devstoreaccount1"
# The published key of the emulated account: a constant of Azurite's documentation, no secret.
KEY = base64.b64decode("Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==")


def install() -> Path:
    """Install what is missing; gives the folder that holds `node_modules`."""
    done = FOLDER / "installed"
    if not done.exists() or done.read_text() != " ".join(PACKAGES):
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / "package.json").write_text('{"private": true}')
        npm = shutil.which("npm")
        assert npm
        options = ["--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
        subprocess.run([npm, "install", *options, *PACKAGES], cwd=FOLDER, check=True, timeout=240)  # noqa: S603
        done.write_text(" ".join(PACKAGES))
    return FOLDER


class Azurite:
    """A running server with one container, `artifacts`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def signed(self, blob: str, permissions: str) -> str:
        """A service SAS for one blob, as storage with signatures of this version wants it."""
        expiry = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        resource = f"/blob/{ACCOUNT}/artifacts/{blob}"
        fields = [permissions, "", expiry, resource, "", "", "", VERSION, "b", "", "", "", "", "", ""]
        query = {"sv": VERSION, "sr": "b", "sp": permissions, "se": expiry, "sig": _sign("\n".join(fields))}
        return f"{self.url}/{ACCOUNT}/artifacts/{blob}?{urlencode(query)}"

    def create_container(self) -> None:
        expiry = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        fields = [ACCOUNT, "rwc", "b", "c", "", expiry, "", "", VERSION, ""]
        query = {"sv": VERSION, "ss": "b", "srt": "c", "sp": "rwc", "se": expiry, "sig": _sign("\n".join(fields))}
        url = f"{self.url}/{ACCOUNT}/artifacts?restype=container&{urlencode(query)}"
        request = urllib.request.Request(url, method="PUT", headers={"x-ms-version": VERSION})  # noqa: S310
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            assert response.status == 201


def _sign(text: str) -> str:
    return base64.b64encode(hmac.new(KEY, text.encode(), hashlib.sha256).digest()).decode()


@contextmanager
def azurite(location: Path) -> Iterator[Azurite]:
    """Run Azurite on a free port of 127.0.0.1 until the block ends."""
    program = install() / "node_modules" / ".bin" / "azurite-blob"
    options = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--location", str(location), "--disableTelemetry"]
    command = [str(program), *options, "--skipApiVersionCheck"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603
    try:
        assert process.stdout
        server = Azurite(_listening(process.stdout, time.monotonic() + 60))
        server.create_container()
        yield server
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _listening(lines: Iterable[str], deadline: float) -> str:
    seen = []
    for line in lines:
        seen.append(line)
        if "listens on" in line:
            return f"http://{line.split('http://')[1].strip()}"
        assert time.monotonic() < deadline, seen
    raise AssertionError(f"Azurite did not start: {''.join(seen)}")
