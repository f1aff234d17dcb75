"""The results of nodes, as they travel between the rooms: there are tens of thousands of them.

So they are structs of msgspec, which are made in a quarter of a dataclass's time. Times are timezone-aware UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from dbt_cloud_run.planned import Window


class NodeResult(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of a `run_results.json`. `status` is dbt's own word, in lower case; an unknown word is kept."""

    unique_id: str
    status: str
    message: str | None = None
    failures: int | None = None
    execution_seconds: float = 0.0
    thread_id: str = ""
    started_at: datetime | None = None  # of the execution
    completed_at: datetime | None = None
    relation_name: str | None = None
    adapter_response: Mapping[str, Any] = msgspec.field(default_factory=dict)
    row: int = 0  # position in the file's `results`, by which the file's own row is found again
    batches_done: tuple[Window, ...] = ()  # of a microbatch model
    batches_failed: tuple[Window, ...] = ()
    are_batches_unread: bool = False  # some failed, and which is not known of all


class BuiltResult(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The result by which a node was last built, with where it happened."""

    result: NodeResult
    attempt: int
    run_id: int
    step_index: int


class NodeOutcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A node over all steps and attempts: `result` is the last one, and the truth."""

    unique_id: str
    result: NodeResult
    attempt: int
    run_id: int
    step_index: int
    results_path: Path
    recovered: bool = False  # failed (not merely skipped) in one attempt, succeeded in a later one
    built: BuiltResult | None = None  # the last result that wrote to the warehouse; not always the last result
