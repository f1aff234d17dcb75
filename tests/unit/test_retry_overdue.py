"""Steps that never started or run whole, and hold microbatch models: the batches that were due then are filled, too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.dbt_graphs import generic_test, manifest_of, node, ours
from tests.support.retry_attempts import RESET, attempt, row, step
from tests.support.values import replace

from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import Attempt, RunState
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import RetryPlan, StepAction
from dbt_cloud_run.retry import commands
from dbt_cloud_run.retry.plan import plan_retry

FAILED, CANCELLED = RunState.ERROR, RunState.CANCELLED
ENDED = datetime(2026, 1, 10, 11, 30, tzinfo=UTC)


def micro(name: str, *parents: str, size: str = "hour") -> dict[str, Any]:
    body = node("model", "shop", [], name, parents=parents, materialized="incremental")
    body["config"] |= {
        "incremental_strategy": "microbatch",
        "batch_size": size,
        "begin": "2026-01-01",
        "event_time": "at",
    }
    return body | {"relation_name": f'"db"."main"."{name}"'}


EVENTS = node("model", "shop", [], "events", materialized="table")
HOURLY = micro("hourly", EVENTS["unique_id"])
SUMS = micro("sums", HOURLY["unique_id"])
DAILY = micro("daily", size="day")
CHILD = node("model", "shop", [], "child", parents=[HOURLY["unique_id"]], materialized="table")
JOURNAL = node("model", "shop", [], "journal", parents=[DAILY["unique_id"]], materialized="incremental")
TEST = generic_test("shop", [], "not_null_hourly_id", HOURLY["unique_id"])
ALL = (EVENTS, HOURLY, SUMS, DAILY, CHILD, JOURNAL, TEST)

HOURS = "--event-time-start 2026-01-10T10:00:00 --event-time-end 2026-01-10T12:00:00"
DAYS = "--event-time-start 2026-01-09T00:00:00 --event-time-end 2026-01-11T00:00:00"


def plan(run: Attempt, *, selectors: dict[str, Any] | None = None, **options: Any) -> RetryPlan:
    manifest = ours(manifest_of(options.pop("nodes", ALL)))
    manifest.metadata.dbt_version = options.pop("version", "1.11.0")
    manifest.selectors = selectors or {}
    return plan_retry(run, manifest, **options)


def stopped_before(command: str, *, ended: datetime | None = ENDED) -> Attempt:
    first = step(4, "dbt build -s events", FAILED, row(EVENTS, "error", RESET))
    return attempt(("dbt build -s events", command), replace(first, started_at=ended, finished_at=ended))


def later(command: str, **options: Any) -> tuple[str, ...]:
    """What the plan makes of a step that never started."""
    return plan(stopped_before(command), **options).commands[1:]


def test_a_step_that_never_started_fills_what_was_due_before_what_depends_on_it() -> None:
    made = plan(stopped_before("dbt build -s hourly+ events --exclude sums+ --vars '{a: 1}'"))
    start = "dbt build --vars '{a: 1}'"
    itself = "--select hourly+,fqn:shop.hourly events,fqn:shop.hourly --exclude sums+ --indirect-selection empty"
    assert made.commands[1:] == (
        f"{start} --select hourly+ events --exclude sums+ fqn:shop.hourly+",
        f"{start} {itself}",
        f"{start} {HOURS} {itself}",
        f"{start} --select hourly+,fqn:shop.hourly+ events,fqn:shop.hourly+ --exclude sums+",
    )
    found = made.steps[1]
    assert (found.action, made.is_partial) == (StepAction.WHOLE, False)
    assert "model.shop.hourly also fills what was due then: 2026-01-10 10:00 to 2026-01-10 12:00" in found.reason


def test_models_that_read_one_another_come_in_their_order() -> None:
    assert later("dbt run") == (
        "dbt run --exclude fqn:shop.daily+ fqn:shop.hourly+ fqn:shop.sums+",
        "dbt run --select fqn:shop.daily fqn:shop.hourly",
        f"dbt run {DAYS} --select fqn:shop.daily",
        f"dbt run {HOURS} --select fqn:shop.hourly",
        "dbt run --select fqn:shop.daily+ fqn:shop.hourly+ --exclude fqn:shop.daily fqn:shop.hourly fqn:shop.sums+",
        "dbt run --select fqn:shop.sums",
        f"dbt run {HOURS} --select fqn:shop.sums",
        "dbt run --select fqn:shop.sums+ --exclude fqn:shop.sums",
    )


def test_a_selection_that_the_manifest_does_not_decide_is_cut_by_its_own_terms() -> None:
    lines = later("dbt run -s state:modified+ --state s", nodes=(EVENTS, HOURLY, CHILD))
    assert lines == (
        "dbt run --state s --select state:modified+ --exclude fqn:shop.hourly+",
        "dbt run --state s --select state:modified+,fqn:shop.hourly",
        f"dbt run --state s {HOURS} --select state:modified+,fqn:shop.hourly",
        "dbt run --state s --select state:modified+,fqn:shop.hourly+ --exclude fqn:shop.hourly",
    )


def test_a_selector_is_written_out() -> None:
    selectors = {"mine": {"definition": {"method": "fqn", "value": "hourly", "children": True}}}
    lines = later("dbt run --selector mine", nodes=(EVENTS, HOURLY, CHILD), selectors=selectors)
    assert lines[0] == "dbt run --select fqn:hourly+ --exclude fqn:shop.hourly+"
    assert len(lines) == 4


@pytest.mark.parametrize(
    "command",
    [
        "dbt run -s events child",
        "dbt test",
        "dbt seed",
        "dbt run --full-refresh",
        "dbt run --event-time-start 2026-01-01 --event-time-end 2026-01-02",
        "dbt run --sample 2d",
        "dbt build --exclude-resource-type model",
        "dbt compile",
        "bash x.sh",
    ],
)
def test_a_step_without_such_models_or_with_times_of_its_own_runs_as_it_was(command: str) -> None:
    assert later(command) == (command,)


def test_what_this_run_has_filled_is_not_due() -> None:
    first = step(4, "dbt run -s hourly sums daily", RunState.SUCCESS, row(HOURLY), row(SUMS), row(DAILY))
    second = replace(step(5, "dbt run -s events", FAILED, row(EVENTS, "error", RESET)), started_at=ENDED)
    lines = ("dbt run -s hourly sums daily", "dbt run -s events", "dbt run")
    assert plan(attempt(lines, first, second)).commands[1:] == ("dbt run",)


def test_a_model_that_a_plain_run_fills_all_the_same_is_not_run_apart() -> None:
    command = "dbt run -s daily+"
    noon, evening = ENDED + timedelta(hours=1), ENDED + timedelta(hours=9)
    assert later(command, now=noon) == (command,)
    assert len(later(command, now=evening)) == 4
    assert len(later("dbt run -s hourly", now=ENDED)) == 4


def test_without_a_time_nothing_is_due() -> None:
    assert plan(stopped_before("dbt run", ended=None)).commands[1:] == ("dbt run",)


@pytest.mark.parametrize(
    "options", ["--favor-state --defer --state s", "--warn-error", "--warn-error-options '{error: all}'"]
)
def test_a_step_of_which_a_part_would_do_other_than_the_whole_is_not_divided(options: str) -> None:
    made = plan(stopped_before(f"dbt run -s hourly+ {options}"))
    assert made.commands[1:] == (f"dbt run -s hourly+ {options}",)
    assert {node.unique_id for node in made.steps[1].left_out} == {HOURLY["unique_id"], SUMS["unique_id"]}
    assert made.is_partial
    assert "fill the batches of the retry's own time alone" in made.steps[1].reason


@pytest.mark.parametrize("options", ["--favor-state", "--warn-error"])
def test_what_may_not_be_in_the_step_is_not_called_left_out(options: str) -> None:
    made = plan(stopped_before(f"dbt run -s state:modified --state s {options}"))
    assert made.commands[1:] == (f"dbt run -s state:modified --state s {options}",)
    assert not made.is_partial
    assert "fill the batches of the retry's own time alone" in made.steps[1].reason


def whole_because(command: str, **options: Any) -> str:
    """Why a step that never started is not divided, although what was due then is not filled so."""
    made = plan(stopped_before(command), **options)
    assert made.commands[1:] == (command,)
    before, _, why = made.steps[1].reason.partition(" fill the batches of the retry's own time alone: ")
    assert before == "it never started; its microbatch models"
    return why


def test_a_selection_that_cannot_be_written_out_is_not_divided() -> None:
    assert whole_because('dbt run -s "$MODELS"') == "its selection is filled in by a shell"
    nested = {"nested": {"definition": {"union": [{"union": [{"method": "fqn", "value": "a"}]}]}}}
    why = "the selector `nested` of selectors.yml cannot be written as `--select`"
    assert whole_because("dbt run --selector nested", selectors=nested) == why


def test_a_model_that_shares_its_path_with_a_test_cannot_be_run_with_what_depends_on_it() -> None:
    """A graph operator belongs to one term: of an intersection, it would be that of the last part."""
    test = node("test", "shop", [], "hourly", parents=[EVENTS["unique_id"]])
    why = "model.shop.hourly cannot be named by itself"
    assert whole_because("dbt build -s hourly", nodes=(EVENTS, HOURLY, test)) == why


def test_a_step_whose_parts_would_be_too_long_is_not_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = max(map(len, later("dbt run -s hourly")))
    monkeypatch.setattr(commands, "MAX_COMMAND_LENGTH", longest)
    assert len(later("dbt run -s hourly")) == 4
    monkeypatch.setattr(commands, "MAX_COMMAND_LENGTH", longest - 1)
    why = f"the names of its nodes would be longer than {longest - 1} characters"
    assert whole_because("dbt run -s hourly") == why


AN_HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("times", "start", "end"),
    [
        ({"started_at": ENDED - AN_HOUR, "finished_at": ENDED}, "09", "12"),
        ({"started_at": ENDED - AN_HOUR}, "09", "11"),
        ({"finished_at": ENDED - AN_HOUR}, "09", "11"),
    ],
)
def test_where_no_step_has_a_time_what_was_due_is_that_of_the_run(
    times: dict[str, datetime], start: str, end: str
) -> None:
    command = "dbt run -s hourly"
    made = plan(attempt((command,), **times))
    window = f"--event-time-start 2026-01-10T{start}:00:00 --event-time-end 2026-01-10T{end}:00:00"
    assert made.commands[2] == f"dbt run {window} --select hourly,fqn:shop.hourly"


def test_what_never_started_was_due_from_the_beginning_of_the_last_step_on() -> None:
    run = stopped_before("dbt run -s hourly")
    *before, last = run.steps
    run = replace(run, steps=(*before, replace(last, started_at=ENDED - 2 * AN_HOUR)))
    window = "--event-time-start 2026-01-10T08:00:00 --event-time-end 2026-01-10T12:00:00"
    assert f"dbt run {window} --select hourly,fqn:shop.hourly" in plan(run).commands


def test_favor_state_of_the_environment_shows_in_the_steps_that_ran() -> None:
    run = stopped_before("dbt run -s hourly+")
    *before, first = run.steps
    assert first.results is not None
    first = replace(first, results=replace(first.results, favor_state=True))
    assert plan(replace(run, steps=(*before, first))).commands[1:] == ("dbt run -s hourly+",)


def test_the_rest_of_a_step_that_was_cut_off_fills_what_was_due() -> None:
    one = step(4, "dbt run -s state:modified+", CANCELLED, row(EVENTS))
    one = replace(one, started_at=ENDED, finished_at=ENDED)
    made = plan(attempt(("dbt run -s state:modified+",), one, ending=Ending.TIMED_OUT), nodes=(EVENTS, HOURLY, CHILD))
    assert made.commands == (
        "dbt run --select state:modified+ --exclude fqn:shop.events fqn:shop.hourly+",
        "dbt run --select state:modified+,fqn:shop.hourly --exclude fqn:shop.events",
        f"dbt run {HOURS} --select state:modified+,fqn:shop.hourly --exclude fqn:shop.events",
        "dbt run --select state:modified+,fqn:shop.hourly+ --exclude fqn:shop.events fqn:shop.hourly",
    )


def test_a_step_without_results_fills_what_was_due() -> None:
    one = replace(step(4, "dbt run -s hourly+", FAILED, log="x"), results=None, started_at=ENDED, finished_at=ENDED)
    made = plan(attempt(("dbt run -s hourly+",), one), nodes=(EVENTS, HOURLY, CHILD))
    assert len(made.commands) == 4
    assert made.commands[2] == f"dbt run {HOURS} --select hourly+,fqn:shop.hourly"


def test_a_step_that_came_to_its_end_lists_what_it_held() -> None:
    one = step(4, "dbt run -s state:modified+", FAILED, row(EVENTS))
    one = replace(one, started_at=ENDED, finished_at=ENDED)
    assert plan(attempt(("dbt run -s state:modified+",), one)).commands == ("dbt run -s state:modified+",)


@pytest.mark.parametrize("version", ["1.11.0", "2.0.0"])
def test_a_step_that_was_skipped_has_filled_nothing_although_it_has_a_time(version: str) -> None:
    command = "dbt run -s hourly"
    run = stopped_before(command)
    skipped = replace(step(5, command, RunState.SKIPPED), started_at=ENDED, finished_at=ENDED)
    made = plan(replace(run, steps=(*run.steps, skipped)), retry_on="any", version=version)
    assert f"dbt run {HOURS} --select hourly,fqn:shop.hourly" in made.commands


UNDECIDED = "dbt run -s state:modified+"


def cut_off(*rows: NodeResult, state: RunState = CANCELLED, log: str = "", **more: Any) -> Attempt:
    """A step whose rest the manifest does not name; `more` is of its results."""
    one = replace(step(4, UNDECIDED, state, *rows, log=log), started_at=ENDED, finished_at=ENDED)
    assert one.results is not None
    ending = Ending.TIMED_OUT if state is CANCELLED else Ending.ERROR
    return attempt((UNDECIDED,), replace(one, results=replace(one.results, **more)), ending=ending)


def test_what_was_due_in_a_step_ends_with_the_step_and_not_with_the_run() -> None:
    run = replace(cut_off(row(EVENTS)), finished_at=ENDED + timedelta(hours=3))
    assert f"dbt run {HOURS} --select {UNDECIDED.split()[-1]},fqn:shop.hourly --exclude fqn:shop.events" in (
        plan(run, nodes=(EVENTS, HOURLY, CHILD)).commands
    )


def test_a_step_that_never_started_is_judged_by_the_end_of_the_run_and_by_no_results() -> None:
    """Neither its time nor what was served as its results is that of a step that ran."""
    command = "dbt run -s hourly"
    run = stopped_before(command)
    other_day = ENDED + timedelta(days=2)
    skipped = replace(step(5, command, RunState.SKIPPED, row(HOURLY)), started_at=other_day, finished_at=other_day)
    assert skipped.results is not None
    skipped = replace(skipped, results=replace(skipped.results, full_refresh=True))
    made = plan(replace(run, steps=(*run.steps, skipped)))
    assert f"dbt run {HOURS} --select hourly,fqn:shop.hourly" in made.commands


def test_a_step_that_the_environment_refreshes_fills_everything_by_itself() -> None:
    made = plan(cut_off(row(EVENTS), full_refresh=True))
    assert made.commands == ("dbt run --select state:modified+ --exclude fqn:shop.events",)


def test_dbt_that_received_a_signal_lists_no_rest() -> None:
    made = plan(
        cut_off(row(EVENTS), row(CHILD, "error", RESET), state=FAILED, log="Exited because of keyboard interrupt"),
        nodes=(EVENTS, HOURLY, CHILD),
    )
    assert f"dbt run {HOURS} --select state:modified+,fqn:shop.hourly fqn:shop.child,fqn:shop.hourly" in "".join(
        made.commands
    )


def test_of_a_step_that_lists_everything_what_was_skipped_is_filled_and_what_ran_is_not() -> None:
    """It runs by its own selection, since nothing that is re-run uses the ephemeral model that failed."""
    broken = node("model", "shop", [], "broken", materialized="ephemeral")
    rows = (row(broken, "error", RESET), row(EVENTS), row(DAILY), row(HOURLY, "skipped"))
    made = plan(cut_off(*rows, state=FAILED), nodes=(broken, EVENTS, HOURLY, DAILY, SUMS))
    filled = [line for line in made.commands if "--event-time-start" in line]
    assert [line.split(" --select ")[1].split(" --exclude ")[0] for line in filled] == [
        "state:modified+,fqn:shop.hourly fqn:shop.hourly,fqn:shop.hourly"
    ]


def test_favor_state_of_the_run_before_a_native_retry_counts_for_what_it_had_still_to_do() -> None:
    first = cut_off(row(EVENTS), favor_state=True)
    second = attempt((UNDECIDED,), step(4, UNDECIDED, RunState.SKIPPED))
    second = replace(second, number=2, retried_natively=True)
    made = plan(second, earlier=(first,), nodes=(EVENTS, HOURLY, CHILD))
    assert made.commands == (UNDECIDED,)
    assert made.steps[0].reason.endswith(
        "with `--favor-state` its parts would read from production what this run built"
    )


def test_what_is_not_filled_in_the_rest_of_a_step_is_left_out_of_it() -> None:
    command = "dbt --warn-error run -s events hourly"
    one = replace(step(4, command, CANCELLED, row(EVENTS), row(DAILY)), started_at=ENDED, finished_at=ENDED)
    assert one.results is not None
    one = replace(one, results=replace(one.results, which="run"))
    made = plan(attempt((command,), one, ending=Ending.TIMED_OUT))
    assert made.commands == ("dbt --warn-error run --select events hourly --exclude fqn:shop.daily fqn:shop.events",)
    assert [(each.unique_id, each.status, each.reason) for each in made.steps[0].left_out] == [
        (
            HOURLY["unique_id"],
            "not started",
            "what was due then is not filled: 2026-01-10 10:00 to 2026-01-10 12:00",
        )
    ]
    assert made.steps[0].reason.endswith(
        "its microbatch models fill the batches of the retry's own time alone: "
        "with `--warn-error` a part of it that selects nothing would fail"
    )


def test_several_models_that_are_filled_are_counted() -> None:
    reason = plan(stopped_before("dbt run")).steps[1].reason
    assert "; model.shop.daily and 2 more also fill what was due then: " in reason
