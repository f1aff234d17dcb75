"""The step's outputs: every name of the contract, with a correct value on every path, within the platform's limit."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dbt_cloud_run.dbt.statuses import Kind
from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.report.facts import Facts
from dbt_cloud_run.report.remembered import remembered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dbt_cloud_run.report.report import Report
    from dbt_cloud_run.report.shapes import Outputs

OUTPUT_LIMIT = 400_000
"""UTF-16 units of all outputs together. The platform allows 1 MB a job, counted in UTF-16; others need room too."""

OTHER_LIMIT = 20_000
"""UTF-16 units of an output other than a list. What is longer (thousands of status words, say) is left out."""

LIST_OUTPUTS = ("run-ids", "failed-owners", "failed-nodes", "recovered-nodes", "assets")

_EMPTY_LIST = len("[]")


@dataclass(frozen=True, slots=True)
class CutOutput:
    """A list output of which only the first `kept` of `total` entries are set."""

    name: str
    kept: int
    total: int

    def __str__(self) -> str:
        if self.name not in LIST_OUTPUTS:
            return f"output `{self.name}` is left out"
        return f"output `{self.name}` holds the first {self.kept:,} of {self.total:,} entries"


def output_values(data: Report) -> Outputs:
    """Every output with its real type, as `result.json` holds them; what is not known is None."""
    facts, outcome, last = Facts(data), data.outcome, data.outcome.last
    artifact = data.artifact
    # Counts of what is not known in full would be wrong, and 0 most of all.
    is_incomplete = bool(outcome.unknown_runs)
    is_freshness_unread = bool(outcome.gates.unread_freshness)
    return {
        "status": facts.ending.value,
        "failure-kind": (FailureKind.NONE if facts.ending is Ending.SUCCESS else outcome.failure_kind).value,
        "gates-failed": [found.gate.value for found in outcome.gates.failed],
        "run-id": last.run_id if last else None,
        "run-url": last.run_url if last else None,
        "git-sha": last.git_sha if last else None,
        "job-id": data.job_id,
        "job-name": data.job_name,
        "run-ids": [attempt.run_id for attempt in outcome.attempts],
        "attempts": len(outcome.attempts),
        "nodes-total": None if is_incomplete else len(outcome.ledger.outcomes),
        "nodes-succeeded": None if is_incomplete else facts.counts[Kind.SUCCEEDED],
        "nodes-warned": None if is_incomplete else facts.counts[Kind.WARNED],
        "nodes-failed": None if is_incomplete else facts.counts[Kind.FAILED],
        "nodes-skipped": None if is_incomplete else facts.counts[Kind.SKIPPED],
        "counts": _counts(facts),
        "sources-warned": None if is_freshness_unread else len(facts.sources_warned),
        "sources-failed": None if is_freshness_unread else len(facts.sources_failed),
        "failed-nodes": [found.unique_id for found in facts.failed],
        "recovered-nodes": [found.unique_id for found in facts.recovered],
        "failed-owners": sorted({owner for found in facts.failed for owner in facts.owners(found.unique_id)}),
        "assets": [asset.key for asset in data.assets],
        "assets-count": None if is_incomplete else len(data.assets),
        "assets-path": data.assets_path,
        "artifacts-path": data.artifacts_path,
        "artifact-id": artifact.id if artifact else None,
        "artifact-url": artifact.url if artifact else None,
        "artifact-name": artifact.name if artifact else None,
        "duration-seconds": round(outcome.duration_seconds or 0),
        "queued-seconds": round(outcome.queued_seconds or 0),
    }


def build_outputs(data: Report) -> dict[str, str]:
    """Every output as the text that is set: numbers in digits, lists and objects as JSON, the unknown as empty."""
    return {name: _as_text(value) for name, value in output_values(data).items()}


def cut_outputs(outputs: Mapping[str, str], limit: int = OUTPUT_LIMIT) -> tuple[dict[str, str], tuple[CutOutput, ...]]:
    """Shorten the list outputs until all outputs together are at most `limit` UTF-16 units; and say what was cut.

    Short lists stay whole: the room that they do not need goes to the long ones. What is left is valid JSON.
    """
    endless = [name for name, value in outputs.items() if name not in LIST_OUTPUTS and _units(value) > OTHER_LIMIT]
    kept = {**outputs, **{name: "{}" if name == "counts" else "" for name in endless}}
    cuts = [CutOutput(name, 0, 1) for name in endless]
    room = limit - sum(_units(name) + _units(value) for name, value in kept.items() if name not in LIST_OUTPUTS)
    lists = sorted((name for name in LIST_OUTPUTS if name in outputs), key=lambda name: _units(outputs[name]))
    # Every list has its name and its brackets in any case.
    room -= sum(_units(name) + _EMPTY_LIST for name in lists)
    for position, name in enumerate(lists):
        share = max(room, 0) // (len(lists) - position) + _EMPTY_LIST
        entries = json.loads(outputs[name])
        kept[name], count = _first_entries(outputs[name], entries, share)
        room -= _units(kept[name]) - _EMPTY_LIST
        if count < len(entries):
            cuts.append(CutOutput(name, count, len(entries)))
    return kept, tuple(cuts)


def _first_entries(whole: str, entries: list[Any], room: int) -> tuple[str, int]:
    if _units(whole) <= room:
        return whole, len(entries)
    used, count = _EMPTY_LIST, 0
    for entry in entries:
        used += len(json.dumps(entry)) + (1 if count else 0)  # it is all ASCII
        if used > room:
            break
        count += 1
    return _as_text(entries[:count]), count


@remembered
def _counts(facts: Facts) -> dict[str, dict[str, int]]:
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for unique_id, outcome in facts.data.outcome.ledger.outcomes.items():
        found[facts.resource_type(unique_id)][outcome.result.status] += 1
    return {resource_type: dict(sorted(found[resource_type].items())) for resource_type in sorted(found)}


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return json.dumps(value, separators=(",", ":"))
    return str(value)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
