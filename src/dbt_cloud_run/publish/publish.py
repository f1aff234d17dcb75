"""Publishing what is known: outputs, annotations, files, the uploaded artifact, the summary, the comment.

Nothing here changes the verdict: what cannot be published becomes a warning that says what is missing.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

from dbt_cloud_run.assets.assets import materializations
from dbt_cloud_run.assets.nodes import Repository
from dbt_cloud_run.clock import Clock
from dbt_cloud_run.collect.artifact_paths import matches
from dbt_cloud_run.dbt.artifacts import Manifest
from dbt_cloud_run.errors import Interrupted
from dbt_cloud_run.github.console import Annotation as RunnerAnnotation
from dbt_cloud_run.github.console import Console
from dbt_cloud_run.github.files import WorkspaceFiles, inside_workspace, own_like_workspace, require_inside
from dbt_cloud_run.model import Asset, Ending, FailureKind, Outcome
from dbt_cloud_run.publish.upload import Uploading
from dbt_cloud_run.report.outputs import build_outputs, cut_outputs, output_values
from dbt_cloud_run.report.report import ArtifactLink, Report
from dbt_cloud_run.report.view import NodeInfos, edges_of
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.start.pull_request import head_sha

LARGEST_SOURCE = 1024 * 1024  # bytes of a model's file that is searched for a line
ASSETS, RESULT, SUMMARY, RUN_RESULTS = "assets.json", "result.json", "summary.md", "run_results.json"
DBT_FILES = (RUN_RESULTS, "manifest.json", "catalog.json", "sources.json")


@dataclass(slots=True)
class Publisher:
    """Publishes one outcome. `written` are the files in the workspace that this step wrote."""

    settings: Settings
    console: Console
    clock: Clock
    folder: Path | None  # the `artifacts-path` in the workspace; None where there can be none
    written: set[Path] = field(default_factory=set)
    packed: dict[Path, Path] = field(default_factory=dict)  # of these files: where the same lies compressed
    _data: Report | None = None
    _told: set[str] = field(default_factory=set)  # what is said once, also if a signal comes in the middle
    _there: set[Path] = field(default_factory=set)  # folders that were there before we wrote
    _telling: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if self.folder is not None:
            self._there = {path for path in (self.folder, *self.folder.parents) if path.exists()}

    async def publish(self, outcome: Outcome, manifest: Manifest | None, *, job_id: int | None) -> None:
        """Publish everything. Raises `Interrupted` alone."""
        self._data = replace(self._known, outcome=outcome, job_id=job_id)
        uploading = self._begin_upload(outcome)
        try:
            await asyncio.to_thread(self._guard, "merged run results", self._write_merged)
            if uploading is not None:
                uploading.give(self.written)
            await asyncio.to_thread(self.write_known, outcome, manifest, job_id=job_id)
            self._guard("annotations", self._annotate)
            if uploading is not None:
                await self._finish_upload(uploading)
        finally:
            if uploading is not None:
                uploading.abandon()
        await asyncio.to_thread(self._guard, "job summary", self._append_summary)
        if self.settings.pr_comment != "false":
            await asyncio.to_thread(self._guard, "pull request comment", self._comment)
        self._guard("ownership of the files", self._hand_over)

    def publish_in_a_hurry(self, outcome: Outcome, manifest: Manifest | None, *, job_id: int | None) -> None:
        """Outputs, small files and the summary of what is known: all that fits between a signal and the end."""
        self.write_known(outcome, manifest, job_id=job_id)
        self._guard("job summary", self._append_summary)
        self._guard("annotations", self._annotate)
        self._guard("ownership of the files", self._hand_over)

    def write_known(self, outcome: Outcome, manifest: Manifest | None, *, job_id: int | None) -> None:
        """Set the outputs and write the small files."""
        data = self._report_data(outcome, manifest, job_id)
        before = self._known
        self._data = replace(data, artifact=before.artifact, warnings=(*before.warnings, *data.warnings))
        self._guard("outputs", self._set_outputs)
        if self.folder is not None and outcome.attempts:
            self._guard(ASSETS, self._write_assets)
            self._guard(RESULT, self._write_result)
            self._guard(SUMMARY, self._write_summary)

    def set_outputs(self, outcome: Outcome, *, job_id: int | None) -> None:
        """The outputs alone, as early as anything is known."""
        self._data = self._report_data(outcome, None, job_id)
        self._guard("outputs", self._set_outputs)

    def clear(self) -> None:
        """Remove what an earlier step left under dbt's names: where this one has none, it would pass for its own."""
        self._guard("removal of earlier files", self._remove_earlier)

    # -- what the report is made of

    def _report_data(self, outcome: Outcome, manifest: Manifest | None, job_id: int | None) -> Report:
        last = outcome.last
        data = Report(
            outcome=outcome,
            job_id=job_id,
            job_name=last.job_name if last else None,
            job_url=_job_url(last.run_url, job_id) if last else None,
            environment=last.environment_name if last else None,
            workflow_url=(self.settings.github.workflow_run_url or None) if self.settings.summary else None,
            has_dbt_files=self._dbt_files(),
            artifacts_path=self._relative(self.folder) if outcome.attempts else None,
        )
        try:
            repository = self._repository(last.git_sha if last else None)
            assets: tuple[Asset, ...] = materializations(outcome.ledger, manifest, repository)
            return replace(
                data,
                assets=assets,
                nodes=NodeInfos(manifest, repository) if manifest else {},
                edges=edges_of(manifest) if manifest else {},
                commit_url=self._commit_url(repository, manifest),
            )
        except Exception as error:  # whatever is odd in a manifest, the outcome is reported
            self._warn(f"Assets and lineage could not be made: {type(error).__name__}: {error}")
            return data

    def _commit_url(self, repository: Repository, manifest: Manifest | None) -> str | None:
        """The page of the run's commit; None where nothing says that the dbt project is of this repository."""
        github, sha = self.settings.github, repository.sha
        if not sha or not repository.web_url:
            return None
        nodes = manifest.nodes.values() if manifest else ()
        root = manifest.metadata.project_name if manifest else None
        is_here = sha == github.sha or any(repository.file_of(node, root) for node in nodes)
        return f"{repository.web_url}/commit/{sha}" if is_here or sha == head_sha(github.event) else None

    def _repository(self, run_sha: str | None) -> Repository:
        github = self.settings.github
        workspace = github.workspace
        web_url = f"{github.server_url}/{github.repository}" if github.repository else None
        return Repository(
            project_directory=self.settings.project_directory,
            exists=WorkspaceFiles(workspace).__contains__,
            web_url=web_url,
            sha=run_sha,
        )

    # -- the single things

    def _set_outputs(self) -> None:
        outputs, cuts = cut_outputs(build_outputs(self._known))
        for name, value in outputs.items():
            self.console.set_output(name, value)
        for cut in cuts:
            self._warn(f"GitHub limits outputs: {cut}. The whole list is in {RESULT}.")

    def _write_assets(self) -> None:
        from dbt_cloud_run.report.files import write_assets

        write_assets(self._path(ASSETS), self._known.assets)
        self._data = replace(self._known, assets_path=self._relative(self._path(ASSETS)))

    def _write_result(self) -> None:
        from dbt_cloud_run.report.files import write_result

        if self.folder is not None and self._known.outcome.attempts:
            write_result(self._path(RESULT), output_values(self._known))

    def _write_summary(self) -> None:
        from dbt_cloud_run.report.files import write_text
        from dbt_cloud_run.report.summary import render_full

        write_text(self._path(SUMMARY), render_full(self._known))

    def _write_merged(self) -> None:
        from dbt_cloud_run.report.files import write_merged_run_results

        outcome = self._known.outcome
        if self.folder is None or not outcome.attempts or not self._is_wanted(RUN_RESULTS):
            return
        target = self.folder / RUN_RESULTS
        require_inside(self.folder, target)
        if write_merged_run_results(target, outcome.ledger, outcome.attempts):
            self.written.add(target)

    def _remove_earlier(self) -> None:
        if self.folder is None or not (self.folder / RESULT).is_file():
            return  # no step of this action has written here: what lies here is the user's
        for path in [self.folder / name for name in DBT_FILES if self._is_wanted(name)]:
            if path not in self.written and path.is_file():
                require_inside(self.folder, path)
                path.unlink()

    def _dbt_files(self) -> bool:
        """Whether anything but what we composed was written."""
        return any(path.name not in (ASSETS, RESULT, SUMMARY) for path in self.written)

    def _is_wanted(self, name: str) -> bool:
        return any(matches(name, pattern) for pattern in self.settings.artifacts)

    def _append_summary(self) -> None:
        if not self.settings.summary:
            return
        from dbt_cloud_run.report.summary import render_summary, summary_budget

        with self._telling:
            if "summary" not in self._told:
                text = render_summary(self._known, summary_budget(self.console.summary_size()))
                self._told.add("summary")
                if text:
                    self.console.append_summary(text)
                else:
                    self._warn(f"The job summary is full already, so nothing was added. The report is in {SUMMARY}.")

    def _annotate(self) -> None:
        if not self.settings.annotations or "annotations" in self._told:
            return
        self._told.add("annotations")
        from dbt_cloud_run.report.annotations import annotate

        found = annotate(
            self._known,
            project_directory=self.settings.project_directory,
            exists=self._repository(None).exists,
            read=self._read_source,
        )
        # What ended the step early is an error of its own, said last.
        early = (FailureKind.API, FailureKind.CONFIG, FailureKind.TIMEOUT)
        reserved = 1 if self._known.outcome.failure_kind in early else 0
        for kind in ("error", "warning"):
            mine = [one for one in found if one.kind == kind]
            self.console.annotate_all(
                kind,
                [RunnerAnnotation(message=one.message, file=one.file, line=one.line, title=one.title) for one in mine],
                reserve=reserved if kind == "error" else 0,
            )

    def _read_source(self, path: str) -> str | None:
        """The text of a file of the workspace, for the line that a message quotes."""
        try:
            file = inside_workspace(self.settings.github.workspace, path)
            return file.read_text(errors="replace") if file.stat().st_size <= LARGEST_SOURCE else None
        except (OSError, ValueError):
            return None

    def _begin_upload(self, outcome: Outcome) -> Uploading | None:
        """What is final is zipped while the rest is made; None where there is nothing to upload."""
        if not self.settings.upload_artifact or self.folder is None or not (self.written or outcome.attempts):
            return None
        if not self.settings.wait and not self._dbt_files():
            return None  # the name stays free for the step that takes the run up
        uploading = Uploading(self.folder, self.packed)
        uploading.start(self.settings, self.console, self.clock, self.artifact_name)
        uploading.give(self.written)
        return uploading

    async def _finish_upload(self, uploading: Uploading) -> None:
        from dbt_cloud_run.github.artifacts.upload import ArtifactUploadError

        try:
            uploading.give(self.written)
            uploaded = await uploading.finish()
        except Interrupted:
            raise
        except ArtifactUploadError as error:
            self._warn(f"The artifact was not uploaded: {error}")
        except Exception as error:  # a good run does not fail for its artifact
            self._warn(f"The artifact was not uploaded: {type(error).__name__}: {error}")
        else:
            link = ArtifactLink(id=str(uploaded.id), name=uploaded.name, url=uploaded.url)
            self._data = replace(self._known, artifact=link)
        self._guard("outputs", self._set_outputs)
        self._guard(RESULT, self._write_result)

    @property
    def has_uploaded(self) -> bool:
        """Whether the workflow artifact is there."""
        return self._data is not None and self._data.artifact is not None

    @property
    def artifact_name(self) -> str:
        """The input, or a name with the first attempt's run id, so that jobs of a matrix never collide."""
        attempts = self._known.outcome.attempts
        first = attempts[0].run_id if attempts else 0
        return self.settings.artifact_name or f"dbt-cloud-run-{self._known.job_id or 0}-{first}"

    def _comment(self) -> None:
        from dbt_cloud_run.publish.comment import comment

        comment(self.settings, self._known, on_note=self.console.info, on_warning=self._warn)

    def _hand_over(self) -> None:
        """Give what we wrote, and the folders that we made for it, to the owner of the workspace."""
        if self.folder is not None and self.folder.exists():
            runs = [self.folder / "runs" / str(attempt.run_id) for attempt in self._known.outcome.attempts]
            ours = [*self.written, self.folder / RESULT, *runs]
            own_like_workspace(ours, self.settings.github.workspace, spare=self._there)

    def result_lines(self) -> list[str]:
        """The last lines of the log."""
        from dbt_cloud_run.report.progress import result_lines

        return result_lines(self._known)

    # -- means

    @property
    def _known(self) -> Report:
        return self._data if self._data is not None else Report(outcome=Outcome(ending=Ending.ERROR))

    def _path(self, name: str) -> Path:
        if self.folder is None:
            raise FileNotFoundError("there is no folder in the workspace to write to")
        path = self.folder / name
        require_inside(self.folder, path)
        self.written.add(path)
        return path

    def _relative(self, path: Path | None) -> str | None:
        if path is None:
            return None
        root = self.settings.github.workspace.resolve()
        return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)

    def _guard(self, what: str, do: object) -> None:
        try:
            do()  # type: ignore[operator]
        except Interrupted:
            raise
        except Exception as error:  # publishing never changes the verdict
            self._warn(f"The {what} could not be published: {type(error).__name__}: {error}")

    def _warn(self, text: str) -> None:
        self.console.warning(text)
        if self._data is not None:
            self._data = replace(self._data, warnings=(*self._data.warnings, text))


def artifacts_folder(settings: Settings, job_id: int | None) -> Path:
    """The folder in the workspace that receives the files. Raises `UnsafePathError`."""
    relative = settings.artifacts_path or f"dbt-cloud/{job_id or 'unknown'}"
    return inside_workspace(settings.github.workspace, relative)


def _job_url(run_url: str | None, job_id: int | None) -> str | None:
    """The job's page, made from the address of a run of it: both hang on the project."""
    if not run_url or job_id is None or "/runs/" not in run_url:
        return None
    return f"{run_url.rsplit('/runs/', 1)[0]}/jobs/{job_id}"
