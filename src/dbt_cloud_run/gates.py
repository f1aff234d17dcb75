"""The conditions of `fail-on`, and what was found about them: values that travel to the report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Gate(StrEnum):
    """The words of the input `fail-on`, in the order in which they name the failure. Source: the contract."""

    NO_NODES = "no-nodes"
    STALE_SOURCES = "stale-sources"
    SOURCE_WARNINGS = "source-warnings"
    WARNINGS = "warnings"
    OTHER_COMMIT = "other-commit"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedGate:
    """A condition of `fail-on` that holds, or of which it is not known whether it holds.

    `nodes` are unique ids, of sources too; `commands` those that selected nothing; `commits` the one that was wanted
    and the one that was built; `unread` the runs of which what the condition needs could not be read.
    """

    gate: Gate
    nodes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    commits: tuple[str, str] | None = None
    unread: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingSelected:
    """The run executed no node, because its commands selected none."""

    commands: tuple[str, ...]
    # Whether a selection is by state, so that nothing to do is a usual result.
    is_by_state: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFindings:
    """What there is to say about conditions: those of `fail-on` that fail the step, and the others."""

    failed: tuple[FailedGate, ...] = ()
    # Conditions of `fail-on` that the run leaves nothing to compare for.
    idle: tuple[Gate, ...] = ()
    nothing_selected: NothingSelected | None = None
    # Runs that checked the freshness of sources, and whose results of that could not be read.
    unread_freshness: tuple[int, ...] = ()

    def has_failed(self, gate: Gate) -> bool:
        """Whether this condition fails the step."""
        return any(found.gate is gate for found in self.failed)
