"""What is sent as events: the materializations of this step, and what the sinks need to describe them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dbt_cloud_run.assets.asset import Asset
from dbt_cloud_run.assets.assets import failed_materializations
from dbt_cloud_run.assets.nodes import Repository
from dbt_cloud_run.dbt.artifacts import ManifestNode
from dbt_cloud_run.dbt.manifests import Manifests
from dbt_cloud_run.model import Attempt, Outcome
from dbt_cloud_run.redaction import redact


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """The input of every sink. All names, messages and descriptions are untrusted text: they go into JSON alone."""

    outcome: Outcome
    attempts: tuple[Attempt, ...]  # those that this step waited for
    built: tuple[Asset, ...]  # materialized in one of these attempts
    failed: tuple[Asset, ...]  # failed as their last result, in one of these attempts
    manifests: Manifests
    base_url: str  # of dbt Cloud
    job_id: int
    job_name: str | None = None
    manifest_file: Path | None = None
    catalog_file: Path | None = None

    def node(self, asset: Asset) -> ManifestNode | None:
        """What the manifest of the step that built the asset says of its node."""
        manifest = self.manifests.of(asset.run_id, asset.step)
        return manifest.nodes.get(asset.unique_id) if manifest is not None else None

    def attempt(self, run_id: int) -> Attempt:
        """The attempt with this run."""
        return next(one for one in self.attempts if one.run_id == run_id)

    def message(self, unique_id: str) -> str:
        """dbt's message with the node's last result; empty where there is none."""
        outcome = self.outcome.ledger.outcomes.get(unique_id)
        return redact(outcome.result.message or "") if outcome is not None else ""


def emission_of(
    outcome: Outcome,
    assets: tuple[Asset, ...],
    manifests: Manifests | None,
    *,
    base_url: str,
    job_id: int | None,
    job_name: str | None,
    manifest_file: Path | None,
    catalog_file: Path | None,
) -> Emission | None:
    """What this step has to send; None where it waited for no run, or the run's job is not known.

    A run that an earlier attempt of the workflow run started, and that had ended when this step came to it, is that
    attempt's to send.
    """
    attempts = tuple(one for one in outcome.attempts if not (one.from_earlier_workflow_run and one.had_ended))
    if not attempts or job_id is None:
        return None
    runs = {attempt.run_id for attempt in attempts}
    known = manifests or Manifests()
    nowhere = Repository(project_directory=".", exists=lambda _: False)
    failed = failed_materializations(outcome.ledger, known, nowhere)
    return Emission(
        outcome=outcome,
        attempts=attempts,
        built=tuple(asset for asset in assets if asset.run_id in runs),
        failed=tuple(asset for asset in failed if asset.run_id in runs),
        manifests=known,
        base_url=base_url,
        job_id=job_id,
        job_name=job_name,
        manifest_file=manifest_file,
        catalog_file=catalog_file,
    )
