"""The report of an outcome, built once: every sink gets it as an argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dbt_cloud_run.assets.assets import materializations
from dbt_cloud_run.assets.nodes import Repository
from dbt_cloud_run.github.files import WorkspaceFiles
from dbt_cloud_run.model import Outcome
from dbt_cloud_run.publish.folder import ASSETS, RESULT, SUMMARY, ArtifactsFolder
from dbt_cloud_run.report.report import Report
from dbt_cloud_run.report.view import NodeInfos, edges_of
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.start.pull_request import head_sha

if TYPE_CHECKING:
    from dbt_cloud_run.dbt.artifacts import Manifest

COMPOSED = (ASSETS, RESULT, SUMMARY)
"""The files that this action composes itself; all others are dbt's."""


def build_report(
    outcome: Outcome,
    manifest: Manifest | None,
    settings: Settings,
    *,
    job_id: int | None,
    folder: ArtifactsFolder | None,
    files: Mapping[Path, Path | None],
) -> Report:
    """The report. Whatever is unexpected in the manifest, the outcome is reported, with a warning."""
    last = outcome.last
    report = Report(
        outcome=outcome,
        job_id=job_id,
        job_name=last.job_name if last else None,
        job_url=_job_url(last.run_url, job_id) if last else None,
        environment=last.environment_name if last else None,
        workflow_url=(settings.github.workflow_run_url or None) if settings.summary else None,
        has_dbt_files=any(path.name not in COMPOSED for path in files),
        artifacts_path=folder.relative() if folder is not None and outcome.attempts else None,
    )
    try:
        repository = repository_of(settings, last.git_sha if last else None)
        return replace(
            report,
            assets=materializations(outcome.ledger, manifest, repository),
            nodes=NodeInfos(manifest, repository) if manifest else {},
            edges=edges_of(manifest) if manifest else {},
            commit_url=_commit_url(settings, repository, manifest),
        )
    except Exception as error:
        return replace(report, warnings=(f"Assets and lineage could not be made: {type(error).__name__}: {error}",))


def repository_of(settings: Settings, run_sha: str | None) -> Repository:
    """The repository of the workflow, with links to the commit that the run has built."""
    github = settings.github
    return Repository(
        project_directory=settings.project_directory,
        exists=WorkspaceFiles(github.workspace).__contains__,
        web_url=f"{github.server_url}/{github.repository}" if github.repository else None,
        sha=run_sha,
    )


def _commit_url(settings: Settings, repository: Repository, manifest: Manifest | None) -> str | None:
    """The page of the run's commit; None where nothing shows that the dbt project is of this repository."""
    github, sha = settings.github, repository.sha
    if not sha or not repository.web_url:
        return None
    nodes = manifest.nodes.values() if manifest else ()
    root = manifest.metadata.project_name if manifest else None
    is_here = sha == github.sha or any(repository.file_of(node, root) for node in nodes)
    return f"{repository.web_url}/commit/{sha}" if is_here or sha == head_sha(github.event) else None


def _job_url(run_url: str | None, job_id: int | None) -> str | None:
    """The job's page, made from the address of a run of it: both are pages of the project."""
    if not run_url or job_id is None or "/runs/" not in run_url:
        return None
    return f"{run_url.rsplit('/runs/', 1)[0]}/jobs/{job_id}"
