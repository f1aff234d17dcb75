"""How an attempt, and the whole, ended: the values of the outputs `status` and `failure-kind`."""

from __future__ import annotations

from enum import StrEnum


class Ending(StrEnum):
    """How an attempt ended, and the values of the output `status`."""

    QUEUED = "queued"  # `wait: false`: it had not ended when we left
    SUCCESS = "success"
    ERROR = "error"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"  # dbt Cloud cancelled it for a newer commit
    TIMED_OUT = "timed-out"  # our limits, or dbt Cloud's own
    SKIPPED = "skipped"  # no token, or the job is busy, where the inputs say to skip then
    DRY_RUN = "dry-run"  # nothing was started, as it was asked for

    @property
    def is_good(self) -> bool:
        """Whether the step has done what it was asked for, and knows of no failure."""
        return self in (Ending.SUCCESS, Ending.QUEUED, Ending.SKIPPED, Ending.DRY_RUN)


class FailureKind(StrEnum):
    """The values of the output `failure-kind`."""

    NONE = ""
    NODES = "nodes"
    SETUP = "setup"
    COMPILE = "compile"
    FRESHNESS = "freshness"
    LINT = "lint"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    API = "api"
    CONFIG = "config"
    NO_NODES = "no-nodes"
    STALE_SOURCES = "stale-sources"
    SOURCE_WARNINGS = "source-warnings"
    WARNINGS = "warnings"
    OTHER_COMMIT = "other-commit"
