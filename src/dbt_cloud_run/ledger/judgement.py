"""What a node's status says where the state of its step is known, too."""

from __future__ import annotations

from functools import lru_cache

from dbt_cloud_run.dbt.statuses import FAILURES, Kind, kind, normalise
from dbt_cloud_run.model import RunState

_SAY_FAILURE = ("error", "fail", "partial", "abort", "kill", "timed out", "cancel")


@lru_cache(maxsize=1024)  # there are few words, and many nodes
def judged(status: str, step: RunState) -> Kind:
    """As `statuses.kind`; but an unknown word is no failure where dbt called the step a success."""
    found = kind(status)
    if found is not Kind.FAILED or step is not RunState.SUCCESS:
        return found
    word = normalise(status)
    return found if word in FAILURES or any(part in word for part in _SAY_FAILURE) else Kind.SUCCEEDED
