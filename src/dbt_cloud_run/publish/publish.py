"""Publish a report: files, outputs, annotations, the job summary, the comment, events and the upload, in this order.

Publishing never changes the verdict: what cannot be published is a warning that says what is missing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dbt_cloud_run.clock import Clock
from dbt_cloud_run.console import BaseConsole
from dbt_cloud_run.deflating import Deflating
from dbt_cloud_run.emit.emission import Emission, emission_of
from dbt_cloud_run.emit.emit import emit
from dbt_cloud_run.errors import Interrupted
from dbt_cloud_run.github.artifacts.upload import ArtifactUploadError
from dbt_cloud_run.publish import sinks
from dbt_cloud_run.publish.comment import comment
from dbt_cloud_run.publish.folder import ASSETS, JUNIT, RESULT, SUMMARY, ArtifactsFolder
from dbt_cloud_run.publish.upload import Uploading
from dbt_cloud_run.report.gates import cautions
from dbt_cloud_run.report.report import ArtifactLink, Report
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.threads import in_thread

if TYPE_CHECKING:
    from dbt_cloud_run.dbt.manifests import Manifests

_logger = logging.getLogger(__name__)

COMMENT_BUDGET = 120.0
"""Seconds for the comment: of each answer, GitHub's client limits the silence alone, and never the time in all."""

T = TypeVar("T")


