"""`make bench`: measure everything, or the parts that are named, and write `benchmarks/RESULTS.md`.

    python -m benchmarks [publish] [noticing] [start] [retry] [whole] [--quick]

Parts that are not named keep the words of their last measurement.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from benchmarks import installs, noticing, noticing_real, publish, retry, start, whole
from benchmarks.measure import ROOT, WORK, machine
from benchmarks.texts import HEAD, INTRODUCTIONS, NOTES, TITLES

PARTS: dict[str, Callable[[bool], str]] = {
    "publish": lambda quick: publish.report((100, 1_000, 10_000) if quick else publish.SIZES, 1 if quick else 3),
    "noticing": lambda quick: f"{noticing.table(200 if quick else 2000)}\n\n{noticing_real.report()}",
    "start": lambda quick: start.report(5 if quick else 25),
    "retry": lambda _: retry.report(),
    "whole": lambda quick: whole.report(1 if quick else 3),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all, when none is named")
    parser.add_argument("--quick", action="store_true", help="smaller projects, fewer rounds")
    options = parser.parse_args()
    kept = WORK / "results"
    kept.mkdir(parents=True, exist_ok=True)
    for name in options.parts or PARTS:
        print(f"== {name}", flush=True)
        text = PARTS[name](options.quick)
        print(text, flush=True)
        stamp = f"Measured on {datetime.now(UTC):%Y-%m-%d} on {machine()}{', quickly' if options.quick else ''}."
        (kept / f"{name}.md").write_text(f"{text}\n_{stamp}_\n")
        write()
    return 0


def write() -> None:
    """Put the parts that were measured together."""
    sections = [HEAD, _versions()]
    for name, title in TITLES.items():
        path = WORK / "results" / f"{name}.md"
        found = path.read_text() if path.exists() else "Not measured yet.\n"
        texts = (f"## {title}", INTRODUCTIONS[name].strip(), found.strip(), NOTES[name])
        sections.append("\n\n".join(text for text in texts if text))
    (ROOT / "benchmarks" / "RESULTS.md").write_text("\n\n".join(sections).rstrip() + "\n")


def _versions() -> str:
    packages = ("httpx", "pydantic", "msgspec", "tenacity", "actions-toolkit", "dbt-core", "dbt-duckdb")
    ours = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    peers = "; ".join(installs.peer(peer.name)[1] for peer in installs.PEERS)
    return f"Python {platform.python_version()}; {ours}. Peers: {peers}."


if __name__ == "__main__":
    sys.exit(main())
