"""What all measurements share: programs run and measured, tables, and the words for what they ran on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "benchmarks"  # projects, peers' environments, recordings; git-ignored
MB = 1e6
_NETWORK = ("PATH", "HOME", "LANG", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "PIP_INDEX_URL", "PIP_CONFIG_FILE")


class Measured(msgspec.Struct):
    """One program from its start to its end. Times are of the monotonic clock, `peak` is in bytes, `cpu` in seconds."""

    started: float
    ended: float
    peak: int
    cpu: float
    status: int
    output: str = ""

    @property
    def seconds(self) -> float:
        return self.ended - self.started


class MeasurementError(Exception):
    """A program that is measured did not do its work."""


def environment(**more: str) -> dict[str, str]:
    """A clean one: nothing of the runner, of dbt or of Python is inherited."""
    return {name: os.environ[name] for name in _NETWORK if name in os.environ} | more


def measured(
    command: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path | None = None, expect: Sequence[int] = (0,)
) -> Measured:
    """Run a program to its end. Raises `MeasurementError` where it ends with another status than expected."""
    with tempfile.TemporaryDirectory() as folder:
        answer, output = Path(folder) / "answer.json", Path(folder) / "output"
        launcher = [sys.executable, "-ISE", str(Path(__file__).with_name("launch.py")), str(answer)]
        with output.open("w") as stream:
            subprocess.run(  # noqa: S603 - our own
                [*launcher, *map(str, command)],
                env=dict(env), cwd=cwd, stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=True,
            )  # fmt: skip
        found = msgspec.json.decode(answer.read_bytes(), type=Measured)
        found.output = output.read_text(errors="replace")
    if found.status not in expect:
        raise MeasurementError(f"{command[:3]} ended with {found.status}:\n{found.output[-3000:]}")
    return found


@contextmanager
def serving(folder: Path, *, is_plain: bool = False, fails_after: float | None = None) -> Iterator[tuple[str, str]]:
    """`benchmarks.server` over this folder: its URL and the path of its certificate authority."""
    command = [sys.executable, "-m", "benchmarks.server", str(folder), *(["--plain"] if is_plain else [])]
    command += ["--fails-after", str(fails_after)] if fails_after is not None else []
    with subprocess.Popen(  # noqa: S603 - our own
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            line = process.stdout.readline()
            if not (found := re.search(r"listening on (\S+)", line)):
                raise MeasurementError("the server did not start")
            yield found[1], process.stdout.readline().strip()
        finally:
            process.stdin.close()


@dataclass(frozen=True)
class Spread:
    """The median of some measurements, with the smallest and the largest."""

    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median(values), min(values), max(values))

    def text(self, digits: int = 2) -> str:
        return f"{self.middle:,.{digits}f} ({self.least:,.{digits}f} to {self.most:,.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A markdown table; numbers on the right."""
    rule = ["---" if number == 0 else "---:" for number in range(len(head))]
    lines = [head, rule, *[[str(cell) for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def machine() -> str:
    """The machine in a sentence, without its name."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    kernel = ".".join(platform.release().split("-")[0].split(".")[:2])
    return f"{os.cpu_count()} cores ({cpu}), {memory / 1e6:.0f} GB of memory, Linux {kernel}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
