"""Lines of the log: progress as dbt's console tells it, the plan, the result."""

from __future__ import annotations

import time

from tests.support import report_scenarios as scenarios
from tests.support import report_sizes as sizes

from dbt_cloud_run.planned import PlannedStep, RetryPlan, StepAction
from dbt_cloud_run.report.progress import Progress, plan_lines, progress_line, read_progress, result_lines

LOG = """\
\x1b[0m17:48:47  Running with dbt=1.11.16
\x1b[0m17:48:51  Concurrency: 4 threads (target='default')
\x1b[0m17:48:51  1 of 1 START hook: shop.on-run-start.0 ........... [RUN]
\x1b[0m17:48:51  1 of 1 OK hook: shop.on-run-start.0 .............. [\x1b[32mOK\x1b[0m in 0.04s]
\x1b[0m17:48:51  1 of 57 START sql table model analytics.calendar .. [RUN]
\x1b[0m17:48:51  2 of 57 START seed file analytics.raw_orders ...... [RUN]
\x1b[0m17:48:52  1 of 57 OK created sql table model analytics.calendar  [\x1b[32mOK\x1b[0m in 0.37s]
\x1b[0m17:48:52  3 of 57 START test not_null_orders_id ............ [RUN]
\x1b[0m17:48:52  Batch 2 of 3 START batch 2025 of analytics.order_archive  [RUN]
\x1b[0m17:48:52  2 of 57 ERROR loading seed file analytics.raw_orders  [\x1b[31mERROR\x1b[0m in 0.2s]
\x1b[0m17:48:52  4 of 57 SKIP relation analytics.orders ............. [\x1b[33mSKIP\x1b[0m]
\x1b[0m17:48:53  5 of 57 START unit_test orders::counts ............ [RUN]
"""


def test_progress_is_what_started_and_does_not_run() -> None:
    assert read_progress(LOG) == Progress(3, 57, ("not_null_orders_id", "orders::counts"))


def test_hooks_and_batches_have_numbers_of_their_own() -> None:
    assert read_progress("\n".join(LOG.split("\n")[:4])) is None
    assert read_progress("17:48:52  Batch 2 of 3 START batch 2025 of a.b  [RUN]") is None


def test_the_end_of_a_log_is_enough_and_a_new_command_starts_anew() -> None:
    tail = "17:48:52  901 of 1000 OK created sql view model a.b .. [OK in 1s]\n"
    tail += "17:48:52  902 of 1000 START sql view model a.c .. [RUN]"
    assert read_progress(tail) == Progress(901, 1000, ("c",))
    assert read_progress(tail + "\n17:49:00  Running with dbt=1.11\n") is None


def test_a_log_without_progress_has_none() -> None:
    assert read_progress("") is None
    assert read_progress("Installing package 2 of 3 things") is None
    assert read_progress("12:00:00  9 of 5 OK nonsense [OK]") is None


def test_progress_lines() -> None:
    progress = Progress(5, 21, ("orders", "customers", "a", "b"))
    assert progress_line(4, "dbt build", 80.0, progress) == (
        "step 4 “dbt build”: 5 of 21 nodes done, running orders, customers, a and 1 more (1m 20s)"
    )
    assert progress_line(3, "dbt deps\n::error::x", 4.0, None) == "step 3 “dbt deps ::error::x”: running (4.0 s)"


def test_a_plan_is_a_table() -> None:
    plan = scenarios.failed().outcome.attempts[0].plan
    assert plan is not None
    lines = plan_lines(plan)
    assert lines[0].split() == ["step", "action", "command", "saves", "why"]
    assert lines[1].startswith("4     re-run these nodes  dbt build --select fct_orders")
    assert lines[1].endswith("  7 nodes, 32 s node time  1 of 2 failures may pass when re-run.")
    assert lines[2].startswith("5     left out            dbt run-operation grant_all")
    assert "  re-run:    model.shop.fct_orders (failed: server closed the connection (transient))" in lines
    assert any(line.startswith("  left out:  model.shop.dim_customers") for line in lines)
    assert "  re-run in all: 3 nodes" in lines
    assert "  not repeated: 7 nodes, 32 s node time (added up over all threads)" in lines


def test_a_command_that_was_divided_is_shown_with_the_number_of_its_parts() -> None:
    step = PlannedStep(
        index=4,
        command="dbt build",
        action=StepAction.NODES,
        reason="it is long",
        new_command="a",
        more_commands=("b",),
    )
    assert "(2 commands) a" in plan_lines(RetryPlan(steps=(step,), commands=("a", "b")))[1]


def test_no_plan_says_why() -> None:
    plan = RetryPlan(stop_reason="targeted-retries\nis used up", notes=("native: refused",))
    assert plan_lines(plan) == ["No retry: targeted-retries is used up", "  note: native: refused"]


def test_the_result_in_a_few_lines() -> None:
    lines = result_lines(scenarios.failed())
    assert lines[0] == "❌ Failed after 5m 24s, 2 attempts"
    assert lines[1] == "14 nodes: 9 succeeded, 2 failed, 3 skipped; 7 assets materialized"
    assert "  failed: model.shop.dim_customers" in lines
    assert "  recovered: model.shop.fct_orders" in lines
    assert len(result_lines(sizes.large(400, failing=100))) < 30


def test_no_log_takes_long_to_be_read() -> None:
    began = time.monotonic()
    read_progress("06:00:00  1 of 2 START " + " " * 20_000 + "x")
    read_progress("06:00:00  1 of 2 START " + "[" * 20_000 + "x")
    assert time.monotonic() - began < 1
