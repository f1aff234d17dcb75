"""The shapes of `result.json` and `assets.json`. `tools/schemas.py` makes their JSON Schemas of these types.

Adding a field keeps the version, and the field is `NotRequired`: a file that an earlier release wrote stays valid.
Another name, type or meaning, or a field that goes, raises the version.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from dbt_cloud_run.assets.asset import Asset

VERSION: Final = 1
"""The `schema_version` of both files."""


class Named(TypedDict):
    """An object of dbt Cloud. The name is null where no answer that is read anyway holds it."""

    id: int | None
    name: str | None


class Versions(TypedDict):
    """What made the results."""

    action: str
    dbt: Annotated[str | None, Field(description="As dbt's own files say, else as dbt Cloud says.")]


class About(TypedDict):
    """Where and of what the run was; what is not known is null."""

    account: Named
    job: Named
    project: Named
    environment: Named
    branch: Annotated[str | None, Field(description="The branch that the last attempt checked out.")]
    schema: Annotated[str | None, Field(description="The schema that the run was told to build in.")]
    adapter: Annotated[str | None, Field(description="dbt's name of the warehouse, such as `bigquery`.")]
    versions: Versions


class Spending(TypedDict):
    """A cost in the warehouse's own units; null where the adapter reports no such thing."""

    bytes_processed: int | None
    bytes_billed: int | None
    slot_ms: int | None


class TotalSpending(Spending):
    """The cost of every execution in every attempt."""

    is_complete: Annotated[bool, Field(description="Whether every run ended by itself and all results were read.")]


class Saved(TypedDict):
    """What the retries did not repeat."""

    nodes: int
    node_seconds: Annotated[float, Field(description="Execution times, added up over all threads.")]
    cost: Spending | None


Outputs = TypedDict(
    "Outputs",
    {
        "status": str,
        "failure-kind": str,
        "gates-failed": list[str],
        "run-id": int | None,
        "run-url": str | None,
        "git-sha": str | None,
        "job-id": int | None,
        "job-name": str | None,
        "run-ids": list[int],
        "attempts": int,
        "nodes-total": int | None,
        "nodes-succeeded": int | None,
        "nodes-warned": int | None,
        "nodes-failed": int | None,
        "nodes-skipped": int | None,
        "counts": dict[str, dict[str, int]],
        "sources-warned": int | None,
        "sources-failed": int | None,
        "failed-nodes": list[str],
        "recovered-nodes": list[str],
        "failed-owners": list[str],
        "assets": list[str],
        "assets-count": int | None,
        "assets-path": str | None,
        "artifacts-path": str | None,
        "artifact-id": str | None,
        "artifact-url": str | None,
        "artifact-name": str | None,
        "duration-seconds": int,
        "queued-seconds": int,
    },
)
"""Every output with its real type; what is not known is None."""


class Result(About, Outputs):
    """How the step ended: every output, uncut, and what it was about."""

    schema_version: Literal[1]
    cost: Annotated[TotalSpending | None, Field(description="Null where the adapter reports none.")]
    saved: Annotated[Saved | None, Field(description="Null without a retry.")]


class AssetsFile(About):
    """What the run's attempts have put into the warehouse."""

    schema_version: Literal[1]
    assets: list[Asset]
