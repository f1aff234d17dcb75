"""What became of a check, and the register of checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from dbt_cloud_emulator.conformance.beliefs import BELIEFS, Belief
from dbt_cloud_emulator.conformance.scene import NotCheckedError, Scene
from dbt_cloud_emulator.conformance.session import NotThereError


class Verdict(Enum):
    """How a belief stands after its check."""

    HELD = "held"
    NOT_HELD = "not held"
    SEEN = "seen"  # not known until now; what was seen is beside it
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check saw: whether it is as believed, and what it is in a few words."""

    is_as_believed: bool
    what: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A belief and what became of it. `is_as_believed` is None where nothing was seen."""

    belief: Belief
    verdict: Verdict
    is_as_believed: bool | None
    seen: str


Check = Callable[[Scene], Seen]
CHECKS: dict[str, Check] = {}


def check(belief_id: str) -> Callable[[Check], Check]:
    """Register the check of a belief. Raises ValueError for an unknown belief, or one that has a check."""

    def register(function: Check) -> Check:
        if belief_id not in BELIEFS or belief_id in CHECKS:
            raise ValueError(f"{belief_id}: no belief, or checked twice")
        CHECKS[belief_id] = function
        return function

    return register


def run_check(belief: Belief, scene: Scene) -> Outcome:
    """Check one belief. Nothing that a server answers makes it raise."""
    try:
        seen = CHECKS[belief.id](scene)
    except NotCheckedError as reason:
        return Outcome(belief, Verdict.NOT_CHECKED, None, str(reason))
    except NotThereError as reason:
        return _judged(belief, Seen(is_as_believed=False, what=f"not there: {reason}"))
    except (KeyError, TypeError, ValueError, AttributeError, LookupError) as error:
        return _judged(belief, Seen(is_as_believed=False, what=f"of another form: {_in_short(error)}"))
    return _judged(belief, seen)


def _in_short(error: Exception) -> str:
    """What kind it is, and which field is missing: the text of others can quote a value."""
    missing = error.args[0] if isinstance(error, KeyError) and error.args else None
    return f"{type(error).__name__}{f': {missing!r}' if isinstance(missing, str | int) else ''}"


def _judged(belief: Belief, seen: Seen) -> Outcome:
    if belief.sureness == "unsure":
        return Outcome(belief, Verdict.SEEN, seen.is_as_believed, seen.what)
    verdict = Verdict.HELD if seen.is_as_believed else Verdict.NOT_HELD
    return Outcome(belief, verdict, seen.is_as_believed, seen.what)
