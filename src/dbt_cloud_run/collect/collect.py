"""A run that has ended, with its artifacts: downloaded to disk, checked whether they are this run's own, decoded.

Nothing here changes a verdict: what is missing, late or not to be trusted becomes a warning of the attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from dbt_cloud_run.clock import announced
from dbt_cloud_run.cloud.client import CloudClient
from dbt_cloud_run.cloud.models import Run, RunStep
from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.collect.attempts import attempt_of, step_of
from dbt_cloud_run.collect.downloads import Downloads
from dbt_cloud_run.collect.keeping import CATALOG, MANIFEST, RUN_RESULTS, SOURCES, Keeping, KeptFiles
from dbt_cloud_run.collect.projects import steps_with_own_project
from dbt_cloud_run.collect.steps import has_results, steps_with_artifacts
from dbt_cloud_run.collect.trust import foreign, trusted
from dbt_cloud_run.collect.unlisted import (
    is_all_there_was,
    named_step,
    same_invocation,
    unlisted_commands,
    unlisted_step,
)
from dbt_cloud_run.dbt.artifacts import Manifest, decode_manifest
from dbt_cloud_run.dbt.decoding import LargeArtifactError, NotJsonError, UnreadableArtifactError
from dbt_cloud_run.dbt.manifests import share
from dbt_cloud_run.dbt.results import decode_run_results, decode_sources
from dbt_cloud_run.dbt.verbs import Verb, verb_of
from dbt_cloud_run.dbt.versions import NEW_ENGINE, version_of
from dbt_cloud_run.deflating import Deflating
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import Attempt, RunState, Step
from dbt_cloud_run.unknown import Unknown, UnknownKind, step_words
from dbt_cloud_run.waiting.listed import missing_steps

_logger = logging.getLogger(__name__)

LARGEST_DECODED = 1024**3  # bytes; a larger file is kept and uploaded, but not decoded

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a run has left. `manifest` is that of its newest step that has one.

    `files` are those that were written below `Keeping.kept`, each with its compressed form where there is one.
    """

    attempt: Attempt
    manifest: Manifest | None = None
    # Of single steps, by index, where not all steps parse the project alike.
    step_manifests: Mapping[int, Manifest] = field(default_factory=dict)
    files: Mapping[Path, Deflating | None] = field(default_factory=dict)


async def collect(
    run: Run,
    number: int,
    ending: Ending,
    *,
    client: CloudClient,
    reader: Reader,
    keeping: Keeping,
    unread: str | None = None,
    seen: float = float("-inf"),
    limit: float | None = None,
) -> Collected:
    """Everything that is needed of a run that has ended. `run` carries its steps, job and trigger.

    `unread`: why its steps are not all, where that is known. `seen`: when it was last seen going on. `limit`: when
    the step's time is over. What is missing, late or not to be trusted is a warning, and an `Unknown` for results.
    """
    packing = keeping.scratch / "packed" if keeping.packs else None
    if packing is not None:
        packing.mkdir(parents=True, exist_ok=True)
    downloads = Downloads(client, reader, run, keeping.kept, packing, seen, limit)
    why = unread or missing_steps(run) or ""
    collection = _Collection(downloads, keeping, unlisted_step(run) if why else None, why)
    async with announced(_logger, f"Reading what run {run.id} left behind, which takes longer than usual."):
        return await collection.collected(number, ending)


