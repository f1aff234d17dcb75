"""The files that the action itself writes: assets, result, summary, and the run results of all attempts as one.

Every file appears whole or not at all, and without the secrets that a text from elsewhere may quote.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from dbt_cloud_run.dbt.verbs import verb_named
from dbt_cloud_run.redaction import redact_bytes
from dbt_cloud_run.report.shapes import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dbt_cloud_run.assets.asset import Asset
    from dbt_cloud_run.model import Attempt, Ledger, StepResults
    from dbt_cloud_run.node_results import NodeOutcome
    from dbt_cloud_run.report.shapes import About, Result

_AT_ONCE = 500  # assets
_LINES = msgspec.json.Encoder(enc_hook=str)
MERGED_FROM_VARIABLE = "DBT_CLOUD_RUN_MERGED_FROM"
_SCHEMA = "https://schemas.getdbt.com/dbt/run-results/v6.json"


class _File(msgspec.Struct):
    results: msgspec.Raw = msgspec.Raw(b"[]")
    metadata: Any = None
    args: Any = None


class _RowName(msgspec.Struct):
    unique_id: str = ""


class _Names(msgspec.Struct):
    results: list[_RowName] = []


@dataclass(frozen=True, slots=True)
class _Source:
    attempt: Attempt
    step_index: int
    results: StepResults


def write_assets(path: Path, assets: Sequence[Asset], about: About) -> None:
    """Write `{"schema_version": 1, …, "assets": [...]}` (`shapes.AssetsFile`); times as ISO 8601 in UTC."""
    head = _encode({"schema_version": VERSION, **about})
    with _replacing(path) as file:
        file.write(redact_bytes(head[:-1] + b', "assets": ['))
        left, separator = iter(assets), b"\n"
        while batch := list(islice(left, _AT_ONCE)):
            # Encoded together, a line for each: no text of JSON holds a line end.
            lines = _LINES.encode_lines(batch)[:-1].replace(b"\n", b",\n")
            file.write(separator + redact_bytes(lines))
            separator = b",\n"
        file.write(b"\n]}\n" if assets else b"]}\n")


def write_result(path: Path, values: Result) -> None:
    """Write one JSON object; `values` come from `result.result_values`, uncut."""
    with _replacing(path) as file:
        file.write(redact_bytes(json.dumps(dict(values), indent=2).encode() + b"\n"))


def write_text(path: Path, content: str) -> None:
    """Write a report, in UTF-8."""
    with _replacing(path) as file:
        file.write(redact_bytes(content.encode("utf-8", "replace")))


def write_junit(path: Path, pieces: Iterable[bytes]) -> None:
    """Write the pieces of `junit.junit_xml`, which are free of secrets already."""
    with _replacing(path) as file:
        file.writelines(pieces)


def write_merged_run_results(path: Path, ledger: Ledger, attempts: Sequence[Attempt]) -> int:
    """Write one `run_results.json` over all steps and attempts, each node once by its last result.

    A row is copied byte for byte from the file that holds it, and a file that holds every node as a whole; only one
    file is in memory at a time. `metadata` is the
    newest file's, `elapsed_time` the sum of all (they ran one after another), and `args.merged_from` names them in
    order. Returns the number of rows; writes nothing and returns 0 when no step had results.
    """
    sources = _sources(ledger, attempts)
    if not sources:
        return 0
    wanted: defaultdict[Path, list[NodeOutcome]] = defaultdict(list)
    for outcome in ledger.outcomes.values():
        wanted[outcome.results_path].append(outcome)
    newest: dict[str, Any] = {}
    commands: dict[Path, object] = {}
    count = 0
    with _replacing(path) as file:
        file.write(b'{"results": [')
        for source in sources:
            held, names = _read(source.results.path)
            newest = held.metadata if isinstance(held.metadata, dict) else newest
            commands[source.results.path] = held.args.get("invocation_command") if isinstance(held.args, dict) else None
            outcomes = sorted(wanted.pop(source.results.path, []), key=lambda found: found.result.row)
            for position, rows in enumerate(_rows(held, names, outcomes)):
                file.write(b",\n" if count or position else b"\n")
                file.write(rows)
            count += len(outcomes)
        merged_from = _merged_from(sources, ledger, commands)
        tail = {
            "metadata": _metadata(newest, merged_from),
            "elapsed_time": sum(source.results.elapsed_seconds or 0.0 for source in sources),
            "args": {"which": _which(sources), "merged": True, "merged_from": merged_from},
        }
        file.write(redact_bytes(b"\n]," + _encode(tail)[1:] + b"\n"))
    return count


def _sources(ledger: Ledger, attempts: Sequence[Attempt]) -> list[_Source]:
    used = {outcome.results_path for outcome in ledger.outcomes.values()}
    return [
        _Source(attempt, step.index, step.results)
        for attempt in attempts
        for step in attempt.steps
        if step.results is not None and (step.results.path in used or verb_named(step.results.which).executes)
    ]


def _read(path: Path) -> tuple[_File, list[str]]:
    """The file without secrets, its rows undecoded, and their names; nothing of an unreadable file."""
    try:
        # Searched as a whole: no secret reaches from one row into the next.
        content = redact_bytes(path.read_bytes())
        held = msgspec.json.decode(content, type=_File)
    except (OSError, ValueError, RecursionError):
        return _File(), []
    try:
        return held, [row.unique_id for row in msgspec.json.decode(content, type=_Names).results]
    except (ValueError, RecursionError):
        return held, []


def _rows(held: _File, names: Sequence[str], outcomes: Sequence[NodeOutcome]) -> Iterator[bytes | memoryview]:
    """The rows of these outcomes, which are in the file's order; all of them at once where they are the whole file."""
    if names and names == [outcome.unique_id for outcome in outcomes]:
        yield memoryview(held.results)[1:-1]
        return
    rows = _each(held.results) if outcomes else []
    for outcome in outcomes:
        position = outcome.result.row
        row = rows[position] if 0 <= position < len(rows) else None
        yield memoryview(row) if row is not None and _is_of(row, outcome.unique_id) else _made_row(outcome)


