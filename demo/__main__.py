"""`make demo`: a dbt Cloud job is triggered, fails in one model, is retried, and everything is published.

With DBT_CLOUD_API_TOKEN, DBT_CLOUD_ACCOUNT_ID and DBT_CLOUD_JOB_ID set (and DBT_CLOUD_HOST, where the account is not on
cloud.getdbt.com), the same happens against the real account.

    python -m demo [FOLDER]      what is made goes to FOLDER, whose old content goes; else to demo-output/
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from standins.emulator import running_emulator
from standins.results_service import ResultsService
from standins.runner import POST, ROOT, STEP, Runner

from dbt_cloud_emulator.config import DEMO_TOKEN, SHIPPED_PROJECT
from demo.page import render
from demo.shown_log import run

FOLDER = Path(sys.argv[1]).resolve() if sys.argv[1:] else ROOT / "demo-output"
NIGHTLY_JOB = "1002"  # of the emulator's own account: source freshness, build, docs


def main() -> int:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    real = _real_account()
    if real:
        print(f"Running job {real['job-id']} of the real account {real['account-id']}.", flush=True)
        return _play(real)
    with running_emulator(state=FOLDER / "emulator", strict=False, own_session=True) as emulator:
        url = emulator.base_url
        print(f"dbt Cloud is emulated at {url}, with real dbt and DuckDB underneath.", flush=True)
        return _play(
            {"api-token": DEMO_TOKEN, "account-id": "1", "job-id": NIGHTLY_JOB, "host": url, "retry-delay": "1"}
        )


def _play(inputs: Mapping[str, str]) -> int:
    with ResultsService(folder=FOLDER / "workflow-artifacts") as service:
        context = {"ACTOR": "demo", "REPOSITORY": "example/shop", "WORKFLOW": "demo"}
        runner = Runner(folder=FOLDER, inputs=inputs, services=service.variables, context=context)
        shutil.copytree(SHIPPED_PROJECT, runner.workspace, ignore=shutil.ignore_patterns("target", "logs"))
        runner.prepare()
        _title("The step")
        status = run(runner, STEP)
        outputs, summary = runner.values("output"), runner.file("step_summary").read_text()
        _title("The post step")
        run(runner, POST, state=runner.values("state"))
    _tell(runner, outputs, summary, status)
    return status


def _tell(runner: Runner, outputs: Mapping[str, str], summary: str, status: int) -> None:
    (FOLDER / "summary.md").write_text(summary)
    (FOLDER / "summary.html").write_text(render(summary, "dbt-cloud-run"))
    _title("Outputs")
    width = max(map(len, outputs), default=0)
    for name, value in outputs.items():
        print(f"{name:<{width}}  {value if len(value) <= 160 else value[:159] + '…'}")
    _title("Files")
    places = {
        "summary": FOLDER / "summary.md",
        "summary, rendered": FOLDER / "summary.html",
        "artifacts": _in_workspace(runner, outputs.get("artifacts-path")),
        "assets": _in_workspace(runner, outputs.get("assets-path")),
        "workflow artifact": next((FOLDER / "workflow-artifacts").glob("*.zip"), None),
    }
    for what, path in places.items():
        print(f"{what:<18} {os.path.relpath(path) if path and path.exists() else '(none)'}")
    print(f"\nThe step ended with exit status {status}.", flush=True)


def _in_workspace(runner: Runner, path: str | None) -> Path | None:
    return runner.workspace / path if path else None


def _real_account() -> dict[str, str]:
    """The inputs that the environment gives for a real account; empty unless all that is needed is set."""
    names = ("api-token", "account-id", "job-id", "host")
    found = {name: os.environ.get(f"DBT_CLOUD_{name.replace('-', '_').upper()}", "") for name in names}
    return found if all(found[name] for name in names[:3]) else {}


def _title(text: str) -> None:
    print(f"\n── {text} {'─' * (76 - len(text))}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
