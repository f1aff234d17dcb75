"""The corpus of data, on real dbt: after a failure and its retry, every relation is as an undisturbed run leaves it."""

from __future__ import annotations

import pytest
from tests.support.data_cases import CASES, Data, commands_of, missing
from tests.support.engines import engines

from dbt_cloud_run.planned import StepAction

ENGINES = engines()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Data:
    return Data(tmp_path_factory.mktemp("data"), request.param)


def _rows() -> list[object]:
    return [
        pytest.param(engine, name, id=f"{engine.name}: {name}", marks=pytest.mark.slow)
        for engine in ENGINES
        for name, case in CASES.items()
        if case.applies_to(engine)
    ]


@pytest.mark.parametrize(("data", "name"), _rows(), indirect=["data"])
def test_the_retry_leaves_what_an_undisturbed_run_leaves(data: Data, name: str) -> None:
    case = CASES[name]
    expected = data.undisturbed(case)
    ran = data.fails(case)
    plan = data.plan(case, ran)
    assert plan.commands or case.is_partial, commands_of(plan)
    assert all(step.action is not StepAction.DROP for step in plan.steps) or case.is_partial, plan
    runs = data.retried(case, plan)
    assert (plan.is_partial or runs[-1].failed) is case.is_partial, [(run.line, run.log[-2000:]) for run in runs]
    if not case.is_partial:
        assert missing(expected, data.warehouse.contents()) == [], commands_of(plan)
