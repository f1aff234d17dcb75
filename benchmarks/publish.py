"""From the last poll to exit: artifacts downloaded, decoded, merged, zipped, uploaded, reported; in all sizes."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from standins.results_service import ResultsService
from standins.runner import Runner

from benchmarks import installs
from benchmarks.emulated import PREFECT
from benchmarks.generate import write_project
from benchmarks.measure import MB, ROOT, WORK, Measured, MeasurementError, environment, measured, serving, table
from benchmarks.server import ACCOUNT, API, DBT_STEP, JOB, RUN, TOKEN

SIZES = (100, 1_000, 10_000, 30_000)
CLIENTS = ROOT / "benchmarks" / "clients"
FILES = ("manifest.json", "run_results.json")
SERVERS = {False: "The server compresses", True: "The server does not compress"}
LABELS = {
    "action": "this action: last poll to exit, all of it",
    "part": "this action: the part that ends with the materializations",
    "plain": "bare download",
    "zip": "download, then `zipfile`",
    "zip again": "the same once more: this machine's noise",
    "json": "plain `json` reader",
    "prefect": "prefect-dbt: its asset path",
}


class Taken(NamedTuple):
    """Seconds of what is compared; processor seconds (user and system) and peak, in bytes, of the whole process."""

    seconds: float
    cpu: float
    peak: int


@dataclass
class Samples:
    """Seconds, processor seconds and peaks of one contender on one size."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)
    note: str = ""

    def add(self, taken: Taken) -> None:
        self.seconds.append(taken.seconds)
        self.cpu.append(taken.cpu)
        self.peaks.append(taken.peak)

    @property
    def second(self) -> float:
        return median(self.seconds)

    @property
    def processor(self) -> float:
        return median(self.cpu)

    @property
    def peak(self) -> float:
        return median(self.peaks)


@dataclass(frozen=True)
class Site:
    """The server, and how to come there."""

    url: str
    authority: str
    folder: Path

    def env(self, **more: str) -> dict[str, str]:
        return environment(TOKEN=TOKEN, SSL_CERT_FILE=self.authority, **more)

    def urls(self) -> list[str]:
        return [f"{self.url}{API}/runs/{RUN}/artifacts/{name}?step={DBT_STEP}" for name in FILES]

    def log(self) -> list[dict[str, Any]]:
        """The requests since the last call."""
        context = ssl.create_default_context(cafile=self.authority)
        with urllib.request.urlopen(f"{self.url}/__log__", context=context) as answer:  # noqa: S310 - our own server
            found: list[dict[str, Any]] = json.load(answer)
        return found


def project(models: int) -> Path:
    """The synthetic project, made on the first call."""
    folder = WORK / "projects" / str(models)
    if not (folder / "run_results.json").exists():
        print(f"Writing a project of {models:,} models…", flush=True)
        write_project(folder, models)
    return folder


def step(site: Site, folder: Path) -> Iterator[tuple[Measured, float, list[dict[str, Any]]]]:
    """Run the whole action once: the process, the moment of its last poll, and its requests."""
    python, entrypoint = installs.action()
    with ResultsService(folder=folder / "uploads") as results:
        inputs = {
            "api-token": TOKEN,
            "account-id": str(ACCOUNT),
            "job-id": str(JOB),
            "host": site.url,
            "artifacts": "manifest.json\nrun_results.json",
        }
        runner = Runner(folder=folder, inputs=inputs, services=results.variables)
        runner.prepare()
        runner.workspace.mkdir()
        site.log()
        env = runner.environment() | {"SSL_CERT_FILE": site.authority}
        done = measured([python, "-Iu", entrypoint], env=env, cwd=runner.workspace)
        if not runner.values("output").get("artifact-id"):
            raise MeasurementError(f"nothing was uploaded:\n{done.output[-3000:]}")
    log = site.log()
    polled = next(entry["at"] for entry in log if entry["path"].partition("?")[0] == f"{API}/runs/{RUN}/")
    yield done, polled, log


def measure_action(site: Site, folder: Path) -> Taken:
    for done, polled, _ in step(site, folder):
        return Taken(done.ended - polled, done.cpu, done.peak)
    raise AssertionError


def measure_part(site: Site, folder: Path) -> Taken:
    python, entrypoint = installs.action()
    command = [str(python), str(CLIENTS / "our_assets.py"), site.url, str(ACCOUNT), str(RUN), str(folder)]
    return _told(measured(command, env=site.env(PYTHONPATH=str(entrypoint.parent))))


def measure_download(mode: str) -> Callable[[Site, Path], Taken]:
    def measure(site: Site, folder: Path) -> Taken:
        return _told(measured([sys.executable, CLIENTS / "download.py", mode, folder, *site.urls()], env=site.env()))

    return measure


def measure_json(site: Site, _: Path) -> Taken:
    return _told(measured([sys.executable, str(CLIENTS / "json_reader.py"), *site.urls()], env=site.env()))


def measure_prefect(site: Site, folder: Path) -> Taken:
    python, said = installs.peer("prefect-dbt")
    if python is None:
        raise MeasurementError(said)
    env = site.env(**PREFECT)
    host = site.url.removeprefix("https://")
    return _told(
        measured([python, CLIENTS / "prefect_assets.py", host, str(ACCOUNT), str(JOB), str(RUN)], env=env, cwd=folder)
    )


def _told(done: Measured) -> Taken:
    found = re.search(r"^seconds ([\d.]+)$", done.output, re.MULTILINE)
    if found is None or re.search(r"^assets 0$", done.output, re.MULTILINE):
        raise MeasurementError(done.output[-3000:])
    return Taken(float(found[1]), done.cpu, done.peak)


