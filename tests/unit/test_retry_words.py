"""What a plan says of each step and node: people read it before they trust a retry."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.dbt_graphs import generic_test, manifest_of, node, ours, unit_test
from tests.support.retry_attempts import (
    END_HOOK,
    NO_COLUMN,
    ORDERS,
    OTHER,
    RAW,
    REPORT,
    RESET,
    SINGULAR,
    START_HOOK,
    STG,
    UNIT,
    UNIT_TOO,
    attempt,
    project,
    row,
    step,
    uid,
)
from tests.support.values import replace

from dbt_cloud_run.model import Attempt, FreshnessResult, RunState
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import PlannedStep, Retryability, RetryPlan, StepAction
from dbt_cloud_run.retry.nodes import carriers_of
from dbt_cloud_run.retry.plan import plan_retry
from dbt_cloud_run.unknown import Unknown, UnknownKind

FAILED, OK = RunState.ERROR, RunState.SUCCESS
TOO_OLD = "Compilation Error in model x (models/x.sql)\n  'y' is undefined"


def plan(run: Attempt, **options: Any) -> RetryPlan:
    return plan_retry(run, options.pop("manifest", None) or project(), **options)


def one(command: str, *rows: NodeResult, log: str = "", **options: Any) -> tuple[RetryPlan, PlannedStep]:
    made = plan(attempt((command,), step(4, command, FAILED, *rows, log=log)), **options)
    return made, made.steps[0]


def words(planned: PlannedStep) -> dict[str, tuple[str, str]]:
    return {each.unique_id: (each.status, each.reason) for each in (*planned.nodes, *planned.left_out)}


def test_a_node_that_was_skipped_says_for_what() -> None:
    _, planned = one("dbt build", row(STG, "error", RESET), row(ORDERS, "skipped"), row(OTHER, "skipped"))
    assert words(planned) == {
        uid(STG): ("error", f"error: {RESET} (transient)"),
        uid(ORDERS): ("skipped", f"skipped because of {uid(STG)}"),
        uid(OTHER): ("skipped", "skipped"),
    }
    _, planned = one("dbt build", row(STG, "error", NO_COLUMN), row(ORDERS, "skipped"), row(OTHER, "error", RESET))
    assert words(planned)[uid(ORDERS)][1] == f"skipped because of {uid(STG)}, which is not re-run"


@pytest.mark.parametrize("said", ["Skipping due to fail_fast", "Skipping because of fail-fast"])
def test_a_node_that_was_not_started_says_so(said: str) -> None:
    _, planned = one("dbt build --fail-fast", row(STG, "error", RESET), row(OTHER, "skipped", said))
    assert words(planned)[uid(OTHER)] == ("skipped", "not started: the step stops at the first failure")


def test_what_is_built_along_says_why_and_how_it_stood() -> None:
    _, planned = one("dbt build --favor-state", row(ORDERS, "warn"), row(SINGULAR, "error", RESET))
    assert words(planned)[uid(ORDERS)] == ("warn", "with `--favor-state`, read by what is re-run")


@pytest.mark.parametrize("count", [1, 5, 6, 8])
def test_a_plan_that_drops_its_step_names_the_first_five_nodes(count: int) -> None:
    bodies = [node("model", "shop", [], f"m{number}") for number in range(count)]
    rows = [row(body, "error", NO_COLUMN) for body in bodies]
    made, _ = one("dbt run", *rows, manifest=ours(manifest_of(bodies)))
    names = ", ".join(uid(body) for body in bodies[:5]) + (f" and {count - 5} more" if count > 5 else "")
    assert made.stop_reason == f"`dbt run`: every failure in it is deterministic ({names})"


def test_a_plan_without_a_dropped_step_says_what_failed_or_that_nothing_did() -> None:
    made = plan(attempt(("dbt build",), step(4, "dbt build", OK, row(STG)), step(5, None, FAILED, name="Notify")))
    assert made.stop_reason == (
        "only `Notify` failed, which dbt Cloud adds by itself: no step of the job needs a retry"
    )
    made = plan(attempt(("dbt build",), step(4, "dbt build", OK, row(STG))))
    assert made.stop_reason == "every step of the run succeeded: there is nothing to retry"


def test_a_setup_that_cannot_pass_drops_every_step_by_name() -> None:
    log = "Encountered an error:\nCompilation Error\n  x is undefined"
    setup = step(1, "dbt deps", FAILED, log=log)
    made = plan(attempt(("dbt seed", "dbt run"), setup, step(5, "dbt run", RunState.SKIPPED), bare=True))
    reason = "the step `Invoke dbt with `dbt deps`` failed, and its log shows that a retry would fail, too"
    assert [(each.index, each.command, each.action, each.reason) for each in made.steps] == [
        (None, "dbt seed", StepAction.DROP, reason),
        (5, "dbt run", StepAction.DROP, reason),
    ]


@pytest.mark.parametrize(("message", "verdict"), [(RESET, Retryability.TRANSIENT), (None, Retryability.DETERMINISTIC)])
def test_sources_say_what_became_of_them(message: str | None, verdict: Retryability) -> None:
    found = FreshnessResult(unique_id="source.shop.ext.t", status="error", message=message)
    run = attempt(("dbt source freshness",), replace(step(4, "dbt source freshness", FAILED), freshness=(found,)))
    planned = plan(run).steps[0]
    (source,) = (*planned.nodes, *planned.left_out)
    shown = f"error: {message} ({verdict})" if message else f"error ({verdict})"
    assert (source.status, source.reason, source.retryability) == ("error", shown, verdict)
    assert bool(planned.left_out) is (message is None)


def test_a_message_is_read_as_that_of_the_warehouse() -> None:
    """Redshift's words, which say nothing where Snowflake says them."""
    said = "Disk access forbidden: must be owner of relation t"
    found = FreshnessResult(unique_id="source.shop.ext.t", status="error", message=said)
    for adapter, left in (("postgres", True), ("snowflake", False)):
        manifest = project()
        manifest.metadata.adapter_type = adapter
        stale = replace(step(4, "dbt source freshness", FAILED), freshness=(found,))
        assert bool(plan(attempt(("dbt source freshness",), stale), manifest=manifest).steps[0].left_out) is left
        log = f"Encountered an error:\nDatabase Error\n  {said}\n"
        _, planned = one("dbt build", log=log, manifest=manifest)
        assert (planned.action is StepAction.DROP) is left


