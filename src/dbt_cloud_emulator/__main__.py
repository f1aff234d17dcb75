"""dbt Cloud's Administrative API v2 on loopback, with real dbt underneath.

    python -m dbt_cloud_emulator [--project DIR]... [--config FILE] [--port N] [--state DIR] [--tls] [--strict]
        [--replay DIR]
    python -m dbt_cloud_emulator record [--project DIR]... [--config FILE] --job ID --output DIR [--runs N]

The first line on stdout is `listening on <URL>`. Without options: the project that comes with it, account 1, token
`demo-token`, jobs 1001 (build), 1002 (scheduled: freshness, build, docs), 1003 (seed, run, test), 1004 (CI) and
1005 (build, docs). A further project has job ids that are 100 higher.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

try:
    from dbt_cloud_emulator.config import EmulatorConfig, load_config
    from dbt_cloud_emulator.errors import ConfigError
    from dbt_cloud_emulator.reference import CONFIGURATION, CONTROL_PATHS
except ModuleNotFoundError as missing:
    sys.exit(f"The emulator needs {missing.name}, which is not installed: pip install 'dbt-cloud-run[emulator]'")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dbt_cloud_emulator",
        description=__doc__,
        epilog=f"{CONFIGURATION}\n\n{CONTROL_PATHS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", choices=["serve", "record"], default="serve", help=argparse.SUPPRESS)
    parser.add_argument(
        "--project", action="append", type=Path, default=[], metavar="DIR", help="a dbt project; may be repeated"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML or JSON; see below")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="0, the default: any free one")
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="where runs and artifacts are kept; else a temporary folder"
    )
    parser.add_argument(
        "--tls", action="store_true", help="https, with a certificate made at start; prints the CA's path"
    )
    parser.add_argument(
        "--strict", action="store_true", help="refuse what the description does not list (behaviour.strict)"
    )
    parser.add_argument("--replay", type=Path, metavar="DIR", help="a recording for all jobs that name none")
    parser.add_argument("--job", type=int, metavar="ID", help="record: the job to run")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="record: where recordings go; more than one is numbered"
    )
    parser.add_argument(
        "--runs", type=int, default=1, metavar="N", help="record: runs; each next one is a native retry"
    )
    parser.add_argument(
        "--steps", action="append", default=[], metavar="COMMAND", help="record: steps_override; may be repeated"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0, or 2 for options or a configuration that cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        for folder in options.project:
            if not (folder / "dbt_project.yml").is_file():
                raise ConfigError(f"--project: there is no dbt_project.yml in {folder}")
        config = load_config(options.config, options.project, options.replay)
        config.behaviour.strict |= options.strict
        with _state(options.state) as state:
            return _run(options, config, state)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2


@contextlib.contextmanager
def _state(folder: Path | None) -> Iterator[Path]:
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="dbt-cloud-emulator-", ignore_cleanup_errors=True) as temporary:
            yield Path(temporary)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--state: {error}") from error
    yield folder.resolve()


def _run(options: argparse.Namespace, config: EmulatorConfig, state: Path) -> int:
    if options.command == "record":
        from dbt_cloud_emulator.record import record

        if options.job is None or options.output is None:
            raise ConfigError("record needs --job and --output")
        return asyncio.run(record(config, state, options.job, options.output, options.runs, options.steps))
    from dbt_cloud_emulator.server import serve

    return serve(config, state, port=options.port, tls=options.tls)


if __name__ == "__main__":
    sys.exit(main())
