"""`make demo`, as a person who has just cloned the project sees it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_demo_shows_a_recovered_run(tmp_path: Path) -> None:
    folder = tmp_path / "made by the demo"
    command = [sys.executable, "-m", "demo", str(folder)]
    with socket.create_server(("127.0.0.1", 0)) as account:
        # Whatever the environment says of an account, it is not touched.
        account.setblocking(False)
        host = f"http://127.0.0.1:{account.getsockname()[1]}"
        names = {"API_TOKEN": "a-real-token", "ACCOUNT_ID": "5", "JOB_ID": "6", "HOST": host, "RUN_JOB_ID": "6"}
        environment = os.environ | {f"DBT_CLOUD_{name}": text for name, text in names.items()}
        done = subprocess.run(  # noqa: S603
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=280
        )
        with pytest.raises(BlockingIOError):
            account.accept()
    print(done.stdout, done.stderr)
    assert "a-real-token" not in "".join(path.read_text(errors="replace") for path in folder.rglob("*.json"))
    assert done.returncode == 0
    assert 'recovered-nodes   ["model.shop.orders"]' in done.stdout
    assert "(none)" not in done.stdout
    assert "<h" in (folder / "summary.html").read_text()
    assert "orders" in (folder / "summary.md").read_text()
    with zipfile.ZipFile(next((folder / "workflow-artifacts").glob("*.zip"))) as archive:
        result = json.loads(archive.read("result.json"))
        uploaded = json.loads(archive.read("assets.json"))
    assert (result["status"], result["attempts"]) == ("success", 2)
    assert uploaded == json.loads((folder / "workspace" / result["assets-path"]).read_text())
