"""Who cancelled a run, as far as dbt Cloud says so. Pure.

The status is the same for every cancellation, so the wording of the status message and the audit decide. The wordings
are documented nowhere and known from public reports, so several are understood. Where neither says anything, it is not
known: a run that a person cancels in the queue then looks like one that dbt Cloud had no capacity for.
"""

from __future__ import annotations

import re

from dbt_cloud_run.cancellation import Cancellation, CancelledBy, says_set_up_failed

_CAPACITY = re.compile(
    r"\bcapacity\b|\bno (?:available )?(?:workers?|run slots?|resources?)\b|\bunable to (?:start|schedule|provision)\b",
    re.IGNORECASE,
)
_HEARTBEAT = re.compile(r"\bheart-?beats?\b|\binactiv(?:e|ity)\b", re.IGNORECASE)
_SUPERSEDED = re.compile(
    r"supersed"
    r"|\bstale\b"
    r"|\b(?:newer|new|later|latest|more recent|subsequent)\s+(?:\w+\s+){0,2}(?:commit|push|run|build)"
    r"|\b(?:commit|push|build)s?\b.{0,40}\b(?:newer|later|more recent)",
    re.IGNORECASE | re.DOTALL,
)
_TIMED_OUT = re.compile(
    r"timed[ -]?out|exceeded (?:the|its) (?:configured )?(?:timeout|time limit|duration)", re.IGNORECASE
)
_NEWER_RUN = re.compile(r"\brun (?:#\s*)?(\d{2,19})\b", re.IGNORECASE)
_COMMIT = re.compile(r"\b(?:commit|push|pull request)", re.IGNORECASE)


def cancellation_of(message: str | None, actor: str | None, *, is_starter: bool | None) -> Cancellation:
    """Who cancelled a run with this status message and this actor in its audit.

    `is_starter`: whether the actor also triggered the run; None where the audit does not say.
    """
    text = message or ""
    if _HEARTBEAT.search(text):
        return Cancellation(by=CancelledBy.HEARTBEAT)
    if _SUPERSEDED.search(text):
        newer = _NEWER_RUN.search(text)
        is_for_commit = _COMMIT.search(text) is not None
        return Cancellation(
            by=CancelledBy.NEWER_RUN, newer_run_id=int(newer[1]) if newer else None, is_for_commit=is_for_commit
        )
    if _CAPACITY.search(text):
        # It may say that the run timed out in the queue.
        return Cancellation(by=CancelledBy.CAPACITY)
    if _TIMED_OUT.search(text):
        return Cancellation(by=CancelledBy.TIME_LIMIT)
    if says_set_up_failed(text):
        return Cancellation(by=CancelledBy.SET_UP)
    if actor is not None:
        return Cancellation(by=CancelledBy.STARTER if is_starter else CancelledBy.ACTOR, actor=actor)
    return Cancellation(by=CancelledBy.UNKNOWN)
