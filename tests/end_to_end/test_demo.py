"""`make demo`, as a person who has just cloned the project sees it."""

from __future__ import annotations

import json
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
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)  # noqa: S603
    print(done.stdout, done.stderr)
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
