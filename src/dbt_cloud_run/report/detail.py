"""How much a report shows of each thing: the uncut one, the job summary, the pull request comment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """Limits; None is: all."""

    message_lines: int | None
    message_characters: int
    log_lines: int | None  # of a failed step's log, its end
    failures: int | None  # shown with their whole message; the others as rows of a table
    names: int  # in a list of nodes
    open_rows: int  # rows of the asset tables that are not folded


FULL = Detail(
    message_lines=None, message_characters=1_000_000, log_lines=None, failures=None, names=1_000_000, open_rows=60
)
SUMMARY = Detail(message_lines=24, message_characters=3_000, log_lines=40, failures=25, names=100, open_rows=40)
COMMENT = Detail(message_lines=10, message_characters=1_000, log_lines=15, failures=8, names=15, open_rows=0)
