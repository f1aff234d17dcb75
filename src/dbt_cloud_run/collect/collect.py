"""A run that has ended, with its artifacts: downloaded to disk, checked whether they are this run's own, decoded.

Nothing here changes a verdict: what is missing, late or not to be trusted becomes a warning of the attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.models import Run, RunStep
from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.collect.artifact_paths import is_plain, matches
from dbt_cloud_run.collect.attempts import attempt_of, step_of
from dbt_cloud_run.collect.downloads import Downloads
from dbt_cloud_run.dbt.artifacts import (
    Manifest,
    NotJsonError,
    RunResultsHead,
    UnreadableArtifactError,
    decode_manifest,
    decode_run_results,
    decode_sources,
)
from dbt_cloud_run.dbt.verbs import Verb, verb_named, verb_of
from dbt_cloud_run.github.files import UnsafePathError, require_inside
from dbt_cloud_run.model import Attempt, Ending, RunState, Step

RUN_RESULTS, SOURCES, MANIFEST, CATALOG = "run_results.json", "sources.json", "manifest.json", "catalog.json"
LARGEST_DECODED = 1024**3  # bytes; a larger file is kept and uploaded, but not decoded
STALE_BY = timedelta(seconds=1)  # how much earlier than its step a file may say that it was made: clocks differ

_SPECIAL = (RUN_RESULTS, SOURCES, MANIFEST, CATALOG)
_NEVER_RAN = (RunState.SKIPPED, RunState.QUEUED)

T = TypeVar("T")


class _TooLargeError(UnreadableArtifactError):
    """The file may well be what its name says, but is not decoded."""


@dataclass(slots=True, kw_only=True)
class Collector:
    """Collects attempt after attempt; knows which files it has written, and the newest manifest."""

    client: CloudClient
    reader: Reader
    kept: Path  # the folder in the workspace
    scratch: Path  # for what is only read
    patterns: Sequence[str]  # the input `artifacts`
    step_artifacts: str  # `results`, `all` or `none`
    are_patterns_given: bool = False  # by the user: what does not exist is then worth a warning
    written: set[Path] = field(default_factory=set)
    packed: dict[Path, Path] | None = None  # receives, for what was written, where it lies compressed; None: no use
    manifest: Manifest | None = None
    _has_manifest: asyncio.Event = field(default_factory=asyncio.Event)
    _decoding: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def collect(self, run: Run, number: int, ending: Ending) -> Attempt:
        """Everything that is needed of a run that has ended. `run` carries its steps, job and trigger."""
        packing = None if self.packed is None else self.scratch / "packed"
        if packing is not None:
            packing.mkdir(parents=True, exist_ok=True)
        downloads = Downloads(self.client, self.reader, run, self.kept, packing)
        self._has_manifest.clear()
        await downloads.until_saved()
        steps, *_ = await asyncio.gather(
            self._steps(downloads), self._newest_manifest(downloads), self._newest_catalog(downloads)
        )
        self._keep_sources(downloads)
        await self._others(downloads)
        self._keep(downloads)
        attempt = attempt_of(run, number, ending, steps=steps, warnings=tuple(downloads.warnings))
        return replace(attempt, is_unread=downloads.is_unread)

    def _keep(self, downloads: Downloads) -> None:
        written = [path for path in downloads.found.values() if path.is_relative_to(self.kept)]
        self.written.update(written)
        if self.packed is not None:
            for path in written:
                self.packed.pop(path, None)
            self.packed.update(downloads.packed)

    async def _steps(self, downloads: Downloads) -> tuple[Step, ...]:
        """Every step, with its own and trusted results."""
        ran = {step.index for step in _dbt_steps(downloads.run)}
        steps = await asyncio.gather(*(self._step(downloads, step, step.index in ran) for step in downloads.run.steps))
        return _without_left_behind(steps, downloads)

    async def _step(self, downloads: Downloads, step: RunStep, has_run: bool) -> Step:
        made = step_of(step)
        verb = verb_of(step.command)
        if not has_run:
            return made
        is_freshness = verb.name == "source freshness"
        name = SOURCES if is_freshness else RUN_RESULTS
        path = self._step_folder(downloads.run.id, step.index) / name
        expected = _has_results(step) and (is_freshness or verb.writes_results)
        spare = self._step_folder(downloads.run.id, step.index, self.scratch) / name
        if not await downloads.file(name, path, step.index, expected=expected, spare=spare):
            return made
        path = downloads.found[name, step.index]
        await self._has_manifest.wait()  # the largest file is decoded while nothing else takes memory
        try:
            async with self._decoding:  # one after the other, for the same reason
                if is_freshness:
                    head, rows = await _decoded(decode_sources, path)
                    with_results = replace(made, freshness=rows)
                else:
                    head, results = await _decoded(decode_run_results, path)
                    with_results = replace(made, results=results)
        except UnreadableArtifactError as error:
            reason: str | None = str(error)
            if isinstance(error, NotJsonError):
                downloads.discard(name, step.index)
        else:
            reason = _foreign(head, downloads.run.id, step.started_at, verb)
        if reason is None:
            return with_results
        if expected:
            downloads.warnings.append(_unused(step.index, downloads.run.id, reason))
        return replace(made, distrusted=reason)

    async def _newest_manifest(self, downloads: Downloads) -> None:
        """The manifest of the newest step that has one; an earlier attempt's stays where this run made none."""
        folder = self.kept if self._is_wanted(MANIFEST) else self.scratch
        fresh = folder / f".{MANIFEST}.new"
        try:
            await self._manifest(downloads, fresh, folder / MANIFEST)
        except OSError as error:
            downloads.warnings.append(f"{MANIFEST} of run {downloads.run.id} could not be kept: {error}")
        finally:
            self._has_manifest.set()
            with contextlib.suppress(OSError):
                fresh.unlink()

    async def _manifest(self, downloads: Downloads, fresh: Path, target: Path) -> None:
        for step in reversed(_dbt_steps(downloads.run)):
            spare = self.scratch / f".{MANIFEST}.spare"
            if await downloads.file(MANIFEST, fresh, step.index, expected=_has_results(step), spare=spare):
                got = downloads.found[MANIFEST, step.index]
                try:
                    self.manifest = await _decoded(decode_manifest, got)
                except UnreadableArtifactError as error:
                    downloads.warnings.append(f"Run {downloads.run.id}: {str(error).replace(got.name, MANIFEST)}")
                    if not isinstance(error, _TooLargeError):  # it is none: an earlier step's is better than it
                        downloads.discard(MANIFEST, step.index)
                        continue
                del downloads.found[MANIFEST, step.index]
                if got != fresh:
                    return
                await asyncio.to_thread(fresh.replace, target)
                downloads.found[MANIFEST, None] = target  # a step's own copy may be kept beside it
                downloads.manifest_step = step.index
                if packed := downloads.packed.pop(fresh, None):
                    downloads.packed[target] = packed
                return

    async def _newest_catalog(self, downloads: Downloads) -> None:
        if not self._is_wanted(CATALOG):
            return
        for step in reversed(_dbt_steps(downloads.run)):
            is_there = verb_of(step.command).name == "docs generate" and await downloads.file(
                CATALOG, self.kept / CATALOG, step.index, expected=step.state is RunState.SUCCESS
            )
            if is_there:
                return

    def _keep_sources(self, downloads: Downloads) -> None:
        """The newest freshness step's file also lies at the top."""
        if not self._is_wanted(SOURCES):
            return
        newest = max((step for path, step in downloads.found if path == SOURCES and step), default=None)
        if newest is not None:
            target = self.kept / SOURCES
            try:
                require_inside(self.kept, target)
                target.parent.mkdir(parents=True, exist_ok=True)
                copy = target.with_name(f".{SOURCES}.new")
                shutil.copyfile(downloads.found[SOURCES, newest], copy)
                copy.replace(target)
            except (OSError, UnsafePathError) as error:
                downloads.warnings.append(f"{SOURCES} of run {downloads.run.id} could not be kept: {error}")
            else:
                self.written.add(target)

    async def _others(self, downloads: Downloads) -> None:
        """What the user's patterns ask for beyond the four, and with `all` every file of every step."""
        others = [pattern for pattern in self.patterns if pattern not in _SPECIAL]
        if not others and self.step_artifacts != "all":
            return
        listed = await downloads.listing()
        wanted = [path for path in listed if path not in _SPECIAL and any(matches(path, one) for one in others)]
        wanted += [pattern for pattern in others if is_plain(pattern) and pattern not in listed]
        jobs = [downloads.file(path, self.kept / path, None) for path in wanted]
        if self.step_artifacts == "all":
            there = downloads.found.keys() | await asyncio.to_thread(self._copied, downloads)
            jobs += [
                downloads.file(path, self._step_folder(downloads.run.id, step.index) / path, step.index)
                for step in _dbt_steps(downloads.run)
                for path in dict.fromkeys((*_SPECIAL, *listed))
                if (path, step.index) not in there
            ]
        found = await asyncio.gather(*jobs)
        if self.are_patterns_given:
            missing = [path for path, is_found in zip(wanted, found, strict=False) if not is_found]
            missing += [one for one in others if not is_plain(one) and not any(matches(path, one) for path in listed)]
            downloads.warnings += [f"Run {downloads.run.id} has no artifact {path}." for path in missing]

    def _copied(self, downloads: Downloads) -> set[tuple[str, int]]:
        """A step's own file that lies at the top is copied into its folder: it is not downloaded twice."""
        at_top = {(path, step): file for (path, step), file in downloads.found.items() if file.parent == self.kept}
        copied: set[tuple[str, int]] = set()
        for (path, known_step), source in at_top.items():
            step = downloads.manifest_step if path == MANIFEST else known_step
            if step is None:
                continue
            target = self._step_folder(downloads.run.id, step) / path
            try:
                require_inside(self.kept, target)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
            except (OSError, UnsafePathError) as error:
                downloads.warnings.append(f"{path} of run {downloads.run.id}, step {step}, could not be kept: {error}")
                continue
            copied.add((path, step))
            self.written.add(target)
            if (packed := downloads.packed.get(source)) and self.packed is not None:
                self.packed[target] = packed
        return copied

    def _is_wanted(self, path: str) -> bool:
        return any(matches(path, pattern) for pattern in self.patterns)

    def _step_folder(self, run_id: int, index: int, root: Path | None = None) -> Path:
        root = root or (self.scratch if self.step_artifacts == "none" else self.kept)
        return root / "runs" / str(run_id) / f"step-{index}"


