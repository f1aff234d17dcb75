"""The demo's job by this action and by its peers, on the same emulator: what each takes beyond dbt's own time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import installs
from benchmarks.emulated import INTERVALS, Emulator, Played, emulator, play
from benchmarks.measure import MB, ROOT, WORK, MeasurementError, table
from dbt_cloud_run.cloud.models import parse_time

JOB = 1001
RECORDINGS = WORK / "recordings" / "demo"
SECONDS = (17.0, 23.0, 29.0)  # of the first run, so that no interval fits by chance


@dataclass
class Figures:
    """What one contender took, over the rounds."""

    overhead: list[float] = field(default_factory=list)  # seconds beyond dbt's own
    calls: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # bytes of answers
    peaks: list[int] = field(default_factory=list)
    note: str = ""


def recordings() -> Path:
    """A failing run of the shop project on real dbt, and its retry that succeeds; recorded on the first call."""
    if not (RECORDINGS / "2" / "recording.json").exists():
        print("Recording the demo's job on real dbt…", flush=True)
        command = [sys.executable, "-m", "dbt_cloud_emulator", "record", "--job", str(JOB), "--runs", "2"]
        subprocess.run([*command, "--output", str(RECORDINGS)], cwd=ROOT, check=True, capture_output=True)  # noqa: S603
    return RECORDINGS


def stretched(source: Path, target: Path, seconds: float) -> Path:
    """A copy of a recording that takes so long."""
    shutil.copytree(source, target)
    path = target / "recording.json"
    content = json.loads(path.read_text())
    factor = seconds / content["seconds"]
    content["seconds"] = seconds
    for step in content["steps"]:
        for name in ("offset", "seconds"):
            step[name] = None if step[name] is None else step[name] * factor
    path.write_text(json.dumps(content))
    return target


def measure(rounds: int) -> dict[tuple[str, bool], Figures]:
    """Every contender in turn, in each round with other lengths; (name, with publishing) to figures."""
    contenders = [(name, False) for name in ("action", *(peer.name for peer in installs.PEERS))]
    contenders += [("action", True), ("prefect-dbt", True)]
    found = {contender: Figures() for contender in contenders}
    for seconds in SECONDS[:rounds]:
        for (name, publishes), figures in found.items():
            if figures.note:
                continue
            with tempfile.TemporaryDirectory(dir=WORK) as scratch:
                try:
                    _measure_one(Path(scratch), name, publishes, seconds, figures)
                except MeasurementError as error:
                    figures.note = str(error).strip().splitlines()[-1][:120]
                    print(f"{name}: {error}", file=sys.stderr)
    return found


def _measure_one(scratch: Path, name: str, publishes: bool, seconds: float, figures: Figures) -> None:
    replay = [recordings() / str(number) for number in (1, 2)]
    speed = json.loads((replay[0] / "recording.json").read_text())["seconds"] / seconds
    job = {"id": JOB, "name": "Build", "execute_steps": ["dbt build"], "replay": [str(path) for path in replay]}
    with emulator(scratch / "emulator", {"jobs": [job], "behaviour": {"replay_speed": speed}}) as emulated:
        played = play(name, emulated, scratch, JOB, assets=publishes)
        calls, size = _traffic(emulated, played, publishes)
        until = played.ended if publishes else played.verdict
        figures.overhead.append(until - played.began - _dbt_seconds(emulated))
        figures.calls.append(calls)
        figures.sizes.append(size)
        figures.peaks.append(played.process.peak)
    what = f"{name:<12} {'all' if publishes else 'verdict':<8}"
    print(f"  {what} {figures.overhead[-1]:6.2f} s beyond dbt's, {calls} calls", flush=True)


def _dbt_seconds(emulated: Emulator) -> float:
    total = 0.0
    for run in emulated.runs():
        begun, ended = parse_time(run["created_at"]), parse_time(run["finished_at"])
        total += (ended - begun).total_seconds() if begun and ended else 0.0
    return total


def _traffic(emulated: Emulator, played: Played, publishes: bool) -> tuple[int, int]:
    until = played.ended if publishes else played.verdict
    log = [entry for entry in emulated.requests() if entry["time"] < until]
    return len(log), sum(entry["response_size"] for entry in log)


def report(rounds: int = len(SECONDS)) -> str:
    """The tables in markdown."""
    found = measure(rounds)
    columns = ("", "seconds beyond dbt's own", "calls", "MB read", "peak memory, MB")
    parts = []
    for publishes, title in ((False, "Up to the known verdict"), (True, "Publishing included")):
        rows = [
            _row(name, figures) for (name, with_publishing), figures in found.items() if with_publishing is publishes
        ]
        parts.append(f"{title}:\n\n{table(columns, rows)}")
    return "\n".join([*parts, _goal(found["action", True], found["prefect-dbt", True])])


def _goal(ours: Figures, theirs: Figures) -> str:
    if not ours.overhead or not theirs.overhead:
        return ""
    ratios = {
        "time": median(ours.overhead) / median(theirs.overhead),
        "memory": median(ours.peaks) / median(theirs.peaks),
        "bytes": median(ours.sizes) / median(theirs.sizes),
    }
    found = ", ".join(f"{ratio:.2f} of its {what}" for what, ratio in ratios.items())
    return f"Publishing included, against prefect-dbt: {found} (goal: less than all of it)."


def _row(name: str, figures: Figures) -> list[str]:
    label = "this action" if name == "action" else f"{name}, every {INTERVALS[name]} s"
    if not figures.overhead:
        return [label, figures.note or "–", "–", "–", "–"]
    return [
        label,
        f"{median(figures.overhead):.1f} ({min(figures.overhead):.1f} to {max(figures.overhead):.1f})",
        f"{median(figures.calls):.0f}",
        f"{median(figures.sizes) / MB:.2f}",
        f"{median(figures.peaks) / MB:.0f}",
    ]