def test_results_that_could_not_be_read_say_why() -> None:
    for about, shown in (
        ({4: "The file was cut off."}, "its results could not be read: The file was cut off"),
        ({None: "Nothing was served."}, "its results could not be read: Nothing was served"),
        ({5: "Another step's."}, "it has no results, and dbt Cloud shows no log of it"),
        ({4: "", None: "All of it."}, "its results could not be read: All of it"),
    ):
        unknown = tuple(Unknown(kind=UnknownKind.RESULTS, step=index, why=why) for index, why in about.items())
        run = replace(attempt(("dbt build",), step(4, "dbt build", FAILED)), unknown=unknown)
        assert plan(run).steps[0].reason == shown


HOOKED = (row(STG), row(ORDERS))


@pytest.mark.parametrize(("hook", "name"), [(START_HOOK, "on-run-start"), (END_HOOK, "on-run-end")])
def test_a_failed_hook_is_named_and_left_out(hook: str, name: str) -> None:
    _, planned = one("dbt build", *HOOKED, row(hook, "error", RESET))
    assert planned.reason.startswith(f"its {name} hook failed, which may not be repeatable")
    assert words(planned) == {hook: ("error", f"error: {RESET} (transient)")}
    _, planned = one("dbt build", *HOOKED, row(hook, "error", NO_COLUMN), retry_on="any")
    assert planned.reason == f"its {name} hook failed: it is re-run with the least that may be repeated"
    assert words(planned) == {uid(ORDERS): ("success", f"it is re-run so that the {name} hook runs")}


