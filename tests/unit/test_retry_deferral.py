"""With `--favor-state`: what the nodes of a retry read from production, and what from where their run built it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from tests.support.dbt_graphs import generic_test, manifest_of, node, ours, unit_test
from tests.support.retry_attempts import RESET, attempt, results, row, step, uid
from tests.support.values import replace

from dbt_cloud_run.dbt.commands import parse_command
from dbt_cloud_run.dbt.selection import Selector
from dbt_cloud_run.model import RunState
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.planned import PlannedStep, RetryPlan
from dbt_cloud_run.retry.deferral import Reading, reading_of
from dbt_cloud_run.retry.plan import plan_retry

FAILED, OK = RunState.ERROR, RunState.SUCCESS

BASE = node("model", "shop", [], "base", materialized="table")
MIDDLE = node("model", "shop", [], "middle", parents=[uid(BASE)], materialized="ephemeral")
LEFT = node("model", "shop", [], "left", parents=[uid(MIDDLE)], materialized="ephemeral")
RIGHT = node("model", "shop", [], "right", parents=[uid(MIDDLE)], materialized="ephemeral")
TIP = node("model", "shop", [], "tip", parents=[uid(LEFT), uid(RIGHT)])
TOP = node("model", "shop", [], "top", parents=[uid(MIDDLE)])
LEAF = node("model", "shop", [], "leaf", parents=[uid(TOP)])
COUNTS = unit_test("shop", [], "counts", TOP)
APPENDS = node("model", "shop", [], "appends", materialized="incremental")
READER = node("model", "shop", [], "reader", parents=[uid(APPENDS), uid(BASE)])
UPPER = node("model", "shop", [], "upper", parents=[uid(APPENDS), uid(TOP)])
COMPARES = node("test", "shop", [], "compares", parents=[uid(APPENDS), uid(BASE)])
ALL = (BASE, MIDDLE, LEFT, RIGHT, TIP, TOP, LEAF, COUNTS, APPENDS, READER, UPPER, COMPARES)


def reading(
    command: str,
    wanted: set[str],
    built: set[str],
    *,
    takes_all: bool = False,
    favors: bool | None = None,
    selector: Selector | None = None,
) -> Reading:
    parsed = parse_command(command)
    assert parsed is not None
    of_step = replace(results(parsed.verb, row(APPENDS)), favor_state=favors)
    selector = selector or Selector(ours(manifest_of(ALL)))
    options: dict[str, Any] = {"built": built, "version": (1, 11), "takes_all": takes_all, "full_refresh": False}
    return reading_of(selector, parsed, of_step, frozenset(wanted), **options)


def test_what_appends_is_not_built_along_unless_everything_is_taken() -> None:
    arguments = "dbt run --favor-state", {uid(READER)}, {uid(APPENDS)}
    kept = reading(*arguments)
    assert not kept.along
    assert f"{uid(APPENDS)} may not be repeated" in kept.obstacle
    assert reading(*arguments, takes_all=True) == Reading(along=frozenset({uid(APPENDS)}))


def test_what_appends_is_built_along_where_its_table_is_rebuilt() -> None:
    rows = (row(APPENDS), row(READER, "error", RESET))
    made, _ = planned("dbt run --favor-state --full-refresh", *rows)
    assert made.commands == ("dbt run --favor-state --full-refresh --select fqn:shop.appends fqn:shop.reader",)
    assert planned("dbt run --favor-state", *rows)[0].commands == ()


def test_what_is_built_along_takes_along_what_the_run_built_for_it() -> None:
    found = reading("dbt run --favor-state", {uid(UPPER)}, {uid(TOP), uid(BASE)})
    assert found == Reading(along=frozenset({uid(TOP), uid(BASE)}))


def test_a_command_that_cannot_build_what_its_nodes_read_does_not_run_them_alone() -> None:
    found = reading("dbt test --favor-state", {uid(COMPARES)}, {uid(BASE)})
    assert found == Reading(obstacle="with `--favor-state` its nodes would read from production what this run built")


@pytest.mark.parametrize(("favors", "turns_off"), [(True, True), (False, False), (None, False)])
def test_that_the_environment_favors_production_counts(favors: bool | None, turns_off: bool) -> None:
    found = reading("dbt run", {uid(READER)}, {uid(APPENDS), uid(BASE)}, favors=favors)
    assert found == Reading(turns_off=turns_off)
    found = reading("dbt run", {uid(READER)}, {uid(BASE)}, favors=favors)
    assert found == Reading(along=frozenset({uid(BASE)}) if turns_off else frozenset())


def test_the_made_up_inputs_of_a_unit_test_are_not_read() -> None:
    assert reading("dbt test --favor-state", {uid(COUNTS)}, {uid(TOP), uid(BASE)}) == Reading()


class CountingSelector(Selector):
    """Counts how often each node is asked for its parents."""

    def __init__(self, *bodies: Mapping[str, Any]) -> None:
        super().__init__(ours(manifest_of(bodies)))
        self.asked: Counter[str] = Counter()

    def parents(self, unique_id: str) -> frozenset[str]:
        self.asked[unique_id] += 1
        return super().parents(unique_id)


def test_an_ephemeral_model_is_looked_through_once_however_many_paths_lead_to_it() -> None:
    selector = CountingSelector(*ALL)
    found = reading("dbt run --favor-state", {uid(TIP)}, {uid(BASE)}, selector=selector)
    assert found == Reading(turns_off=True)
    assert selector.asked[uid(MIDDLE)] == 1


# -- whole plans


def planned(
    command: str,
    *rows: NodeResult,
    nodes: tuple[Any, ...] = ALL,
    version: str = "1.11.0",
    favors: bool | None = None,
) -> tuple[RetryPlan, PlannedStep]:
    manifest = ours(manifest_of(nodes))
    manifest.metadata.dbt_version = version
    failed = step(4, command, FAILED, *rows)
    assert failed.results is not None
    failed = replace(failed, results=replace(failed.results, favor_state=favors))
    made = plan_retry(attempt((command,), failed), manifest)
    return made, made.steps[0]


def test_what_is_read_through_an_ephemeral_model_counts() -> None:
    made, _ = planned("dbt run --favor-state", row(BASE), row(TOP, "error", RESET), row(LEAF, "skipped"))
    assert made.commands == ("dbt run --no-favor-state --select fqn:shop.leaf fqn:shop.top",)


def test_a_unit_test_reads_nothing_that_was_built() -> None:
    made, _ = planned("dbt test --favor-state", row(COUNTS, "error", RESET), row(BASE))
    assert made.commands == ("dbt test --favor-state --select unit_test:shop.counts --indirect-selection empty",)


@pytest.mark.parametrize(
    ("version", "favors", "is_turned_off"),
    [
        ("1.11.0", True, True),
        ("1.11.0", False, False),
        ("1.11.0", None, False),
        ("2.0.0", None, True),  # it does not report the setting
        ("2.0.0", False, False),
    ],
)
def test_a_retry_reads_what_its_run_built_where_the_environment_favors_production_or_may(
    version: str, favors: bool | None, is_turned_off: bool
) -> None:
    rows, nodes = (row(BASE), row(TOP, "error", RESET)), (BASE, MIDDLE, TOP)
    made, _ = planned("dbt run", *rows, nodes=nodes, version=version, favors=favors)
    assert made.commands == (f"dbt run{' --no-favor-state' if is_turned_off else ''} --select fqn:shop.top",)


def test_what_an_earlier_step_built_is_built_along() -> None:
    asked = ("dbt run -s base", "dbt build --favor-state -s compares")
    first, second = step(4, asked[0], OK, row(BASE)), step(5, asked[1], FAILED, row(COMPARES, "error", RESET))
    made = plan_retry(attempt(asked, first, second), ours(manifest_of(ALL)))
    assert made.commands == (
        "dbt build --favor-state --select fqn:shop.base fqn:shop.compares --indirect-selection empty",
    )
    assert {one.unique_id: one.status for one in made.steps[1].nodes} == {uid(BASE): "success", uid(COMPARES): "error"}


def test_what_favor_state_would_read_from_production_is_not_excluded() -> None:
    ok, other = (node("model", "shop", [], name, materialized="table") for name in ("ok", "other"))
    test = generic_test("shop", [], "not_null_ok_id", ok["unique_id"])
    counted = unit_test("shop", [], "counts", ok)
    rows = (row(ok), row(test, "pass"), row(counted, "pass"), row(other, "error", RESET))
    nodes = (ok, other, test, counted)
    made, _ = planned("dbt build --favor-state -s state:modified+", *rows, nodes=nodes, version="2.0.0")
    assert made.commands == (
        (
            "dbt build --favor-state --select state:modified+ fqn:shop.other "
            "--exclude fqn:shop.not_null_ok_id unit_test:shop.counts"
        ),
    )