CONTENDERS: Mapping[str, Callable[[Site, Path], Taken]] = {
    "zip": measure_download("zip"),
    "action": measure_action,
    "plain": measure_download("plain"),
    "part": measure_part,
    "zip again": measure_download("zip"),
    "json": measure_json,
    "prefect": measure_prefect,
}


@contextmanager
def _scratch() -> Iterator[Path]:
    WORK.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=WORK, prefix="scratch-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(models: int, rounds: int, only: Sequence[str] = (), *, is_plain: bool = False) -> dict[str, Samples]:
    """All contenders in turn, so many rounds; the first round of each is a warming-up that does not count."""
    folder = project(models)
    found: dict[str, Samples] = {}
    with serving(folder, is_plain=is_plain) as (url, authority):
        site = Site(url, authority, folder)
        for number in range(rounds + 1):
            for name, contender in CONTENDERS.items():
                samples = found.setdefault(name, Samples())
                if samples.note or (only and name not in only):
                    continue
                with _scratch() as scratch:
                    try:
                        taken = contender(site, scratch)
                    except MeasurementError as error:
                        samples.note = str(error).strip().splitlines()[-1][:100]
                        print(f"{name}: {error}", file=sys.stderr)
                        continue
                if number or not rounds:
                    samples.add(taken)
                    figures = f"{taken.seconds:8.2f} s  {taken.cpu:8.2f} CPU s  {taken.peak / MB:8.0f} MB"
                    print(f"  {models:>6,} models  {name:<9} {figures}", flush=True)
    return found


def report(sizes: Sequence[int] = SIZES, rounds: int = 3, only: Sequence[str] = ()) -> str:
    """The tables in markdown."""
    parts = []
    for is_plain, title in SERVERS.items():
        # The largest takes minutes a round, and varies the least.
        found = {
            models: measure(models, min(rounds, 2) if models > 10_000 else rounds, only, is_plain=is_plain)
            for models in sizes
        }
        parts += [f"### {title}\n", *(_size_table(models, one) for models, one in found.items()), _growth(found)]
    return "\n".join(part for part in parts if part)


def _size_table(models: int, found: Mapping[str, Samples]) -> str:
    folder = project(models)
    sizes = {name: (folder / name).stat().st_size / MB for name in FILES}
    wire = {name: (folder / f"{name}.gz").stat().st_size / MB for name in FILES}
    head = f"#### {models:,} models\n\n" + ", ".join(
        f"`{name}` {sizes[name]:,.1f} MB ({wire[name]:,.1f} MB on the wire)" for name in FILES
    )
    base = found["zip"]
    rows: list[list[str]] = []
    for name, label in LABELS.items():
        samples = found[name]
        if not samples.seconds:
            rows.append([label, "–", "–", "–", "–", "–", samples.note or "not measured"])
            continue
        ratio = f"{samples.second / base.second:.2f}" if base.seconds else "–"
        of_cpu = f"{samples.processor / base.processor:.2f}" if base.seconds else "–"
        peak, share = samples.peak / MB, samples.peak / MB / max(sizes.values())
        figures = [f"{samples.second:.2f}", ratio, f"{samples.processor:.2f}", of_cpu, f"{peak:,.0f}", f"{share:.2f}"]
        rows.append([label, *figures])
    columns = (
        *("", "seconds", "÷ download and zip", "CPU seconds", "÷ download and zip"),
        *("peak memory, MB", "÷ largest artifact"),
    )
    return f"{head}\n\n{table(columns, rows)}\n{_goals(models, found, max(sizes.values()))}"


def _goals(models: int, found: Mapping[str, Samples], largest: float) -> str:
    lines = []
    if found["zip"].seconds and found["action"].seconds:
        ratio = found["action"].second / found["zip"].second
        lines.append(f"- everything against download and zip: {ratio:.2f}× (goal for 10,000 models: at most 0.80×)")
    if found["action"].seconds:
        peak, limit = found["action"].peak / MB, 1.3 * largest + 60
        lines.append(
            f"- peak memory: {peak:,.0f} MB (goal: 1.3× the largest artifact plus 60 MB, here {limit:,.0f} MB)"
        )
    if found["part"].seconds and found["prefect"].seconds:
        faster = found["prefect"].second / found["part"].second
        share = found["part"].peak / found["prefect"].peak
        figures = f"{faster:.1f}× as fast (goal: at least 5×), with {share:.2f} of its memory (goal: at most 0.25)"
        lines.append(f"- the part that prefect-dbt does too: {figures}")
    return "\n".join(lines) + "\n"


def _growth(measurements: Mapping[int, Mapping[str, Samples]]) -> str:
    small, large = measurements.get(10_000), measurements.get(30_000)
    if not small or not large or not small["action"].seconds or not large["action"].seconds:
        return ""
    time = large["action"].second / small["action"].second
    memory = large["action"].peak / small["action"].peak
    others = " and ".join(
        f"{what} {large[name].second / small[name].second:.2f}×"
        for name, what in (("plain", "the bare download"), ("zip", "download and zip"))
        if small[name].seconds and large[name].seconds
    )
    return (
        f"From 10,000 to 30,000 models: {time:.2f}× in time and {memory:.2f}× in memory (goal: at most 3.2× in time). "
        f"In the same run the bytes grew {_bytes(30_000) / _bytes(10_000):.2f}×, {others}.\n"
    )


def _bytes(models: int) -> int:
    return sum((project(models) / name).stat().st_size for name in FILES)