def test_an_end_hook_that_only_the_log_shows_is_named() -> None:
    _, planned = one("dbt build", *HOOKED, log="on-run-end failed, error:\n x")
    assert planned.reason.startswith("its on-run-end hook failed, which")


@pytest.mark.parametrize(("hook", "name"), [(START_HOOK, "on-run-start"), (END_HOOK, "on-run-end")])
def test_a_hook_that_nothing_may_run_with_is_left_out_even_where_all_is_retried(hook: str, name: str) -> None:
    journal = node("model", "shop", [], "journal", materialized="incremental")
    rows, manifest = (row(journal), row(hook, "error", RESET)), ours(manifest_of((journal,)))
    made, planned = one("dbt run", *rows, retry_on="any", manifest=manifest)
    assert planned.reason == f"its {name} hook failed, and no node that it could run with may be repeated"
    assert ({each.unique_id for each in planned.left_out}, made.commands) == ({hook}, ())
    made, _ = one("dbt run --full-refresh", *rows, retry_on="any", manifest=manifest)
    assert made.commands == ("dbt run --full-refresh --select fqn:shop.journal",)


def test_a_start_hook_that_cannot_pass_drops_the_step() -> None:
    made, planned = one("dbt build", row(START_HOOK, "error", NO_COLUMN))
    assert planned.reason == "its on-run-start hook failed, and would fail again"
    assert ({each.unique_id for each in planned.left_out}, made.is_partial) == ({START_HOOK}, True)
    assert one("dbt build", row(START_HOOK, "error", NO_COLUMN), retry_on="any")[0].commands == ("dbt build",)


def carried(*bodies: dict[str, Any], seconds: dict[str, float], full_refresh: bool = False) -> tuple[str, ...]:
    manifest = ours(manifest_of(bodies))
    rows = [replace(row(body), execution_seconds=seconds.get(body["name"], 1.0)) for body in bodies]
    gone = NodeResult(unique_id="model.shop.gone", status="success")
    made = plan(
        attempt(("dbt build",), step(4, "dbt build", FAILED, gone, *rows, row(END_HOOK, "error", RESET))),
        manifest=manifest,
        retry_on="any",
    )
    assert carriers_of(None, rows, full_refresh=full_refresh) == ()
    return tuple(sorted(each.unique_id.rpartition(".")[2] for each in made.steps[0].nodes))


def in_schema(schema: str, body: dict[str, Any]) -> dict[str, Any]:
    return body | {"schema": schema, "database": "db"}


def test_a_hook_runs_with_the_quickest_node_of_each_schema() -> None:
    slow = in_schema("a", node("model", "shop", [], "slow"))
    quick = in_schema("a", node("model", "shop", [], "quick"))
    table = in_schema("a", node("model", "shop", [], "table", materialized="table"))
    other = in_schema("b", node("model", "shop", [], "other", materialized="table"))
    test = generic_test("shop", [], "not_null_slow", slow["unique_id"])
    counted = unit_test("shop", [], "counts", slow)
    seconds = {"slow": 9.0, "quick": 2.0, "table": 0.1, "not_null_slow": 0.1}
    assert carried(slow, quick, table, seconds=seconds) == ("quick",)
    assert carried(slow, other, seconds=seconds) == ("other", "slow")
    assert carried(slow, quick, test, counted, seconds=seconds) == ("quick",)
    assert carried(test, seconds=seconds) == (uid(test).rpartition(".")[2],)


def test_hooks_do_not_run_with_what_failed() -> None:
    rows = (row(STG, "error", RESET), row(RAW), row(END_HOOK, "error", RESET))
    _, planned = one("dbt build", *rows, retry_on="any")
    assert set(words(planned)) == {uid(STG)}


def test_what_a_whole_step_repeats_is_counted() -> None:
    for count, said in ((1, "1 of its nodes succeeded and is re-run"), (2, "2 of its nodes succeeded and are re-run")):
        rows = [row(STG), row(ORDERS)][:count]
        _, planned = one("dbt build -Z", *rows, row(REPORT, "error", RESET))
        assert planned.reason.endswith(said)
        assert len(planned.again) == count + 1


