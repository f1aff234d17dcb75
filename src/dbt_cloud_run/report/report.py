"""What a report is made of: the outcome, the assets, and a light view of the manifest and of where things are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from dbt_cloud_run.assets.asset import Asset
from dbt_cloud_run.github.checkout import Checkout
from dbt_cloud_run.github.events import Nothing, Subject
from dbt_cloud_run.model import Outcome
from dbt_cloud_run.start.request import DryRun


class NodeInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A node (or source, exposure, unit test) of the manifest, as far as a reader needs it. All text is untrusted."""

    unique_id: str
    name: str
    resource_type: str
    package_name: str | None = None
    original_file_path: str | None = None  # in the dbt project; of a generic test: the YAML file that declares it
    compiled_path: str | None = None  # below dbt's target folder, as the manifest says
    file: str | None = None  # path in the repository (project directory included), only where the file exists there
    url: str | None = None  # of `file` at the run's commit
    materialization: str | None = None  # `table`, `view`, `ephemeral`, …; None for tests and sources
    relation_name: str | None = None
    owners: tuple[str, ...] = ()
    tested_nodes: tuple[str, ...] = ()  # of a test: the nodes it depends on, the attached one first


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactLink:
    """The uploaded workflow artifact."""

    id: str
    name: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The input of every report. Everything but the outcome may be unknown."""

    outcome: Outcome
    assets: tuple[Asset, ...] = ()
    nodes: Mapping[str, NodeInfo] = field(default_factory=dict)  # by unique id; sources included
    edges: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # parent -> children: the manifest's child_map
    artifact: ArtifactLink | None = None
    artifacts_path: str | None = None  # workspace-relative folder; None when nothing was written
    has_dbt_files: bool = True  # whether dbt's own files are there, too
    assets_path: str | None = None  # workspace-relative path of assets.json; None when it was not written
    account_id: int | None = None
    project_name: str | None = None
    adapter: str | None = None  # dbt's name of the warehouse
    dbt_version: str | None = None  # as dbt's files say
    job_id: int | None = None
    job_name: str | None = None
    job_url: str | None = None
    environment: str | None = None
    commit_url: str | None = None  # of the last attempt's git_sha, when that commit is of this repository
    workflow_url: str | None = None  # of the workflow run, if the job summary is on its page
    checkout: Checkout | None = None  # the repository of the dbt project, as it lies in the workspace
    subject: Subject = field(default_factory=Nothing)  # what the event is about
    dry_run: DryRun | None = None  # what the step would do
    notices: tuple[str, ...] = ()  # what is worth an annotation and a line, and is nothing wrong
    warnings: tuple[str, ...] = ()  # what went wrong in publishing, shown with the attempts' own warnings
