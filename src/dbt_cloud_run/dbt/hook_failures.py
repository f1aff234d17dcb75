"""A failed hook of the new engine, whose results then say nothing of the nodes. Pure.

dbt 2.0.0-alpha.4 turns every row of a step whose on-run-end hook failed into an `error` with the message `Compilation
Error` and no time, whatever became of the node (seen in runs of it on DuckDB). Its console log shows what did.
"""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec

from dbt_cloud_run.dbt.console_log import relation_in_log, without_colours
from dbt_cloud_run.model import StepResults
from dbt_cloud_run.node_results import NodeResult

_NODE = re.compile(
    r"^[ \t]{0,20}(?P<what>[A-Z][a-z]{2,20}) \[[^\]\n]{1,20}\] (?P<kind>\w{2,20}) {1,8}(?P<name>\S{1,500})",
    re.MULTILINE,
)
_FAILED_HOOK = re.compile(
    r"^[ \t]{0,20}Failed \[[^\]\n]{1,20}\] hook {1,8}\S{0,300}?(on-run-(?:start|end))", re.MULTILINE
)
_DONE = {"Succeeded": "success", "Passed": "pass", "Reused": "reused"}


def failed_hook(log: str) -> str | None:
    """`on-run-start` or `on-run-end`, where the log shows that such a hook failed."""
    text = without_colours(log)
    if "on-run-end failed" in text:
        return "on-run-end"
    found = _FAILED_HOOK.search(text)
    return found[1] if found else None


def as_logged(results: StepResults, log: str) -> StepResults:
    """The results with what the log says of their nodes, where they say nothing because a hook failed.

    A node that the log does not show as done keeps its row.
    """
    if not results.nodes or failed_hook(log) is None or not all(map(_is_bare, results.nodes)):
        return results
    shown: dict[str, set[str]] = {}
    for found in _NODE.finditer(without_colours(log)):
        shown.setdefault(found["name"].lower(), set()).add(found["what"])
    return replace(results, nodes=tuple(_as_shown(row, shown) for row in results.nodes))


def _is_bare(row: NodeResult) -> bool:
    return row.status == "error" and row.message == "Compilation Error" and not row.execution_seconds


def _as_shown(row: NodeResult, shown: dict[str, set[str]]) -> NodeResult:
    # Tests of one name are told apart by nothing: all of them must have passed.
    words = next((shown[name] for name in _names(row) if name in shown), set())
    status = _DONE.get(min(words)) if len(words) == 1 else None
    return row if status is None else msgspec.structs.replace(row, status=status, message=None)


def _names(row: NodeResult) -> tuple[str, ...]:
    """How the log may call the node: by its relation's schema and name, or by its own name."""
    relation = relation_in_log(row.relation_name)
    own = row.unique_id.split(".")[2:3]
    return (".".join(relation.split(".")[-2:]), relation, *(name.lower() for name in own))
