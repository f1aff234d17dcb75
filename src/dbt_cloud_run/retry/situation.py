"""What is known when a retry is planned, beyond the step that is looked at. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from dbt_cloud_run.dbt.batches import without
from dbt_cloud_run.dbt.failures import judge, judge_log
from dbt_cloud_run.dbt.selection import Selector, is_ephemeral
from dbt_cloud_run.model import RunState, Step
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import Retryability, Window
from dbt_cloud_run.retry.nodes import node_rows

_DETERMINISTIC = Retryability.DETERMINISTIC

LATER_ATTEMPT = 10**9
"""In the place of a step's index: after every step of the attempt."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known beyond the step itself.

    `done`: node → index of the last step in which it succeeded. `filled`: microbatch model → the batches that
    succeeded, with the index of their step. `built`: the nodes whose relation this run has built. `unread`: index of a
    step (None: of any) → why its results could not be read. `stopped`: when what never started would have begun.
    `now`: when the retry is planned, if that is known. `favors_state`: some step ran with `--favor-state`.
    `hollow`: node that failed in a step that counts as successful → the index of that step.
    """

    takes_all: bool
    done: Mapping[str, int]
    selector: Selector | None = None
    adapter_type: str | None = None
    version: tuple[int, int] | None = None
    filled: Mapping[str, tuple[tuple[int, Window], ...]] = field(default_factory=dict)
    built: frozenset[str] = frozenset()
    unread: Mapping[int | None, str] = field(default_factory=dict)
    stopped: tuple[datetime, datetime] | None = None
    now: datetime | None = None
    favors_state: bool = False
    hollow: Mapping[str, int] = field(default_factory=dict)

    def why_unread(self, step: Step) -> str:
        """Why results that the step may have could not be read; empty where it has none."""
        return self.unread.get(step.index) or self.unread.get(None) or ""

    def is_done(self, unique_id: str, step: Step) -> bool:
        """Whether the node succeeded after this step: a microbatch model, with all of its batches."""
        last = self.done.get(unique_id)
        if last is None or last <= step.index:
            return False
        row = node_rows(step).get(unique_id)
        filled = self.filled_after(step).get(unique_id)
        return row is None or filled is None or not without(row.batches_failed, filled)

    def is_done_by_later_step(self, unique_id: str, step: Step) -> bool:
        """Whether a later step of the same attempt has done it."""
        return self.done.get(unique_id, LATER_ATTEMPT) < LATER_ATTEMPT and self.is_done(unique_id, step)

    def filled_after(self, step: Step) -> dict[str, tuple[Window, ...]]:
        """The batches that later steps have filled, by model."""
        return {
            unique_id: windows
            for unique_id, found in self.filled.items()
            if (windows := tuple(window for index, window in found if index > step.index))
        }

    def is_hopeless(self, verdict: Retryability) -> bool:
        return verdict is _DETERMINISTIC and not self.takes_all

    def is_compiled(self, unique_id: str) -> bool:
        """Whether this is an ephemeral model: part of those that use it, it is listed at times all the same."""
        node = self.selector.nodes.get(unique_id) if self.selector else None
        return node is not None and is_ephemeral(node)

    def judge(self, row: NodeResult) -> Retryability:
        resource_type = row.unique_id.partition(".")[0]
        return judge(row.status, row.message, adapter_type=self.adapter_type, resource_type=resource_type)

    def is_hopeless_log(self, step: Step) -> bool:
        if self.takes_all or step.state is not RunState.ERROR:
            return False
        return judge_log(step.log, adapter_type=self.adapter_type) is _DETERMINISTIC