@dataclass(slots=True)
class Publication:
    """Publishes one report.

    It keeps what is published already, because a signal may come in the middle and has the rest published in a hurry:
    `report` with what was added to it, `files` (each with its compressed form where there is one), and `_done`.
    """

    report: Report
    settings: Settings
    console: BaseConsole
    clock: Clock
    folder: ArtifactsFolder | None
    files: dict[Path, Deflating | None] = field(default_factory=dict)
    # For the events alone: what describes the nodes, and where files lie that are not kept.
    manifests: Manifests | None = None
    scratch: Path | None = None
    _done: set[str] = field(default_factory=set)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    async def publish(self) -> None:
        """Publish everything. Raises `Interrupted` alone.

        People and later steps do not wait for the upload: all is written before it, without its link, and completed
        after it. It may stand still, and then nothing but the link is missing.
        """
        for warning in self.report.warnings:
            _logger.warning("%s", warning)
        uploading = self._begin_upload()
        # From here on it is abandoned whatever happens: its thread would wait for files, and the process for it.
        try:
            self._give(uploading)
            await asyncio.to_thread(self._write_merged)
            self._give(uploading)
            await asyncio.to_thread(self._write_files)
            self._give(uploading)
            await asyncio.to_thread(self._write_junit)
            self._once("annotations", self._annotate)
            await asyncio.to_thread(self._once, "job summary", self._write_summary)
            await self._comment()
            await self._emit()
            if uploading is not None:
                await self._complete(uploading)
        finally:
            if uploading is not None:
                uploading.abandon()
        self._guarded("ownership of the files", self._hand_over)

    async def _complete(self, uploading: Uploading) -> None:
        """Upload, and add what came of it: the outputs again, the summary in its place, the comment once more."""
        before = self.report
        await self._finish_upload(uploading)
        if self.report != before:
            await asyncio.to_thread(self._guarded, "job summary", self._write_summary)
        if self.report.artifact is not None:
            await self._comment(is_update=True)

    def publish_in_a_hurry(self) -> None:
        """Outputs, small files and the summary of what is known: all that fits between a signal and the end."""
        self._write_files()
        self._once("job summary", self._write_summary)
        self._once("annotations", self._annotate)
        self._write_junit()
        self._guarded("ownership of the files", self._hand_over)

    @property
    def artifact_name(self) -> str:
        """The input, or a name with the first attempt's run id, so that jobs of a matrix never collide."""
        attempts = self.report.outcome.attempts
        first = attempts[0].run_id if attempts else 0
        return self.settings.artifact_name or f"dbt-cloud-run-{self.report.job_id or 0}-{first}"

    # -- files and outputs

    def _write_merged(self) -> None:
        if (folder := self.folder) is not None:
            written = self._guarded(
                "merged run results", lambda: sinks.write_merged(self.report, self.settings, folder)
            )
            self._wrote(written)
            if written is not None:
                self.report = replace(self.report, has_dbt_files=True)

    def _write_files(self) -> None:
        """The outputs name `assets.json` and are in `result.json`: so the one is written first, and the other last."""
        folder = self.folder if self.report.outcome.attempts else None
        if folder is not None:
            path = self._guarded(ASSETS, lambda: sinks.write_assets_file(self.report, folder))
            self._wrote(path)
            if path is not None:
                self.report = replace(self.report, assets_path=folder.relative(path))
        self._set_outputs()
        if folder is not None:
            self._wrote(self._guarded(SUMMARY, lambda: sinks.write_summary_file(self.report, folder)))

    def _write_junit(self) -> None:
        """A case for each test: of tens of thousands it takes seconds, so a signal has it written last."""
        folder = self.folder if self.report.outcome.attempts else None
        if folder is not None:
            self._wrote(self._guarded(JUNIT, lambda: sinks.write_junit_file(self.report, folder)))

    def _set_outputs(self) -> None:
        self._warn(self._guarded("outputs", lambda: sinks.set_outputs(self.report, self.console)))
        if (folder := self.folder) is not None and self.report.outcome.attempts:
            self._wrote(self._guarded(RESULT, lambda: sinks.write_result_file(self.report, folder)))

    def _wrote(self, path: Path | None) -> None:
        if path is not None:
            self.files[path] = None

    # -- people

    def _annotate(self) -> None:
        for caution in cautions(self.report.outcome):
            self.console.warning(caution, title="dbt Cloud")
        for notice in self.report.notices:
            self.console.notice(notice, title="dbt Cloud")
        if self.settings.annotations:
            sinks.write_annotations(self.report, self.console)

    def _write_summary(self) -> None:
        if self.settings.summary:
            self._warn(sinks.write_summary(self.report, self.console))

    async def _comment(self, *, is_update: bool = False) -> None:
        if self.settings.pr_comment == "false" or "comment" in self._done:
            return
        report = self.report
        try:
            async with asyncio.timeout(COMMENT_BUDGET):
                self._warn(await in_thread(lambda: comment(report, self.settings, is_update=is_update), "comment"))
        except TimeoutError:
            # The thread may still write it: a second one beside it would be a second comment.
            self._done.add("comment")
            self._warn([f"The comment on the pull request was not written within {COMMENT_BUDGET:.0f} s."])
        except Exception as error:
            self._warn([f"The pull request comment could not be published: {type(error).__name__}: {error}"])

    # -- events

    async def _emit(self) -> None:
        """Send the materializations to the sinks that were asked for; their warnings are added to the summary."""
        if not self.settings.emit or not self.settings.wait:
            return
        emission = await asyncio.to_thread(self._guarded, "events", self._emission)
        if emission is None:
            return
        before = self.report
        self._warn(await emit(self.settings.emit, emission, os.environ, self.clock))
        if self.report != before:
            await asyncio.to_thread(self._guarded, "job summary", self._write_summary)

    def _emission(self) -> Emission | None:
        report = self.report
        return emission_of(
            report.outcome,
            report.assets,
            self.manifests,
            base_url=self.settings.base_url,
            job_id=report.job_id,
            job_name=report.job_name,
            manifest_file=self._read_file("manifest.json"),
            catalog_file=self._read_file("catalog.json"),
        )

    def _read_file(self, name: str) -> Path | None:
        """A file of dbt's that this step has read: in the workspace where it is kept, else in the scratch folder."""
        kept = self.folder.path / name if self.folder is not None else None
        if kept is not None and kept in self.files:
            return kept
        path = self.scratch / name if self.scratch is not None else None
        return path if path is not None and path.is_file() else None

    def _hand_over(self) -> None:
        if self.folder is not None:
            self.folder.keep_index(self.files)
            self.folder.hand_over(self.files, (attempt.run_id for attempt in self.report.outcome.attempts))

    # -- the uploaded artifact

    def _begin_upload(self) -> Uploading | None:
        """What is final is zipped while the rest is made; None where there is nothing to upload."""
        has_files = bool(self.files or self.report.outcome.attempts)
        if not self.settings.upload_artifact or self.folder is None or not has_files:
            return None
        # The name stays free for the step that attaches to the run.
        if not self.settings.wait and not self.report.has_dbt_files:
            return None
        return Uploading.begin(self.folder.path, self.settings, self.console, self.clock, self.artifact_name)

    def _give(self, uploading: Uploading | None) -> None:
        if uploading is not None:
            self._guarded("files of the artifact", lambda: uploading.give(self.files))

    async def _finish_upload(self, uploading: Uploading) -> None:
        try:
            uploading.give(self.files)
            uploaded = await uploading.finish()
        except Interrupted:
            raise
        except ArtifactUploadError as error:
            self._warn([f"The artifact was not uploaded: {error}"])
        except Exception as error:
            # A good run does not fail because of its artifact.
            self._warn([f"The artifact was not uploaded: {type(error).__name__}: {error}"])
        else:
            link = ArtifactLink(id=str(uploaded.id), name=uploaded.name, url=uploaded.url)
            self.report = replace(self.report, artifact=link)
        self._set_outputs()

    # -- each sink by itself

    def _once(self, what: str, do: Callable[[], None]) -> None:
        """Do what cannot be taken back, guarded, unless it was done or is being done in another thread."""
        with self._lock:
            if what not in self._done:
                self._done.add(what)
                self._guarded(what, do)

    def _guarded(self, what: str, do: Callable[[], T]) -> T | None:
        """What `do` returns; None, with a warning, where it fails."""
        try:
            return do()
        except Interrupted:
            raise
        except Exception as error:
            self._warn([f"The {what} could not be published: {type(error).__name__}: {error}"])
            return None

    def _warn(self, warnings: Iterable[str] | None) -> None:
        for warning in warnings or ():
            if warning not in self.report.warnings:
                _logger.warning("%s", warning)
                self.report = replace(self.report, warnings=(*self.report.warnings, warning))
