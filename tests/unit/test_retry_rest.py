"""Steps whose rest the manifest does not name: their own selection, with what failed and without what is done."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.dbt_graphs import generic_test, manifest_of, node, ours
from tests.support.retry_attempts import RESET, START_HOOK, attempt, row, step, uid
from tests.support.values import replace

from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import RunState
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import PlannedStep, RetryPlan, StepAction
from dbt_cloud_run.retry import commands
from dbt_cloud_run.retry.plan import plan_retry

FAILED, CANCELLED = RunState.ERROR, RunState.CANCELLED

TABLE = node("model", "shop", [], "orders", materialized="table")
SLOW = node("model", "shop", [], "slow", materialized="table")
JOURNAL = node("model", "shop", [], "journal", parents=[TABLE["unique_id"]], materialized="incremental")
KEYED = node("model", "shop", [], "keyed", materialized="incremental")
KEYED["config"] |= {"unique_key": "id"}
REPORT = node("model", "shop", [], "report", parents=[JOURNAL["unique_id"]])
TEST = generic_test("shop", [], "not_null_orders_id", TABLE["unique_id"])
JOURNAL_TEST = generic_test("shop", [], "not_null_journal_id", JOURNAL["unique_id"])
TWIN = generic_test("shop", [], "accepted_values_orders_id", TABLE["unique_id"])
OTHER_TWIN = TWIN | {"unique_id": f"{TWIN['unique_id'].rpartition('.')[0]}.0123456789"}
ALL = (TABLE, SLOW, JOURNAL, KEYED, REPORT, TEST, JOURNAL_TEST, TWIN, OTHER_TWIN)


def planned(
    command: str, *rows: NodeResult, ending: Ending = Ending.ERROR, nodes: tuple[Any, ...] = ALL, **options: Any
) -> tuple[RetryPlan, PlannedStep]:
    manifest = ours(manifest_of(nodes))
    manifest.metadata.dbt_version = options.pop("version", "1.11.0")
    manifest.selectors = options.pop("selectors", {})
    log = options.pop("log", "")
    state = CANCELLED if ending is Ending.TIMED_OUT else FAILED
    made = plan_retry(attempt((command,), step(4, command, state, *rows, log=log), ending=ending), manifest, **options)
    return made, made.steps[0]


def cut_off(command: str, *rows: NodeResult, **options: Any) -> tuple[RetryPlan, PlannedStep]:
    return planned(command, *rows, ending=Ending.TIMED_OUT, **options)


def test_what_the_manifest_cannot_select_is_united_with_what_failed_and_spared_what_is_done() -> None:
    made, found = cut_off("dbt run -s state:modified+", row(TABLE), row(JOURNAL), row(KEYED, "error", RESET))
    assert made.commands == (
        "dbt run --select state:modified+ fqn:shop.keyed --exclude fqn:shop.journal fqn:shop.orders",
    )
    assert found.action is StepAction.NODES
    assert (len(found.saved), found.is_open) == (2, True)
    assert "its own selection" in found.reason


def test_the_exclusions_of_the_step_stay() -> None:
    made, _ = cut_off("dbt run -s state:modified+ --exclude tag:old", row(TABLE))
    assert made.commands == ("dbt run --select state:modified+ --exclude tag:old fqn:shop.orders",)


def test_a_model_is_not_excluded_where_its_tests_would_be_and_are_still_to_run() -> None:
    """In the mode `eager`, excluding a model excludes its tests."""
    slow = replace(row(SLOW), execution_seconds=60.0)
    made, _ = cut_off("dbt build -s state:modified", row(TABLE), slow)
    assert made.commands == ("dbt build --select state:modified --exclude fqn:shop.slow",)
    tests = (row(TEST, "pass"), row(TWIN, "pass"), row(OTHER_TWIN, "pass"))
    made, _ = cut_off("dbt build -s state:modified", row(TABLE), slow, *tests)
    assert made.commands[0].startswith("dbt build --select state:modified --exclude fqn:shop.slow ")
    assert "fqn:shop.orders" in made.commands[0]


def test_what_may_not_be_repeated_and_cannot_be_excluded_closes_the_step() -> None:
    made, found = cut_off("dbt build -s state:modified", row(TABLE), row(JOURNAL))
    assert (made.commands, made.is_partial, found.action) == ((), True, StepAction.DROP)
    assert "model.shop.journal" in (made.stop_reason or "")
    assert cut_off("dbt build -s state:modified", row(TABLE), row(JOURNAL), retry_on="any")[0].commands
    done = (row(JOURNAL_TEST, "pass"),)
    assert "fqn:shop.journal" in cut_off("dbt build -s state:modified", row(JOURNAL), *done)[0].commands[0]


@pytest.mark.parametrize("command", ["dbt build -Z", "dbt build | tee log", "dbt run && dbt test"])
def test_a_line_that_is_not_understood_does_not_repeat_an_appending_model(command: str) -> None:
    rows = (row(TABLE), row(JOURNAL), row(REPORT, "error", RESET))
    made, found = planned(command, *rows)
    assert (made.commands, found.action) == ((), StepAction.DROP)
    assert "is not edited" in (made.stop_reason or "")
    assert "only `retry-on: any`" in (made.stop_reason or "")
    assert "model.shop.journal" in (made.stop_reason or "")
    assert planned(command, *rows, retry_on="any")[0].commands == (command,)
    assert planned(command, row(TABLE), row(KEYED), row(REPORT, "error", RESET))[0].commands == (command,)


def test_a_step_without_results_repeats_no_appending_model_that_its_log_shows() -> None:
    command = "dbt run -s orders journal"
    journal = JOURNAL | {"relation_name": '"db"."main"."journal"'}
    nodes = (TABLE, journal)
    ran = "12:00:00  2 of 2 OK created sql incremental model main.journal ....... [\x1b[32mOK\x1b[0m in 0.2s]\n"
    broken = "12:00:00  Running with dbt=1.11.0\n12:00:01  Connection reset by peer\n"
    for log, is_repeated in ((ran, False), (broken, True), ("", False)):
        made, _ = planned(command, nodes=nodes, log=log)
        assert bool(made.commands) is is_repeated, log
        assert planned(command, nodes=nodes, log=log, retry_on="any")[0].commands == (command,)
    assert planned("dbt run -s orders", nodes=nodes)[0].commands == ("dbt run -s orders",)
    assert planned("dbt run -f -s journal", nodes=nodes)[0].commands == ("dbt run -f -s journal",)


@pytest.mark.parametrize(
    ("config", "is_repeatable"),
    [
        ({"materialized": "table"}, True),
        ({"materialized": "view"}, True),
        ({"materialized": "incremental"}, False),
        ({"materialized": "incremental", "unique_key": "id"}, True),
        ({"materialized": "incremental", "unique_key": ["a", "b"]}, True),
        ({"materialized": "incremental", "unique_key": "id", "incremental_strategy": "append"}, False),
        ({"materialized": "incremental", "incremental_strategy": "insert_overwrite"}, True),
        ({"materialized": "incremental", "incremental_strategy": "microbatch"}, True),
        ({"materialized": "incremental", "incremental_strategy": "merge"}, False),
        ({"materialized": "incremental", "full_refresh": True}, True),
        ({"materialized": "our_own"}, False),
    ],
)
def test_what_may_be_repeated_is_what_replaces_its_rows(config: dict[str, Any], is_repeatable: bool) -> None:
    body = node("model", "shop", [], "it")
    body["config"] |= config
    made, _ = planned("dbt run -Z", row(body), row(REPORT, "error", RESET), nodes=(body, *ALL))
    assert bool(made.commands) is is_repeatable


def test_two_tests_of_one_name_on_one_node_run_both() -> None:
    made, found = planned("dbt test", row(TEST, "pass"), row(TWIN, "error", RESET), row(OTHER_TWIN, "pass"))
    assert made.commands == ("dbt test --select fqn:shop.accepted_values_orders_id --indirect-selection empty",)
    assert found.action is StepAction.NODES


SELECTORS = {
    "nightly": {
        "name": "nightly",
        "definition": {
            "union": [
                {"method": "state", "value": "modified", "children": True},
                {"intersection": [{"method": "tag", "value": "a"}, {"method": "fqn", "value": "b", "parents": "true"}]},
                {"exclude": [{"method": "fqn", "value": "slow"}]},
            ]
        },
    },
    "nested": {"definition": {"union": [{"union": [{"method": "fqn", "value": "a"}]}]}},
    "plain": {"definition": {"method": "fqn", "value": "orders", "children": True, "children_depth": 1}},
}


def test_a_selector_of_the_project_is_written_out() -> None:
    made, _ = cut_off("dbt run --selector nightly", row(TABLE), selectors=SELECTORS)
    assert made.commands == ("dbt run --select state:modified+ tag:a,+fqn:b --exclude fqn:slow fqn:shop.orders",)
    made, found = cut_off("dbt run --selector nested", row(TABLE), selectors=SELECTORS)
    assert (made.commands, found.action) == (("dbt run --selector nested",), StepAction.WHOLE)
    assert "`nested`" in found.reason


def test_a_selector_that_the_manifest_decides_is_decided() -> None:
    made, found = cut_off("dbt run --selector plain", row(TABLE), selectors=SELECTORS)
    assert made.commands == ("dbt run --select fqn:shop.journal",)
    assert {one.unique_id for one in found.nodes} == {uid(JOURNAL)}


def test_what_the_new_engine_may_have_left_out_is_not_taken_for_nothing() -> None:
    rows = (row(TABLE), row(JOURNAL, "error", RESET))
    made, _ = planned("dbt run -s state:modified+", *rows, version="2.0.0")
    assert made.commands == ("dbt run --select state:modified+ fqn:shop.journal",)
    made, _ = planned("dbt run -s state:modified+", *rows)
    assert made.commands == ("dbt run --select fqn:shop.journal",)


def in_force(command: str, *rows: NodeResult, **more: Any) -> tuple[RetryPlan, PlannedStep]:
    """Cut off, with what the environment had set."""
    one = step(4, command, CANCELLED, *rows)
    one = replace(one, results=replace(one.results, **more))  # type: ignore[type-var]
    made = plan_retry(attempt((command,), one, ending=Ending.TIMED_OUT), ours(manifest_of(ALL)))
    return made, made.steps[0]


@pytest.mark.parametrize(
    ("option", "environment", "is_excluded"),
    [
        ("", None, False),
        ("", "EAGER", False),
        ("", "Cautious", False),
        ("", "empty", True),
        (" --indirect-selection empty", "eager", True),
        (" --indirect-selection eager", "empty", False),
    ],
)
def test_whether_tests_go_with_their_model_is_as_it_was_in_force(
    option: str, environment: str | None, is_excluded: bool
) -> None:
    """Its tests have still to run, so the model is excluded only where that does not take them away."""
    command = f"dbt build -s state:modified{option}"
    made, _ = in_force(command, row(TABLE), row(SLOW), indirect_selection=environment)
    assert ("fqn:shop.orders" in made.commands[0].split()) is is_excluded
    assert "fqn:shop.slow" in made.commands[0].split()


def test_a_selection_that_a_shell_puts_in_is_not_united_with_anything() -> None:
    for option in ('-s "$MODELS"', '-s state:modified --exclude "$OLD"', '--selector "$NAME"'):
        made, found = cut_off(f"dbt run {option}", row(TABLE))
        assert (made.commands, found.action) == ((f"dbt run {option}",), StepAction.WHOLE)
        assert "and its selection is filled in by a shell" in found.reason
    made, _ = cut_off('dbt run -s state:modified --vars "{day: $DAY}"', row(TABLE))
    assert made.commands == ('dbt run --vars "{day: $DAY}" --select state:modified --exclude fqn:shop.orders',)


def test_the_default_selector_counts_only_where_nothing_is_selected() -> None:
    default = {"nightly": {**SELECTORS["nightly"], "default": True}}
    made, _ = cut_off("dbt run", row(TABLE), selectors=default)
    assert made.commands == ("dbt run --select state:modified+ tag:a,+fqn:b --exclude fqn:slow fqn:shop.orders",)
    made, _ = cut_off("dbt run -s state:new", row(TABLE), selectors=default)
    assert made.commands == ("dbt run --select state:new --exclude fqn:shop.orders",)


@pytest.mark.parametrize(("option", "is_excluded"), [(" --indirect-selection empty", True), ("", False)])
def test_whether_tests_go_with_their_model_is_as_it_was_in_force_for_a_selector_too(
    option: str, is_excluded: bool
) -> None:
    made, _ = cut_off(f"dbt build{option} --selector nightly", row(TABLE), row(SLOW), selectors=SELECTORS)
    assert ("fqn:shop.orders" in made.commands[0].split()) is is_excluded
    assert "fqn:shop.slow" in made.commands[0].split()


@pytest.mark.parametrize(("version", "is_named"), [("1.4.9", False), ("1.5.0", True)])
def test_a_name_with_a_blank_is_united_where_dbt_knows_patterns(version: str, is_named: bool) -> None:
    odd = node("model", "shop", [], "two words")
    rows, nodes = (row(TABLE), row(odd, "error", RESET)), (*ALL, odd)
    made, _ = cut_off("dbt run -s state:modified", *rows, nodes=nodes, version=version)
    united = "dbt run --select state:modified 'fqn:shop.two?words' --exclude fqn:shop.orders"
    assert made.commands == (united if is_named else "dbt run -s state:modified",)


def test_what_cannot_be_excluded_is_named() -> None:
    _, found = cut_off("dbt build -s state:modified", row(TABLE), row(JOURNAL))
    assert "and model.shop.journal cannot be excluded by itself" in found.reason


def test_a_rest_without_anything_to_exclude_runs_whole() -> None:
    made, found = cut_off("dbt run -s state:modified", row(TEST, "pass"))
    assert (made.commands, found.action) == (("dbt run -s state:modified",), StepAction.WHOLE)
    assert "and nothing that it has done can be excluded" in found.reason


def test_what_is_done_is_excluded_as_far_as_the_line_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (replace(row(TABLE), execution_seconds=9.0), row(SLOW), row(KEYED, "error", RESET))
    monkeypatch.setattr(commands, "MAX_COMMAND_LENGTH", 75)
    (line,) = cut_off("dbt run -s state:modified", *rows)[0].commands
    assert line == "dbt run --select state:modified fqn:shop.keyed --exclude fqn:shop.orders"
    monkeypatch.setattr(commands, "MAX_COMMAND_LENGTH", 40)
    made, found = cut_off("dbt run -s state:modified", *rows)
    assert (made.commands, found.action) == (("dbt run -s state:modified",), StepAction.WHOLE)
    assert "the names of its nodes would be longer than 40 characters" in found.reason


def test_what_the_environment_refreshes_need_not_be_excluded() -> None:
    made, _ = in_force("dbt build -s state:modified", row(JOURNAL), row(SLOW), full_refresh=True)
    assert made.commands == ("dbt build --select state:modified --exclude fqn:shop.slow",)
    assert in_force("dbt build -s state:modified", row(JOURNAL), row(SLOW))[0].commands == ()
    made, _ = in_force("dbt build -f -s state:modified", row(JOURNAL), row(SLOW))
    assert made.commands == ("dbt build -f --select state:modified --exclude fqn:shop.slow",)


@pytest.mark.parametrize(("command", "favors"), [("dbt build", True), ("dbt build --no-favor-state", False)])
def test_with_favor_state_of_the_environment_only_tests_are_excluded(command: str, favors: bool) -> None:
    rows = (row(TABLE), row(SLOW), row(TEST, "pass"))
    made, _ = in_force(f"{command} -s state:modified", *rows, favor_state=True)
    assert made.commands[0].partition(" --exclude ")[2].split() == (
        ["fqn:shop.not_null_orders_id"] if favors else ["fqn:shop.slow", "fqn:shop.not_null_orders_id"]
    )


def test_what_may_not_be_repeated_is_excluded_though_nothing_else_is() -> None:
    made, _ = cut_off("dbt run -s state:modified --exclude tag:old", row(JOURNAL))
    assert made.commands == ("dbt run --select state:modified --exclude tag:old fqn:shop.journal",)


def test_an_ephemeral_model_that_failed_is_not_named_in_the_rest() -> None:
    broken = node("model", "shop", [], "broken", materialized="ephemeral")
    made, _ = cut_off(
        "dbt run -s state:modified", row(broken, "error", "Compilation Error in model broken"), nodes=(*ALL, broken)
    )
    assert made.commands == ("dbt run -s state:modified",)


def test_a_line_that_is_not_understood_and_was_cut_off_runs_whole() -> None:
    made, found = cut_off("dbt build -Z", row(TABLE), row(SLOW, "error", RESET))
    assert (made.commands, found.action) == (("dbt build -Z",), StepAction.WHOLE)


def test_results_without_a_node_show_that_nothing_was_built() -> None:
    made, _ = planned("dbt run", row(START_HOOK, "error", RESET))
    assert made.commands == ("dbt run",)


@pytest.mark.parametrize("command", ["dbt run --favor-state -s state:modified+", "dbt run --favor-state -s +report"])
def test_with_favor_state_what_appends_is_not_excluded_from_what_reads_it(command: str) -> None:
    """What a command does not select, dbt then reads from production, although this run built it."""
    outside = node("model", "shop", [], "outside", materialized="table")
    report = node("model", "shop", [], "report", parents=[JOURNAL["unique_id"], outside["unique_id"]])
    rows, nodes = (row(JOURNAL), row(report, "error", RESET)), (TABLE, JOURNAL, outside, report)
    made, found = planned(command, *rows, nodes=nodes)
    assert (made.commands, found.action) == ((), StepAction.DROP)
    assert made.is_partial
    assert "read what this run built" in found.reason
    assert "it would repeat model.shop.journal" in found.reason
    (line,) = planned(command.replace("favor", "no-favor"), *rows, nodes=nodes)[0].commands
    assert line == "dbt run --no-favor-state --select fqn:shop.report"
    (line,) = planned(command, *rows, nodes=nodes, retry_on="any")[0].commands
    assert "fqn:shop.journal fqn:shop.report" in line


def _by(method: str, value: str) -> dict[str, Any]:
    return {"definition": {"union": [{"method": method, "value": value, "children": True}]}}


@pytest.mark.parametrize(
    ("options", "rows", "is_read"),
    [
        ("-s source_status:fresher+ --state prod", (row(TABLE),), True),
        ("-s source_status:fresher+ --state prod", (), True),
        ("--selector fresh --state prod", (row(TABLE),), True),
        ("--selector fresh --state prod", (), True),
        ("--selector changed --state prod", (row(TABLE),), False),
        ("--selector changed --state prod", (), False),
        ("-s orders keyed", (row(TABLE),), False),
    ],
)
def test_freshness_is_read_again_for_what_still_selects_by_it(
    options: str, rows: tuple[NodeResult, ...], is_read: bool
) -> None:
    """Without the results of this run, dbt refuses `source_status:`."""
    manifest = ours(manifest_of((TABLE, KEYED)))
    manifest.selectors = {"fresh": _by("source_status", "fresher"), "changed": _by("state", "modified")}
    first, command = "dbt source freshness", f"dbt build {options}"
    cut = step(5, command, CANCELLED, *rows, log="cut off")
    made = plan_retry(attempt((first, command), step(4, first), cut, ending=Ending.TIMED_OUT), manifest)
    assert len(made.commands) == 1 + is_read
    assert (made.commands[0] == first) is is_read


@pytest.mark.parametrize("options", ["-s result:error+", "--selector failed"])
@pytest.mark.parametrize("rows", [(), (row(TABLE),)])
def test_what_still_selects_by_earlier_results_has_a_note(options: str, rows: tuple[NodeResult, ...]) -> None:
    made, _ = cut_off(f"dbt run {options} --state prod", *rows, selectors={"failed": _by("result", "error")}, log="cut")
    assert made.commands
    assert "results of an earlier run" in "".join(made.notes)
    assert cut_off("dbt run -s state:modified", row(TABLE))[0].notes == ()


@pytest.mark.parametrize(
    ("command", "again"),
    [
        ("dbt run", "dbt run --select fqn:shop.keyed fqn:shop.slow"),
        (
            "dbt run -s state:modified+",
            "dbt run --select state:modified+ fqn:shop.keyed --exclude fqn:shop.journal fqn:shop.orders",
        ),
    ],
)
def test_what_a_retry_has_built_since_a_step_was_cut_off_is_not_built_again(command: str, again: str) -> None:
    """A person who re-runs the workflow goes back to the run that was asked for everything."""
    manifest = ours(manifest_of((TABLE, SLOW, JOURNAL, KEYED)))
    cut = step(4, command, CANCELLED, row(KEYED, "error", "Binder Error"))
    first = attempt((command,), cut, ending=Ending.TIMED_OUT)
    since = replace(attempt((command,), step(4, command, FAILED, row(TABLE), row(JOURNAL))), number=2)
    made = plan_retry(first, manifest, take_all=True, cancelled_here=True, later=(since,))
    assert made.commands == (again,)


def test_a_step_that_failed_because_dbt_received_a_signal_is_one_that_was_cut_off() -> None:
    log = "12:00:00  CANCEL query model.shop.slow ... [CANCEL]\n12:00:01  Exited because of keyboard interrupt\n"
    command, rows = "dbt run -s orders keyed slow", (row(TABLE), row(KEYED, "error", RESET))
    (line,) = planned(command, *rows, log=log)[0].commands
    assert line == "dbt run --select fqn:shop.keyed fqn:shop.slow"
    assert planned(command, *rows)[0].commands == ("dbt run --select fqn:shop.keyed",)
    (line,) = planned("dbt run -s state:modified", *rows, log=log)[0].commands
    assert line == "dbt run --select state:modified fqn:shop.keyed --exclude fqn:shop.orders"
    assert planned(command, *rows[:1], log=log)[0].commands == ("dbt run --select fqn:shop.keyed fqn:shop.slow",)


def test_with_favor_state_of_the_environment_what_appends_is_not_excluded_from_what_may_read_it() -> None:
    made, found = in_force("dbt run -s state:modified", row(JOURNAL), favor_state=True)
    assert (made.commands, found.action) == ((), StepAction.DROP)
    why = "with `--favor-state`, without model.shop.journal its nodes would read that from production"
    assert f", and {why}; " in found.reason