@dataclass(slots=True)
class _Collection:
    """The collection of one run: several downloads are under way at once, and each adds what it finds."""

    downloads: Downloads
    keeping: Keeping
    unlisted: RunStep | None  # the last step, where the run's steps are not all listed
    why_unlisted: str
    manifest: Manifest | None = None
    manifest_step: int | None = None  # whose manifest that is
    step_manifests: dict[int, Manifest] = field(default_factory=dict)
    unknown: list[Unknown] = field(default_factory=list)
    has_manifest: asyncio.Event = field(default_factory=asyncio.Event)
    decoding: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def collected(self, number: int, ending: Ending) -> Collected:
        downloads = self.downloads
        await downloads.until_saved(are_expected=bool(self._with_artifacts()))
        steps, *_ = await asyncio.gather(self._steps(), self._newest_manifest(), self._newest_catalog())
        kept = KeptFiles(downloads, self.keeping)
        kept.keep_sources()
        await kept.download_others()
        attempt = attempt_of(downloads.run, number, ending, steps=steps, warnings=tuple(downloads.warnings))
        unknown = tuple(sorted(self.unknown, key=lambda one: one.step or 0))
        return Collected(
            attempt=replace(attempt, is_unread=downloads.is_unread, unknown=unknown),
            manifest=self.manifest,
            step_manifests=self.step_manifests,
            files=kept.files(),
        )

    def _with_artifacts(self) -> list[RunStep]:
        """The steps that may have left artifacts, in their order."""
        return [*steps_with_artifacts(self.downloads.run), *([self.unlisted] if self.unlisted else ())]

    async def _steps(self) -> tuple[Step, ...]:
        """Every step, with its own and trusted results."""
        run = self.downloads.run
        ran = {step.index for step in steps_with_artifacts(run)}
        steps = await asyncio.gather(*(self._step(step, step.index in ran) for step in run.steps))
        if self.unlisted is not None:
            steps = [*steps, *await self._last_step(self.unlisted, steps)]
        own = trusted(steps)
        for before, step in zip(steps, own, strict=True):
            is_expected = step.state is RunState.SUCCESS and verb_of(step.command).executes
            if step.distrusted and not before.distrusted and is_expected:
                self._not_used(step.index, step.distrusted)
        return own

    async def _last_step(self, step: RunStep, listed: Sequence[Step]) -> tuple[Step, ...]:
        """The last step with its results, where it is not listed; what they leave open is not known."""
        run, made = self.downloads.run, step_of(step)
        asked = unlisted_commands(run)
        if await self._step_file(step, RUN_RESULTS, is_expected=run.state is RunState.SUCCESS):
            with_results, _ = await self._decoded_step(step, made, RUN_RESULTS, verb_of(None))
            made = named_step(with_results or made, asked, run.state)
        owner = same_invocation(made, listed)
        if owner is None and is_all_there_was(made, asked, run.state):
            return (made,)
        # What is not listed has left no results where those of a listed step are still the last.
        may_have_left = owner is None or any(verb_of(command).writes_results for command in asked)
        if run.state is RunState.SUCCESS and not may_have_left:
            return ()
        self.unknown.append(Unknown(kind=UnknownKind.STEPS, why=self.why_unlisted))
        return (made,) if made.results is not None and owner is None else ()

    async def _step(self, step: RunStep, has_run: bool) -> Step:
        made = step_of(step)
        if not has_run:
            return made
        verb = verb_of(step.command)
        is_freshness = verb.name == "source freshness"
        name = SOURCES if is_freshness else RUN_RESULTS
        is_expected = has_results(step) and (is_freshness or verb.writes_results)
        if not await self._step_file(step, name, is_expected=is_expected):
            why = self.downloads.reasons.get((name, step.index), "")
            # What a step that failed has left may be there all the same, where it could not be downloaded.
            if is_freshness or is_expected or (why and verb.writes_results):
                kind = UnknownKind.FRESHNESS if is_freshness else UnknownKind.RESULTS
                self.unknown.append(Unknown(kind=kind, step=step.index, why=why or f"{name} is missing"))
            return made
        with_results, reason = await self._decoded_step(step, made, name, verb)
        if with_results is not None:
            return with_results
        if is_freshness or is_expected:
            self._not_used(step.index, reason, UnknownKind.FRESHNESS if is_freshness else UnknownKind.RESULTS)
        return replace(made, distrusted=reason)

    async def _step_file(self, step: RunStep, name: str, *, is_expected: bool) -> bool:
        run_id = self.downloads.run.id
        path = self.keeping.step_folder(run_id, step.index) / name
        spare = self.keeping.step_folder(run_id, step.index, self.keeping.scratch) / name
        return await self.downloads.file(name, path, step.index or None, expected=is_expected, spare=spare)

    async def _decoded_step(self, step: RunStep, made: Step, name: str, verb: Verb) -> tuple[Step | None, str]:
        """The step with the results in its file, or None and why they are not used."""
        path = self.downloads.found[name, step.index or None]
        # While larger files are on their way.
        try:
            async with self.decoding:
                if name == SOURCES:
                    head, rows = await _decoded(decode_sources, path)
                    with_results = replace(made, freshness=rows)
                else:
                    head, results = await _decoded(decode_run_results, path)
                    with_results = replace(made, results=results)
        except UnreadableArtifactError as error:
            if isinstance(error, NotJsonError):
                self.downloads.discard(name, step.index or None)
            return None, str(error)
        self._warn_of_odd(name, step.index, head.passed_over)
        if with_results.results is not None and with_results.results.lost_rows:
            why = f"{with_results.results.lost_rows} rows of {name} name no node"
            self.unknown.append(Unknown(kind=UnknownKind.RESULTS, step=step.index, why=why))
        reason = foreign(head, self.downloads.run.id, step.started_at, verb)
        return (with_results, "") if reason is None else (None, reason)

    def _not_used(self, index: int, reason: str, kind: UnknownKind = UnknownKind.RESULTS) -> None:
        self.downloads.warnings.append(
            f"The results of {step_words(index)} of run {self.downloads.run.id} are not used: {reason}."
        )
        self.unknown.append(Unknown(kind=kind, step=index, why=f"they are not used: {reason}"))

    async def _newest_manifest(self) -> None:
        """The manifest of the newest step that has one; an earlier attempt's file stays where this run made none."""
        folder = self.keeping.kept if self.keeping.wants(MANIFEST) else self.keeping.scratch
        fresh = folder / f".{MANIFEST}.new"
        try:
            await self._manifest(fresh, folder / MANIFEST)
            await self._step_manifests()
        except OSError as error:
            self._warn(f"{MANIFEST} of run {self.downloads.run.id} could not be kept: {error}")
        finally:
            self.has_manifest.set()
            with contextlib.suppress(OSError):
                fresh.unlink()

    async def _manifest(self, fresh: Path, target: Path) -> None:
        downloads = self.downloads
        for step in reversed(self._with_artifacts()):
            spare, index = self.keeping.scratch / f".{MANIFEST}.spare", step.index or None
            if not await downloads.file(MANIFEST, fresh, index, expected=has_results(step), spare=spare):
                continue
            got = downloads.found[MANIFEST, index]
            try:
                async with self.decoding:
                    self.manifest = await _decoded(decode_manifest, got)
            except UnreadableArtifactError as error:
                self._warn(f"Run {downloads.run.id}: {str(error).replace(got.name, MANIFEST)}")
                # What is not a manifest is discarded: that of an earlier step is better than it.
                if not isinstance(error, LargeArtifactError):
                    downloads.discard(MANIFEST, index)
                    continue
            else:
                self._warn_of_odd(MANIFEST, index, self.manifest.passed_over)
            del downloads.found[MANIFEST, index]
            self.manifest_step = index
            if got == fresh:
                await asyncio.to_thread(fresh.replace, target)
                self._keep_manifest(fresh, target, index)
            return

    async def _step_manifests(self) -> None:
        """The manifest of each step, where not all of them parse the project alike; equal parts are kept once."""
        downloads = self.downloads
        for step in steps_with_own_project(steps_with_artifacts(downloads.run)):
            if step.index == self.manifest_step and self.manifest is not None:
                self.step_manifests[step.index] = self.manifest
                continue
            target = self.keeping.scratch / f".{MANIFEST}.step-{step.index}"
            if not await downloads.file(MANIFEST, target, step.index, expected=has_results(step)):
                continue
            try:
                found = await _decoded(decode_manifest, target)
            except UnreadableArtifactError as error:
                self._warn(f"Run {downloads.run.id}, step {step.index}: {str(error).replace(target.name, MANIFEST)}")
            else:
                if self.manifest is not None:
                    await asyncio.to_thread(share, found, self.manifest)
                self.step_manifests[step.index] = found
            downloads.discard(MANIFEST, step.index)

    def _keep_manifest(self, fresh: Path, target: Path, step: int | None) -> None:
        downloads = self.downloads
        # A step's own copy may be kept beside it.
        downloads.found[MANIFEST, None] = target
        downloads.manifest_step = step
        if packed := downloads.packed.pop(fresh, None):
            downloads.packed[target] = packed

    async def _newest_catalog(self) -> None:
        if not self.keeping.wants(CATALOG):
            return
        await self.has_manifest.wait()
        run = self.downloads.run
        engine = version_of(self.manifest.metadata.dbt_version if self.manifest else None, run.dbt_version)
        is_new_engine = engine is not None and engine >= NEW_ENGINE
        for step in reversed(steps_with_artifacts(run)):
            is_docs = verb_of(step.command).name == "docs generate"
            # The new engine writes a catalog with any step, and none with `docs generate`.
            may_have_one = is_docs or is_new_engine or "--write-catalog" in (step.command or "")
            is_expected = is_docs and not is_new_engine and step.state is RunState.SUCCESS
            if may_have_one and await self.downloads.file(
                CATALOG, self.keeping.kept / CATALOG, step.index, expected=is_expected
            ):
                return

    def _warn_of_odd(self, name: str, step: int | None, count: int) -> None:
        if count:
            where = f"{name} of run {self.downloads.run.id}" + (f", step {step}" if step else "")
            self._warn(f"In {where}, {count:,} values have an unexpected type and are passed over.")

    def _warn(self, text: str) -> None:
        self.downloads.warnings.append(text)


async def _decoded(decode: Callable[[Path], T], path: Path) -> T:
    def within_the_limit() -> T:
        size = path.stat().st_size
        if size > LARGEST_DECODED:
            raise LargeArtifactError(f"{path.name} is too large to be read: {size} bytes")
        return decode(path)

    return await asyncio.to_thread(within_the_limit)
