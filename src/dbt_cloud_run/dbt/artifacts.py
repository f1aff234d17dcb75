"""dbt's artifact files, decoded into the few fields that we need; others are passed over, missing ones have defaults.

Schemas: manifest v7 to v12, run-results v4 to v6, sources v3 (schemas.getdbt.com). The number does not show the fields
(they grow within a version), so nothing is checked against it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from dbt_cloud_run.dbt.decoding import NotJsonError as NotJsonError
from dbt_cloud_run.dbt.decoding import UnreadableArtifactError as UnreadableArtifactError
from dbt_cloud_run.dbt.decoding import decode
from dbt_cloud_run.dbt.statuses import PARTIAL_SUCCESS, normalise
from dbt_cloud_run.model import FreshnessResult, NodeResult, StepResults, Window

_LONGEST = 1e12  # seconds; a source that never was loaded may be dated to the year 1


class _Lenient(msgspec.Struct, kw_only=True, gc=False):
    pass


class NodeConfig(_Lenient):
    materialized: str | None = None
    enabled: Any = True
    group: Any = None
    severity: Any = None
    access: Any = None
    tags: Any = None
    meta: Any = None
    store_failures: Any = None
    incremental_strategy: Any = None
    unique_key: Any = None
    full_refresh: Any = None
    begin: Any = None
    batch_size: Any = None
    lookback: Any = None
    on_error: Any = None


class DependsOn(_Lenient):
    nodes: list[str] = []
    macros: list[str] = []


class TestMetadata(_Lenient):
    name: str = ""
    namespace: str | None = None
    kwargs: Any = None


class ManifestNode(_Lenient):
    """A node of any kind; the fields of kinds that a node is not stay at their defaults."""

    unique_id: str = ""
    name: str = ""
    resource_type: str = ""
    package_name: str = ""
    path: str = ""
    original_file_path: str = ""
    fqn: list[str] = []
    relation_name: str | None = None
    database: str | None = None
    schema: str | None = None
    alias: str | None = None
    version: Any = None
    latest_version: Any = None
    config: NodeConfig = msgspec.field(default_factory=NodeConfig)
    tags: Any = None
    meta: Any = None
    group: Any = None
    access: Any = None
    description: str | None = None
    patch_path: str | None = None
    compiled_path: str | None = None
    depends_on: DependsOn = msgspec.field(default_factory=DependsOn)
    attached_node: str | None = None
    test_metadata: TestMetadata | None = None
    source_name: str | None = None
    model: str | None = None  # of a unit test: the model's name
    owner: Any = None  # of an exposure or a group

    @property
    def all_tags(self) -> tuple[str, ...]:
        """Tags, where newer versions keep them (`config.tags`) and where older ones did."""
        found = self.config.tags or self.tags
        if isinstance(found, str):
            return (found,)
        return tuple(str(tag) for tag in found) if isinstance(found, list) else ()

    @property
    def all_meta(self) -> dict[str, Any]:
        """`meta`, where newer versions keep it (`config.meta`) and where older ones did."""
        found = self.config.meta or self.meta
        return found if isinstance(found, dict) else {}

    @property
    def group_name(self) -> str | None:
        found = self.group or self.config.group
        return str(found) if found else None


class ManifestMetadata(_Lenient):
    adapter_type: str | None = None
    project_name: str | None = None
    dbt_version: str | None = None
    invocation_id: str | None = None
    generated_at: str | None = None
    env: Any = None


class Manifest(_Lenient):
    """The parts of a `manifest.json` that selection, assets and the report are made of."""

    metadata: ManifestMetadata = msgspec.field(default_factory=ManifestMetadata)
    nodes: dict[str, ManifestNode] = {}
    sources: dict[str, ManifestNode] = {}
    exposures: dict[str, ManifestNode] = {}
    unit_tests: dict[str, ManifestNode] = {}
    saved_queries: dict[str, ManifestNode] = {}
    semantic_models: dict[str, ManifestNode] = {}
    metrics: dict[str, ManifestNode] = {}
    functions: dict[str, ManifestNode] = {}
    groups: dict[str, ManifestNode] = {}
    selectors: dict[str, Any] = {}
    passed_over: int = 0  # values of an unexpected shape

    def find(self, unique_id: str) -> ManifestNode | None:
        """The node with this unique id, whatever its kind."""
        for kind in self._kinds():
            if (node := kind.get(unique_id)) is not None:
                return node
        return None

    def __iter__(self) -> Iterator[ManifestNode]:
        for kind in self._kinds():
            yield from kind.values()

    def _kinds(self) -> tuple[dict[str, ManifestNode], ...]:
        return (
            self.nodes,
            self.sources,
            self.unit_tests,
            self.exposures,
            self.saved_queries,
            self.semantic_models,
            self.metrics,
            self.functions,
        )

    def parents(self, unique_id: str) -> list[str]:
        """What this node depends on directly. The manifest's `parent_map` says the same once more."""
        node = self.find(unique_id)
        return node.depends_on.nodes if node is not None else []


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
    dbt_schema_version: str | None = None
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


def decode_manifest(path: Path) -> Manifest:
    """Decode a `manifest.json`; raises `UnreadableArtifactError`."""
    manifest, odd = decode(path, Manifest, apart="nodes")
    manifest.passed_over = odd
    return manifest


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
