"""The dbt engines that the corpora run on: the installed one, and others where `tools/engines` has put them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Timer
from unittest import mock

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("CORPUS_ENGINES") or ROOT / ".engines")

NOW = "CORPUS_NOW"
_PATIENCE = 150.0  # seconds
_LONGEST = 480.0
_LONGEST_CALL = 1200.0
_PROCESS = Path(__file__).with_name("dbt_process.py")


@dataclass(frozen=True)
class Engine:
    """One dbt. `version`: what its own files say, major and minor."""

    name: str
    version: tuple[int, int]
    command: tuple[str, ...] = ()  # empty: the installed dbt, in this process
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_clock(self) -> bool:
        """Whether it can be run at another time than now."""
        return self.version < (2, 0)

    def call(self, words: Sequence[str], log: Path, *, now: datetime | None = None) -> str:
        """Run one dbt command line; returns what it printed."""
        if not self.command:
            return _in_process(words, log, now)
        environment = os.environ | self.environment | ({NOW: now.isoformat()} if now else {})
        done = subprocess.run(  # noqa: S603 - the engines' own programs
            [*self.command, *words], env=environment, capture_output=True, text=True, check=False, timeout=_LONGEST_CALL
        )
        return done.stdout + done.stderr

    def cut_off(self, words: Sequence[str], shown: str, signal_number: int) -> str:
        """Run a command line until it prints this, and then end it by the signal, as a time limit does."""
        command = self.command or (sys.executable, "-P", str(_PROCESS))
        environment = os.environ | self.environment
        printed: list[str] = []
        with subprocess.Popen(  # noqa: S603 - the engines' own programs
            [*command, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            patience = Timer(_PATIENCE, process.kill)
            longest = Timer(_LONGEST, process.kill)
            longest.start()
            for line in process.stdout or ():
                printed.append(line)
                if shown in line:
                    process.send_signal(signal_number)
                    # What does not stop is killed in the end, by dbt Cloud as by this.
                    patience.start()
            patience.cancel()
            longest.cancel()
        return "".join(printed)


def installed() -> Engine:
    from dbt.version import __version__

    major, minor = __version__.split(".")[:2]
    return Engine("installed", (int(major), int(minor)))


def engines() -> list[Engine]:
    """All that can be run here, the installed one first."""
    found = [installed()]
    overlay = FOLDER / "1.12"
    if overlay.is_dir():
        found.append(Engine("1.12", (1, 12), (sys.executable, "-P", str(_PROCESS)), {"PYTHONPATH": str(overlay)}))
    program = FOLDER / "2.0" / "bin" / "dbt"
    if program.exists():
        found.append(Engine("2.0", (2, 0), (str(program),), {"ADBC_DRIVER_PATH": str(FOLDER / "2.0" / "adbc")}))
    return found


def missing() -> list[str]:
    return sorted({"1.12", "2.0"} - {engine.name for engine in engines()})


@contextmanager
def at(now: datetime | None) -> Iterator[None]:
    """Let dbt believe that its invocation started at this time, by which microbatch models count their batches."""
    if now is None:
        yield
        return
    with mock.patch("dbt.task.run.get_invocation_started_at", return_value=now):
        yield


def _in_process(words: Sequence[str], log: Path, now: datetime | None) -> str:
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    file = log / "dbt.log"
    file.unlink(missing_ok=True)
    with warnings.catch_warnings(), at(now):
        warnings.simplefilter("ignore")
        dbtRunner().invoke([*words, "--log-level-file", "info", "--quiet"])
    # The database file is exchanged between invocations, so none may hold it open.
    if DuckDBConnectionManager._ENV is not None:
        DuckDBConnectionManager._ENV.close()
        DuckDBConnectionManager._ENV = None
    return file.read_text(encoding="utf-8") if file.exists() else ""


def words_of(line: str) -> list[str]:
    return shlex.split(line, comments=True)[1:]
