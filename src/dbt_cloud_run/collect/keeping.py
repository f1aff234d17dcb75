"""What is kept of a run for the user: which artifacts, where, and the files that no decision needs."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dbt_cloud_run.collect.artifact_paths import is_plain, matches
from dbt_cloud_run.collect.downloads import Downloads
from dbt_cloud_run.collect.steps import steps_with_artifacts
from dbt_cloud_run.deflating import Deflating
from dbt_cloud_run.github.files import UnsafePathError, require_inside

RUN_RESULTS, SOURCES, MANIFEST, CATALOG = "run_results.json", "sources.json", "manifest.json", "catalog.json"

_SPECIAL = (RUN_RESULTS, SOURCES, MANIFEST, CATALOG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What is kept of each run, and where."""

    kept: Path  # the folder in the workspace
    scratch: Path  # for what is only read
    patterns: Sequence[str]  # the input `artifacts`
    step_artifacts: str  # `results`, `all` or `none`
    are_patterns_given: bool = False  # by the user: what does not exist is then worth a warning
    packs: bool = False  # whether what is kept is compressed for the artifact as it comes

    def wants(self, path: str) -> bool:
        """Whether the user asks for this artifact."""
        return any(matches(path, pattern) for pattern in self.patterns)

    def step_folder(self, run_id: int, index: int, root: Path | None = None) -> Path:
        """The folder of a step's own files."""
        root = root or (self.scratch if self.step_artifacts == "none" else self.kept)
        return root / "runs" / str(run_id) / f"step-{index}"


@dataclass(frozen=True, slots=True)
class KeptFiles:
    """The files of one run that are kept: those that were read anyway, and those that the user asks for besides."""

    downloads: Downloads
    keeping: Keeping
    _copies: dict[Path, Deflating | None] = field(default_factory=dict)

    def files(self) -> dict[Path, Deflating | None]:
        """What was written below `Keeping.kept`, each with its compressed form where there is one."""
        kept, packed = self.keeping.kept, self.downloads.packed
        found = {path: packed.get(path) for path in self.downloads.found.values() if path.is_relative_to(kept)}
        return found | self._copies

    def keep_sources(self) -> None:
        """Copy the newest freshness step's file to the top."""
        found = self.downloads.found
        newest = max((step for path, step in found if path == SOURCES and step), default=None)
        if newest is not None and self.keeping.wants(SOURCES):
            self._copy(found[SOURCES, newest], self.keeping.kept / SOURCES, SOURCES)

    async def download_others(self) -> None:
        """What the user's patterns ask for beyond the four, and with `all` every file of every step."""
        downloads, keeping = self.downloads, self.keeping
        others = [pattern for pattern in keeping.patterns if pattern not in _SPECIAL]
        if not others and keeping.step_artifacts != "all":
            return
        listed = await downloads.listing()
        wanted = [path for path in listed if path not in _SPECIAL and any(matches(path, one) for one in others)]
        wanted += [pattern for pattern in others if is_plain(pattern) and pattern not in listed]
        wanted = list(dict.fromkeys(wanted))
        jobs = [downloads.file(path, keeping.kept / path, None) for path in wanted]
        if keeping.step_artifacts == "all":
            there = downloads.found.keys() | await asyncio.to_thread(self._copied)
            jobs += [
                downloads.file(path, keeping.step_folder(downloads.run.id, step.index) / path, step.index)
                for step in steps_with_artifacts(downloads.run)
                for path in dict.fromkeys((*_SPECIAL, *listed))
                if (path, step.index) not in there
            ]
        found = await asyncio.gather(*jobs)
        if keeping.are_patterns_given:
            missing = [path for path, is_found in zip(wanted, found, strict=False) if not is_found]
            missing += [one for one in others if not is_plain(one) and not any(matches(path, one) for path in listed)]
            for path in missing:
                self.downloads.warnings.append(f"Run {downloads.run.id} has no artifact {path}.")

    def _copied(self) -> set[tuple[str, int]]:
        """A step's own file that lies at the top is copied into its folder: it is not downloaded twice."""
        downloads = self.downloads
        copied: set[tuple[str, int]] = set()
        for (path, known_step), source in list(downloads.found.items()):
            step = downloads.manifest_step if path == MANIFEST else known_step
            if source.parent != self.keeping.kept or step is None:
                continue
            target = self.keeping.step_folder(downloads.run.id, step) / path
            if self._copy(source, target, f"{path}, step {step},"):
                copied.add((path, step))
        return copied

    def _copy(self, source: Path, target: Path, what: str) -> bool:
        try:
            require_inside(self.keeping.kept, target)
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = target.with_name(f".{target.name}.new")
            shutil.copyfile(source, copy)
            copy.replace(target)
        except (OSError, UnsafePathError) as error:
            self.downloads.warnings.append(f"{what} of run {self.downloads.run.id} could not be kept: {error}")
            return False
        self._copies[target] = self.downloads.packed.get(source)
        return True
