"""A `run_results.json` and a `sources.json`, decoded into the few fields that we need; others are passed over.

Schemas: run-results v4 to v6, sources v3 (schemas.getdbt.com). The number does not show the fields (they grow within a
version), so nothing is checked against it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from dbt_cloud_run.dbt.decoding import decode
from dbt_cloud_run.dbt.statuses import PARTIAL_SUCCESS, normalise
from dbt_cloud_run.model import FreshnessResult, StepResults
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import Window

_LONGEST = 1e12  # seconds; a source that never was loaded may be dated to the year 1


class _Lenient(msgspec.Struct, kw_only=True, gc=False):
    pass


class _Timing(_Lenient):
    name: str | None = None
    started_at: str | None = None
    completed_at: str | None = None


class _ResultRow(_Lenient):
    unique_id: str = ""
    status: str | None = None
    message: Any = None
    failures: Any = None
    execution_time: float | None = None
    thread_id: str | None = None
    relation_name: str | None = None
    timing: list[_Timing] | None = None
    adapter_response: Any = None
    batch_results: Any = None


class _ResultsMetadata(_Lenient):
    dbt_version: str | None = None
    generated_at: str | None = None
    invocation_id: str | None = None
    env: Any = None


class _Args(_Lenient):
    which: str | None = None
    fail_fast: Any = None
    indirect_selection: Any = None
    resource_types: Any = None
    exclude_resource_types: Any = None
    full_refresh: Any = None
    favor_state: Any = None
    empty: Any = None


class _RunResults(_Lenient):
    results: list[_ResultRow | None]
    metadata: _ResultsMetadata = msgspec.field(default_factory=_ResultsMetadata)
    args: _Args = msgspec.field(default_factory=_Args)
    elapsed_time: float | None = None


class _Period(_Lenient):
    count: int | None = None
    period: str | None = None


class _Criteria(_Lenient):
    warn_after: _Period | None = None
    error_after: _Period | None = None


class _FreshnessRow(_Lenient):
    unique_id: str = ""
    status: str = ""
    error: Any = None
    max_loaded_at: str | None = None
    max_loaded_at_time_ago_in_s: float | None = None
    criteria: _Criteria | None = None


class _Sources(_Lenient):
    results: list[_FreshnessRow | None]
    metadata: _ResultsMetadata = msgspec.field(default_factory=_ResultsMetadata)


class RunResultsHead(msgspec.Struct, kw_only=True, frozen=True):
    """What a `run_results.json` says of itself, for the judgement whether it belongs to a step."""

    invocation_id: str | None
    generated_at: datetime | None
    which: str | None
    env: dict[str, Any]
    passed_over: int = 0  # values of an unexpected shape


def decode_run_results(path: Path) -> tuple[RunResultsHead, StepResults]:
    """Decode a `run_results.json`; raises `UnreadableArtifactError`."""
    decoded, odd = decode(path, _RunResults)
    head = RunResultsHead(
        invocation_id=decoded.metadata.invocation_id,
        generated_at=parse_time(decoded.metadata.generated_at),
        which=decoded.args.which,
        env=decoded.metadata.env if isinstance(decoded.metadata.env, dict) else {},
        passed_over=odd,
    )
    results = StepResults(
        path=path,
        which=head.which,
        invocation_id=head.invocation_id,
        generated_at=head.generated_at,
        elapsed_seconds=_seconds(decoded.elapsed_time),
        nodes=tuple(_node_result(row, place) for place, row in enumerate(decoded.results) if row and row.unique_id),
        lost_rows=sum(row is None or not row.unique_id for row in decoded.results),
        selected_fail_fast=decoded.args.fail_fast is True,
        indirect_selection=_word(decoded.args.indirect_selection),
        resource_types=_words(decoded.args.resource_types),
        exclude_resource_types=_words(decoded.args.exclude_resource_types),
        full_refresh=_switch(decoded.args.full_refresh),
        favor_state=_switch(decoded.args.favor_state),
        empty=_switch(decoded.args.empty),
    )
    return head, results


def decode_sources(path: Path) -> tuple[RunResultsHead, tuple[FreshnessResult, ...]]:
    """Decode a `sources.json`; raises `UnreadableArtifactError`."""
    decoded, odd = decode(path, _Sources)
    head = RunResultsHead(
        invocation_id=decoded.metadata.invocation_id,
        generated_at=parse_time(decoded.metadata.generated_at),
        which="freshness",
        env=decoded.metadata.env if isinstance(decoded.metadata.env, dict) else {},
        passed_over=odd,
    )
    return head, tuple(_freshness(row) for row in decoded.results if row and row.unique_id)


def parse_time(text: str | None) -> datetime | None:
    """ISO 8601 with or without a zone (dbt means UTC) to an aware time; None for what is no time."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is UTC:  # as dbt writes it
            return moment
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # the latter: in UTC it would be of the year 0 or 10000
        return None


