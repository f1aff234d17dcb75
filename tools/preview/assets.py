"""Pictures of the assets of a real run in Prefect's event feed and on Dagster's asset page, for docs/.

CHROMIUM=… python tools/preview/assets.py DIR       DIR has the modules that tools/preview/run has installed
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scenarios import ROOT, load

sys.path.insert(0, str(ROOT))

from standins.emulator import running_emulator
from standins.runner import STEP, Runner, command

from dbt_cloud_emulator.config import DEMO_TOKEN, SHIPPED_PROJECT

JOB = "1001"  # of the emulator's own account: it fails in one model, and its retry succeeds
ASSET = ("analytics", "customers")


def main(modules: Path) -> None:
    peers = load("peers")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for name in ("prefect", "dagster"):
            (folder / name).mkdir()
        with peers.prefect_server(folder / "prefect") as prefect:
            assets = _run_step(folder / "job", f"{prefect.url}/api")
            _shoot(modules, f"{prefect.url}/events", "Asset materialization succeeded", "prefect-events.png")
        with peers.dagster_server(folder / "dagster") as dagster:
            recipe = ROOT / "docs" / "examples" / "dagster_assets.py"
            environment = {"DAGSTER_URL": dagster.url, "no_proxy": "*"}
            subprocess.run([sys.executable, "-I", str(recipe), str(assets)], env=environment, check=True)  # noqa: S603
            page = f"{dagster.url}/assets/{'/'.join(ASSET)}?view=events"
            _shoot(modules, page, "relation_name", "dagster-asset.png", "Skip")


def _run_step(folder: Path, prefect: str) -> Path:
    """A step on the emulator's job with real dbt underneath; returns the path of its `assets.json`."""
    with running_emulator(state=folder / "emulator", strict=False) as emulator:
        inputs = {"api-token": DEMO_TOKEN, "account-id": "1", "job-id": JOB, "host": emulator.base_url}
        inputs |= {"retry-delay": "0", "upload-artifact": "false", "emit": "prefect"}
        runner = Runner(folder=folder, inputs=inputs, services={"PREFECT_API_URL": prefect})
        shutil.copytree(SHIPPED_PROJECT, runner.workspace, ignore=shutil.ignore_patterns("target", "logs"))
        runner.prepare()
        subprocess.run(command(STEP), cwd=runner.workspace, env=runner.environment(), check=False)  # noqa: S603
        return runner.workspace / runner.values("output")["assets-path"]


def _shoot(modules: Path, url: str, text: str, picture: str, *button: str) -> None:
    shutil.copy(ROOT / "tools" / "preview" / "page.mjs", modules)
    words = ["node", str(modules / "page.mjs"), url, text, str(ROOT / "docs" / picture), *button]
    subprocess.run(words, env=os.environ, check=True)  # noqa: S603 - our own script


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
