"""The report of an outcome, built once: every sink gets it as an argument."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dbt_cloud_run.assets.assets import materializations
from dbt_cloud_run.assets.nodes import Repository
from dbt_cloud_run.github.checkout import Checkout, checkout_of, locate_project
from dbt_cloud_run.github.events import Built, Subject, built_of
from dbt_cloud_run.github.files import WorkspaceFiles
from dbt_cloud_run.model import Outcome
from dbt_cloud_run.publish.folder import ASSETS, JUNIT, RESULT, SUMMARY, ArtifactsFolder
from dbt_cloud_run.report.pull_request import other_commit
from dbt_cloud_run.report.report import Report
from dbt_cloud_run.report.view import NodeInfos, edges_of
from dbt_cloud_run.settings.settings import Settings

if TYPE_CHECKING:
    from dbt_cloud_run.dbt.artifacts import Manifest
    from dbt_cloud_run.dbt.manifests import Manifests

_logger = logging.getLogger(__name__)

COMPOSED = (ASSETS, JUNIT, RESULT, SUMMARY)
"""The files that this action composes itself; all others are dbt's."""


def build_report(
    outcome: Outcome,
    manifests: Manifests | None,
    settings: Settings,
    *,
    subject: Subject,
    checkout: Checkout | None,
    job_id: int | None,
    job_name: str | None = None,
    folder: ArtifactsFolder | None,
    files: Mapping[Path, Path | None],
) -> Report:
    """The report. Whatever is unexpected in the manifest, the outcome is reported, with a warning.

    Without a `checkout`, nothing is linked or annotated.
    """
    manifest = manifests.newest if manifests else None
    last = outcome.last
    report = Report(
        outcome=outcome,
        account_id=settings.account_id or None,
        project_name=(last.project_name if last else None) or settings.project_name,
        adapter=manifest.metadata.adapter_type if manifest else None,
        dbt_version=manifest.metadata.dbt_version if manifest else None,
        job_id=job_id,
        job_name=(last.job_name if last else None) or job_name or settings.job_name,
        job_url=_job_url(last.run_url, job_id) if last else None,
        environment=(last.environment_name if last else None) or settings.environment_name,
        workflow_url=(settings.github.workflow_run_url or None) if settings.summary else None,
        has_dbt_files=any(path.name not in COMPOSED for path in files),
        artifacts_path=folder.relative() if folder is not None and outcome.attempts else None,
        subject=subject,
        checkout=checkout,
    )
    try:
        repository = _repository(checkout, last.git_sha if last else None)
        is_here = _is_of(repository, manifest)
        is_own = checkout is not None and checkout.is_own
        notice = other_commit(subject, repository.sha) if is_here and is_own else ""
        return replace(
            report,
            assets=materializations(outcome.ledger, manifests, repository),
            nodes=NodeInfos(manifests, repository) if manifests else {},
            edges=edges_of(manifest) if manifest else {},
            commit_url=_commit_url(settings, repository, subject, is_here=is_here, is_own=is_own),
            notices=(notice,) if notice else (),
        )
    except Exception as error:
        return replace(report, warnings=(f"Assets and lineage could not be made: {type(error).__name__}: {error}",))


def find_checkout(settings: Settings) -> Checkout:
    """The repository of the dbt project. A line in the log says where the project was found, or what to set."""
    github = settings.github
    given = settings.project_directory if "project-directory" in settings.given else None
    directory, line = locate_project(github.workspace, given)
    if line:
        _logger.info("%s", line)
    return checkout_of(github.workspace, directory, server_url=github.server_url, repository=github.repository)


def _repository(checkout: Checkout | None, run_sha: str | None) -> Repository:
    """The repository, with links to the commit that the run has built."""
    if checkout is None:
        return Repository(project_directory=".", exists=lambda _: False, web_url=None, sha=run_sha)
    return Repository(
        project_directory=checkout.directory,
        exists=WorkspaceFiles(checkout.root).__contains__,
        web_url=checkout.web_url,
        sha=run_sha,
    )


def _is_of(repository: Repository, manifest: Manifest | None) -> bool:
    """Whether the dbt project lies in this repository: at least one of its files does."""
    nodes = manifest.nodes.values() if manifest else ()
    root = manifest.metadata.project_name if manifest else None
    return any(repository.file_of(node, root) for node in nodes)


def _commit_url(
    settings: Settings, repository: Repository, subject: Subject, *, is_here: bool, is_own: bool
) -> str | None:
    """The page of the run's commit; None where nothing shows that the dbt project is of this repository."""
    sha = repository.sha
    if not sha or not repository.web_url:
        return None
    # The commits of the event are of the workflow's own repository.
    is_events = sha == settings.github.sha or built_of(subject, sha) in (Built.HEAD, Built.MERGE_COMMIT)
    return f"{repository.web_url}/commit/{sha}" if is_here or (is_own and is_events) else None


def _job_url(run_url: str | None, job_id: int | None) -> str | None:
    """The job's page, made from the address of a run of it: both are pages of the project."""
    if not run_url or job_id is None or "/runs/" not in run_url:
        return None
    return f"{run_url.rsplit('/runs/', 1)[0]}/jobs/{job_id}"
