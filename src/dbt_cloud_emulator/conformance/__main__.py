"""Check what action and emulator believe about dbt Cloud's Administrative API against any server.

    python -m dbt_cloud_emulator.conformance --host HOST --job-id N [--account-id N] [--start-runs N] [--output FILE]

The token comes from DBT_CLOUD_API_TOKEN; account, job and host may come from DBT_CLOUD_ACCOUNT_ID, DBT_CLOUD_JOB_ID and
DBT_CLOUD_HOST. Without an account, the only one that the token sees is taken. Without --start-runs nothing but GET
requests is sent. The file holds every request and the form of every answer; the token, names, SQL and logs are
replaced. Exit status: 0; 1 where a belief that is sure or likely was not held; 2 where nothing could be checked.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from dbt_cloud_emulator.conformance import checks, reading, report, runs
from dbt_cloud_emulator.conformance.beliefs import BELIEFS
from dbt_cloud_emulator.conformance.masking import Mask
from dbt_cloud_emulator.conformance.outcome import Outcome, Verdict, run_check
from dbt_cloud_emulator.conformance.scene import Scene
from dbt_cloud_emulator.conformance.session import NotThereError, Session

REGISTERED = (checks, reading)  # imported for the checks that they register
LOOPBACK = ("127.0.0.1", "::1", "localhost")
NAMES = ("name", "description", "git_branch", "schema", "username", "email")


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Returns the exit status."""
    options = _parser(environ).parse_args(arguments)
    if options.list:
        print(report.listing())
        return 0
    token = environ.get("DBT_CLOUD_API_TOKEN", "").strip()
    missing = ["DBT_CLOUD_API_TOKEN"] * (not token) + ["--job-id"] * (options.job_id is None)
    if missing:
        print(f"Not given: {', '.join(missing)}", file=sys.stderr)
        return 2
    try:
        base_url = base_url_of(options.host)
        with Session(base_url, options.account_id or 0, token) as session:
            session.account_id = options.account_id or only_account(session)
            _announce(options, base_url, session.account_id)
            scene = Scene(session, options.job_id)
            session.ask("GET", f"jobs/{options.job_id}/")  # whether anybody answers
            outcomes = examine(scene, options.start_runs)
            mask = mask_for(scene, base_url)
            content = report.document(outcomes, session.exchanges, mask, datetime.now(UTC))
        report.write(content, options.output)
    except (NotThereError, ValueError, OSError) as error:
        print(f"Nothing could be checked: {str(error).replace(token, '***')}", file=sys.stderr)
        return 2
    print(f"\n{report.table(outcomes, mask)}\n\nWritten to {options.output}. Look through it before you attach it.")
    return 1 if any(outcome.verdict is Verdict.NOT_HELD for outcome in outcomes) else 0


def examine(scene: Scene, start_runs: int = 0) -> list[Outcome]:
    """Start the runs that may be started, then check every belief."""
    if start_runs:
        runs.start_runs(scene, start_runs, lambda text: print(text, flush=True))
    return [run_check(belief, scene) for belief in BELIEFS.values()]


def only_account(session: Session) -> int:
    """The account that the token sees. Raises NotThereError where it is not one alone."""
    found = [item.get("id") for item in session.many("/api/v3/accounts/")]
    if len(found) != 1 or not isinstance(found[0], int):
        raise NotThereError(f"the token sees {len(found)} accounts; --account-id says which one")
    return found[0]


def base_url_of(host: str) -> str:
    """The URL of a host or of a URL of it. Raises ValueError for plain http that leaves the machine."""
    parts = urlsplit(host if "://" in host else f"https://{host}")
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError(f"--host: {host!r} is no host")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("--host: http is for loopback only, since the token is sent")
    return f"{parts.scheme}://{parts.netloc}"


def mask_for(scene: Scene, base_url: str) -> Mask:
    """Hides the token, the host, and every name in the answers that is long enough to be one."""
    names: set[str] = set()
    for exchange in scene.session.exchanges:
        _collect(exchange.body, names)
    parts = urlsplit(base_url)
    hidden = {name: "<name>" for name in names if len(name) >= 4}
    return Mask(
        {**hidden, parts.netloc: "<host>", parts.hostname or parts.netloc: "<host>", scene.session.token: "***"}
    )


def _collect(value: object, names: set[str], field: str = "") -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            # The name of a step is a command or a set-up step, and is masked as such.
            _collect(item, names, "" if name == "name" and "index" in value else name)
    elif isinstance(value, list):
        for item in value:
            _collect(item, names, field)
    elif isinstance(value, str) and field in NAMES:
        names.add(value)


def _announce(options: argparse.Namespace, base_url: str, account_id: int) -> None:
    print(f"Job {options.job_id} of account {account_id} at {base_url}: {len(BELIEFS)} beliefs.")
    print("About 80 GET requests are sent; two of them with a wrong token or none.")
    if not options.start_runs:
        print("No run is started. With --start-runs N up to N of these are; only a retry builds anything:")
    else:
        print(f"Up to {options.start_runs} of these runs of the job are started, one after the other:")
    for number, phase in enumerate(runs.PHASES, start=1):
        print(f"  {number}. {phase.says}")
    sys.stdout.flush()


def _parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dbt_cloud_emulator.conformance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default=environ.get("DBT_CLOUD_HOST") or "cloud.getdbt.com", help="host or URL")
    parser.add_argument("--account-id", type=int, default=_number(environ.get("DBT_CLOUD_ACCOUNT_ID")))
    parser.add_argument("--job-id", type=int, default=_number(environ.get("DBT_CLOUD_JOB_ID")))
    parser.add_argument(
        "--start-runs", type=int, default=0, choices=range(len(runs.PHASES) + 1), help="how many runs may be started"
    )
    parser.add_argument("--output", type=Path, default=Path("conformance.json"), help="the file that is written")
    parser.add_argument("--list", action="store_true", help="print the beliefs, and send no request")
    return parser


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


if __name__ == "__main__":
    sys.exit(main())