def test_what_may_not_be_repeated_is_named_and_counted() -> None:
    bodies = [node("model", "shop", [], f"j{number}", materialized="incremental") for number in range(3)]
    manifest = ours(manifest_of([*bodies, OTHER]))
    for count, more in ((1, ""), (3, " and 2 more")):
        rows = [row(body) for body in bodies[:count]]
        made, planned = one("dbt build -Z", *rows, row(OTHER, "error", RESET), manifest=manifest)
        assert f"it would repeat {uid(bodies[0])}{more}, which may not be repeatable" in planned.reason
        assert ({each.unique_id for each in planned.left_out}, made.commands) == ({uid(OTHER)}, ())


def test_a_plan_that_drops_its_step_names_what_failed_and_not_what_was_skipped_and_cuts_a_long_command() -> None:
    bodies = [node("model", "shop", [], "broken"), node("model", "shop", [], "behind", parents=["model.shop.broken"])]
    rows = [row(bodies[0], "error", NO_COLUMN), row(bodies[1], "skipped")]
    command = "dbt run --select " + " ".join(f"a_long_name_{number}" for number in range(20))
    made, _ = one(command, *rows, manifest=ours(manifest_of(bodies)))
    assert made.stop_reason == f"`{command[:119]}…`: every failure in it is deterministic (model.shop.broken)"


def test_a_node_that_waits_for_several_failures_names_one_that_is_not_re_run() -> None:
    rows = (row(ORDERS, "error", RESET), row(OTHER, "error", NO_COLUMN), row(SINGULAR, "skipped"))
    _, planned = one("dbt build", *rows)
    assert words(planned)[uid(SINGULAR)][1] == f"skipped because of {uid(OTHER)}, which is not re-run"


def test_a_unit_test_whose_model_is_left_out_says_so() -> None:
    rows = (row(UNIT, "error", RESET), row(UNIT_TOO, "fail", "actual differs"), row(ORDERS, "skipped"))
    _, planned = one("dbt build", *rows, row(OTHER, "error", RESET))
    assert words(planned)[uid(UNIT)] == ("error", f"error: {RESET} (transient); its model is not re-run")


def test_without_a_manifest_a_unit_test_that_failed_is_one_of_the_nodes() -> None:
    made = plan_retry(attempt(("dbt build",), step(4, "dbt build", FAILED, row(UNIT, "error", RESET))), None)
    assert made.commands == ("dbt build",)
    assert set(words(made.steps[0])) == {uid(UNIT)}


def test_a_step_that_counts_as_successful_and_whose_failure_is_mended_succeeded() -> None:
    asked = ("dbt run", "dbt build")
    later = step(5, asked[1], FAILED, row(ORDERS), row(OTHER, "error", RESET))
    made = plan(attempt(asked, step(4, asked[0], OK, row(ORDERS, "partial success")), later))
    assert (made.steps[0].action, made.steps[0].reason) == (StepAction.SKIP, "it succeeded")


def test_a_dropped_step_without_a_node_to_name_has_no_brackets() -> None:
    made = plan(attempt(("dbt lint",), step(4, "dbt lint", FAILED, log="L: 1 | P: 1 | LT01")))
    assert made.stop_reason == "`dbt lint`: it found problems in the code, and would find them again"


def test_what_runs_with_the_rest_of_a_step_says_so() -> None:
    odd = node("model", "shop", [], "two words")
    manifest = ours(manifest_of((odd, STG, OTHER, RAW)))
    manifest.metadata.dbt_version = "1.4.9"
    rows = (row(odd, "error", RESET), row(OTHER, "error", NO_COLUMN), row(STG))
    _, planned = one("dbt run", *rows, manifest=manifest)
    assert planned.new_command == "dbt run --exclude fqn:shop.staging.stg"
    assert words(planned)[uid(OTHER)][1] == f"error: {NO_COLUMN} (deterministic); re-run with the rest of the step"