def _each(rows: msgspec.Raw) -> list[msgspec.Raw]:
    try:
        return msgspec.json.decode(rows, type=list[msgspec.Raw])
    except (ValueError, RecursionError):
        return []


def _is_of(row: msgspec.Raw, unique_id: str) -> bool:
    try:
        return msgspec.json.decode(row, type=_RowName).unique_id == unique_id
    except (ValueError, RecursionError):
        return False


def _made_row(outcome: NodeOutcome) -> bytes:
    """A row in dbt's shape from what was decoded, for the case that the file changed or vanished after it was read."""
    result = outcome.result
    timing = {"name": "execute", "started_at": result.started_at, "completed_at": result.completed_at}
    row = _encode(
        {
            "status": result.status,
            "timing": [timing] if result.started_at or result.completed_at else [],
            "thread_id": result.thread_id,
            "execution_time": result.execution_seconds,
            "adapter_response": dict(result.adapter_response),
            "message": result.message,
            "failures": result.failures,
            "unique_id": result.unique_id,
            "compiled": None,
            "compiled_code": None,
            "relation_name": result.relation_name,
        }
    )
    return redact_bytes(row)


def _merged_from(
    sources: Sequence[_Source], ledger: Ledger, commands: Mapping[Path, object]
) -> list[dict[str, object]]:
    rows = Counter(outcome.results_path for outcome in ledger.outcomes.values())
    return [
        {
            "run_id": source.attempt.run_id,
            "attempt": source.attempt.number,
            "step": source.step_index,
            "which": source.results.which,
            "invocation_id": source.results.invocation_id,
            "invocation_command": commands.get(source.results.path),
            "results": rows[source.results.path],
            "of": len(source.results.nodes),
        }
        for source in sources
    ]


def _metadata(newest: Mapping[str, Any], merged_from: Sequence[Mapping[str, object]]) -> dict[str, Any]:
    env = newest.get("env")
    origin = ",".join(f"{source['run_id']}/{source['step']}" for source in merged_from)
    return {
        "dbt_schema_version": _SCHEMA,
        **newest,
        "env": {**(env if isinstance(env, dict) else {}), MERGED_FROM_VARIABLE: origin},
    }


def _which(sources: Sequence[_Source]) -> str | None:
    """The command of all files; `build`, which runs every kind of node, when they differ."""
    found = {source.results.which for source in sources}
    return found.pop() if len(found) == 1 else "build"


def _encode(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=str)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file beside `path` that takes its place when all is written, and vanishes when something goes wrong."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            yield file
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
