"""`make demo`: a dbt Cloud job is triggered, fails in one model, is retried, and everything is published.

    python -m demo [FOLDER]               with the emulator; whatever is in the environment, no account is touched
    python -m demo --account [FOLDER]     with a job of a real account (see `demo.account`), which it names first

What is made goes to FOLDER, whose old content goes; else to demo-output/.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from standins.emulator import running_emulator
from standins.results_service import ResultsService
from standins.runner import POST, ROOT, STEP, Runner

from dbt_cloud_emulator.config import DEMO_TOKEN, SHIPPED_PROJECT
from demo.account import AccountError, announce, inputs_of
from demo.page import render
from demo.shown_log import run

NIGHTLY_JOB = "1002"  # of the emulator's own account: source freshness, build, docs


def main(arguments: Sequence[str]) -> int:
    """Play the demo; returns the exit status of its step."""
    is_real = "--account" in arguments
    folders = [Path(name).resolve() for name in arguments if name != "--account"]
    folder = folders[0] if folders else ROOT / "demo-output"
    return _with_account(folder) if is_real else _with_emulator(folder)


def _with_emulator(folder: Path) -> int:
    """The inputs name the emulator, and the step gets no other variable that could name an account."""
    print("Starting an emulator of dbt Cloud, with real dbt and DuckDB underneath. No account is touched.", flush=True)
    _clear(folder)
    with running_emulator(state=folder / "emulator", strict=False, own_session=True) as emulator:
        url = emulator.base_url
        print(f"It is at {url}. Its job runs dbt several times, which takes about a minute.", flush=True)
        inputs = {"api-token": DEMO_TOKEN, "account-id": "1", "job-id": NIGHTLY_JOB, "host": url, "retry-delay": "1"}
        return _play(folder, inputs)


def _with_account(folder: Path) -> int:
    try:
        inputs = inputs_of(os.environ)
        announce(inputs)
    except AccountError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: nothing was started.", file=sys.stderr)
        return 130
    _clear(folder)
    return _play(folder, inputs)


def _clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _play(folder: Path, inputs: Mapping[str, str]) -> int:
    with ResultsService(folder=folder / "workflow-artifacts") as service:
        context = {"ACTOR": "demo", "REPOSITORY": "example/shop", "WORKFLOW": "demo"}
        runner = Runner(folder=folder, inputs=inputs, services=service.variables, context=context)
        shutil.copytree(SHIPPED_PROJECT, runner.workspace, ignore=shutil.ignore_patterns("target", "logs"))
        runner.prepare()
        _title("The step")
        status = run(runner, STEP)
        outputs, summary = runner.values("output"), runner.file("step_summary").read_text()
        _title("The post step")
        run(runner, POST, state=runner.values("state"))
    _tell(folder, runner, outputs, summary, status)
    return status


def _tell(folder: Path, runner: Runner, outputs: Mapping[str, str], summary: str, status: int) -> None:
    (folder / "summary.md").write_text(summary)
    (folder / "summary.html").write_text(render(summary, "dbt-cloud-run"))
    _title("Outputs")
    width = max(map(len, outputs), default=0)
    for name, value in outputs.items():
        print(f"{name:<{width}}  {value if len(value) <= 160 else value[:159] + '…'}")
    _title("Files")
    places = {
        "summary": folder / "summary.md",
        "summary, rendered": folder / "summary.html",
        "artifacts": _in_workspace(runner, outputs.get("artifacts-path")),
        "assets": _in_workspace(runner, outputs.get("assets-path")),
        "workflow artifact": next((folder / "workflow-artifacts").glob("*.zip"), None),
    }
    for what, path in places.items():
        print(f"{what:<18} {os.path.relpath(path) if path and path.exists() else '(none)'}")
    print(f"\nThe step ended with exit status {status}.", flush=True)


def _in_workspace(runner: Runner, path: str | None) -> Path | None:
    return runner.workspace / path if path else None


def _title(text: str) -> None:
    print(f"\n── {text} {'─' * (76 - len(text))}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
