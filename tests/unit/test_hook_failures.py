"""A failed hook of the new engine: its log says what became of the nodes, of which its results say nothing."""

from __future__ import annotations

import pytest
from tests.support.retry_attempts import results, row
from tests.support.values import replace

from dbt_cloud_run.dbt.hook_failures import as_logged, failed_hook
from dbt_cloud_run.node_results import NodeResult

LOG = """\
 Succeeded [  0.43s] model main.others (table)
\x1b[32m Succeeded\x1b[0m [  0.09s] model main.journal_alias (incremental)
    Passed [  0.06s] test  not_null_orders_id
    Passed [  0.06s] test  twins
    Failed [  0.06s] test  twins
    Failed [  2.10s] hook  data-on-run-end-0
"""


def bare(unique_id: str, relation: str | None = None) -> NodeResult:
    made = replace(row(unique_id, "error", "Compilation Error"), execution_seconds=0.0)
    return replace(made, relation_name=relation)


ROWS = (
    bare("model.data.others", '"data"."main"."others"'),
    bare("model.data.journal", '"data"."main"."journal_alias"'),
    bare("model.data.lost", '"data"."main"."lost"'),
    bare("test.data.not_null_orders_id.84ef11d8fe"),
    bare("test.data.twins.84ef11d8fe"),
    bare("test.data.twins.94ef11d8fe"),
)


def test_what_the_log_shows_as_done_is_done_and_the_rest_is_as_it_was() -> None:
    found = as_logged(results("build", *ROWS), LOG)
    assert [one.status for one in found.nodes] == ["success", "success", "error", "pass", "error", "error"]
    assert [one.message for one in found.nodes][:3] == [None, None, "Compilation Error"]


@pytest.mark.parametrize(
    ("rows", "log"),
    [
        (ROWS, ""),
        (ROWS, LOG.replace("hook ", "model")),
        ((*ROWS, row("model.data.orders")), LOG),
        ((replace(ROWS[0], message="Compilation Error in model others"), *ROWS[1:]), LOG),
        ((replace(ROWS[0], execution_seconds=0.1), *ROWS[1:]), LOG),
        ((), LOG),
    ],
)
def test_results_that_say_something_are_left_alone(rows: tuple[NodeResult, ...], log: str) -> None:
    before = results("build", *rows)
    assert as_logged(before, log) is before


@pytest.mark.parametrize(
    ("log", "hook"),
    [
        (LOG, "on-run-end"),
        (" Failed [0.1s] hook shop-on-run-start-2", "on-run-start"),
        ("12:00:01  on-run-end failed, error:", "on-run-end"),
        (" Succeeded [  0.43s] hook  data-on-run-end-0", None),
        ("", None),
    ],
)
def test_the_log_names_the_hook_that_failed(log: str, hook: str | None) -> None:
    assert failed_hook(log) == hook
