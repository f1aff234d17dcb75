"""The invariants of a success, and how a run that dbt Cloud calls one contradicts them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dbt_cloud_run.gates import FailedGate


class Invariant(StrEnum):
    """What must hold for a success; checked in `ledger.verdict`, at one place, before anything is published."""

    NO_NODE_FAILED = "no node's last result is a failure"
    NOTHING_LEFT_OUT = "no failure was left out of a retry"
    RETRIED_RAN = "every node that was to be re-run has a result of the retry"
    RESULTS_KNOWN = "after a retry, every result is known"
    COMMIT_AS_ASKED = "the commit that was built is the one that was asked for"
    NO_GATE_FAILED = "no condition of fail-on holds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """dbt Cloud calls the last run a success, and an invariant does not hold.

    `nodes` are unique ids, `runs` run ids, `commits` the one asked for and the one built,
    `gates` the conditions of `fail-on`.
    """

    invariant: Invariant
    nodes: tuple[str, ...] = ()
    runs: tuple[int, ...] = ()
    commits: tuple[str, str] | None = None
    gates: tuple[FailedGate, ...] = ()
