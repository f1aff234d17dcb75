"""`benchmarks/RESULTS.md`: a section for each part; what is not measured again keeps its words."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from datetime import UTC, datetime

from benchmarks import installs
from benchmarks.measure import ROOT, machine
from benchmarks.texts import HEAD, INTRODUCTIONS, TITLES

RESULTS = ROOT / "benchmarks" / "RESULTS.md"
_PACKAGES = ("httpx", "pydantic", "msgspec", "tenacity", "actions-toolkit", "dbt-core", "dbt-duckdb")


def put(name: str, text: str, *, quick: bool = False, with_peers: bool = True) -> None:
    """Put the tables of one part in its section, with date and machine; and the versions, if peers were measured."""
    stamp = f"_Measured on {datetime.now(UTC):%Y-%m-%d} on {machine()}{', quickly' if quick else ''}._"
    head, sections = _before()
    parts = (f"## {TITLES[name]}", INTRODUCTIONS[name].strip(), text.strip(), stamp)
    sections[TITLES[name]] = "\n\n".join(part for part in parts if part)
    if with_peers or not head:
        head = "\n\n".join((HEAD.strip(), _versions(with_peers=with_peers)))
    kept = [sections[title] for title in TITLES.values() if title in sections]
    RESULTS.write_text("\n\n".join((head, *kept)) + "\n")


def _before() -> tuple[str, dict[str, str]]:
    """What is there: what stands above the first section, and the sections by their titles."""
    head, *found = re.split(r"(?m)^(?=## )", RESULTS.read_text() if RESULTS.exists() else "")
    return head.strip(), {section.splitlines()[0].removeprefix("## "): section.strip() for section in found}


def _versions(*, with_peers: bool) -> str:
    ours = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    versions = f"Python {platform.python_version()}; {ours}."
    if not with_peers:
        return versions
    return f"{versions} Peers: {'; '.join(installs.peer(peer.name)[1] for peer in installs.PEERS)}."