def _seconds(value: float | None) -> float | None:
    """A duration that can be counted with; None for what is none, such as infinity."""
    return max(value, 0.0) if value is not None and value < _LONGEST else None


def _switch(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _words(value: Any) -> tuple[str, ...]:
    return tuple(word for word in value if isinstance(word, str)) if isinstance(value, list) else ()


def _node_result(row: _ResultRow, position: int) -> NodeResult:
    # Names and the adapter's answers come again in every step and attempt: they are kept once.
    execute = None
    for timing in row.timing or ():
        if timing.name == "execute":
            execute = timing
    return NodeResult(
        unique_id=sys.intern(row.unique_id),
        status=sys.intern(normalise(row.status or "unknown")),
        message=None if row.message is None else sys.intern(str(row.message)),
        failures=row.failures if isinstance(row.failures, int) else None,
        execution_seconds=_seconds(row.execution_time) or 0.0,
        thread_id=sys.intern(row.thread_id or ""),
        started_at=parse_time(execute.started_at) if execute else None,
        completed_at=parse_time(execute.completed_at) if execute else None,
        relation_name=None if row.relation_name is None else sys.intern(row.relation_name),
        adapter_response=_shared(row.adapter_response) if isinstance(row.adapter_response, dict) else _EMPTY,
        row=position,
        batches_done=_windows(row.batch_results, "successful") if row.batch_results else (),
        batches_failed=_windows(row.batch_results, "failed") if row.batch_results else (),
        are_batches_unread=_is_unread(row),
    )


def _is_unread(row: _ResultRow) -> bool:
    """Whether batches failed and the row does not tell which, or not of all of them."""
    batches = row.batch_results
    if batches is None:
        return normalise(row.status or "") == PARTIAL_SUCCESS
    failed = batches.get("failed") if isinstance(batches, dict) else batches
    if not isinstance(failed, list):
        return failed is not None or normalise(row.status or "") == PARTIAL_SUCCESS
    is_known = len(_windows(batches, "failed")) == len(failed)
    return not is_known or (not failed and normalise(row.status or "") == PARTIAL_SUCCESS)


def _windows(batches: Any, which: str) -> tuple[Window, ...]:
    """A microbatch model's batches of this outcome; one that is no pair of times is passed over."""
    listed = batches.get(which) if isinstance(batches, dict) else None
    found: list[Window] = []
    for pair in listed if isinstance(listed, list) else ():
        ends = [parse_time(end) for end in pair if isinstance(end, str)] if isinstance(pair, list) else []
        if len(ends) == 2 and ends[0] is not None and ends[1] is not None and ends[0] < ends[1]:
            found.append(Window(ends[0], ends[1]))
    return tuple(sorted(found))


_EMPTY: Mapping[str, Any] = {}
_MOST_ANSWERS = 4096
_answers: dict[str, Mapping[str, Any]] = {}  # by what they say


def _shared(response: dict[str, Any]) -> Mapping[str, Any]:
    """The same answer as before, where there was the same: most are `OK`, or name as many rows."""
    if not response:
        return _EMPTY
    key = str(response)
    if key not in _answers and len(_answers) < _MOST_ANSWERS:
        _answers[key] = response
    return _answers.get(key, response)


def _freshness(row: _FreshnessRow) -> FreshnessResult:
    criteria = [
        f"{word} after {period.count} {period.period}{'' if period.count == 1 else 's'}"
        for word, period in (
            ("warn", row.criteria.warn_after if row.criteria else None),
            ("error", row.criteria.error_after if row.criteria else None),
        )
        if period is not None and period.count
    ]
    return FreshnessResult(
        unique_id=row.unique_id,
        status=normalise(row.status),
        message=str(row.error) if row.error else None,
        max_loaded_at=parse_time(row.max_loaded_at),
        age_seconds=_seconds(row.max_loaded_at_time_ago_in_s),
        criteria=", ".join(criteria) or None,
    )