def _dbt_steps(run: Run) -> list[RunStep]:
    """The steps that ran a dbt command which may leave artifacts."""
    return [
        step
        for step in run.steps
        if step.command and verb_of(step.command).leaves_artifacts and step.state not in _NEVER_RAN
    ]


async def _decoded(decode: Callable[[Path], T], path: Path) -> T:
    def within_the_limit() -> T:
        size = path.stat().st_size
        if size > LARGEST_DECODED:
            raise _TooLargeError(f"{path.name} is too large to be read: {size} bytes")
        return decode(path)

    return await asyncio.to_thread(within_the_limit)


def _foreign(head: RunResultsHead, run_id: int, started_at: datetime | None, verb: Verb) -> str | None:
    """Why a file that was served for a step is not that step's; None if nothing speaks against it."""
    made_by = head.env.get("DBT_CLOUD_RUN_ID")
    if made_by is not None and str(made_by) != str(run_id):
        return f"they are those of run {made_by}"
    if head.generated_at and started_at and head.generated_at < started_at - STALE_BY:
        return "they were made before the step began"
    other = verb_named(head.which)
    # The file of `dbt retry` says the command that it continues.
    named_otherwise = verb.name != other.name and "retry" not in (verb.name, other.name)
    if verb.executes and other.executes and named_otherwise:
        return f"they are those of `dbt {head.which}`, and the step ran `dbt {verb.name}`"
    return None


def _without_left_behind(steps: Sequence[Step], downloads: Downloads) -> tuple[Step, ...]:
    """A file with the invocation of an earlier step is that step's, left behind in the shared target folder."""
    seen: set[str] = set()
    kept: list[Step] = []
    for step in steps:
        invocation = step.results.invocation_id if step.results else None
        if invocation and invocation in seen:
            reason = "they are those of an earlier step"
            if step.state is RunState.SUCCESS and verb_of(step.command).executes:
                downloads.warnings.append(_unused(step.index, downloads.run.id, reason))
            step = replace(step, results=None, distrusted=reason)
        elif invocation:
            seen.add(invocation)
        kept.append(step)
    return tuple(kept)


def _unused(index: int, run_id: int, reason: str) -> str:
    return f"The results of step {index} of run {run_id} are not used: {reason}."


def _has_results(step: RunStep) -> bool:
    """Whether it came as far as running nodes, and so has left results: it succeeded, or its log shows it."""
    return step.state is RunState.SUCCESS or "Done. PASS=" in step.log or "Finished running" in step.log
