"""`waiting/listed.py`: whether the steps that dbt Cloud lists can be all that began."""

from __future__ import annotations

from typing import Any

import pytest

from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.waiting.listed import final_steps, late_steps, missing_steps

BEGAN = "2024-05-27 10:42:16.179903+00:00"
SEED, BUILD, TEST = "dbt seed", "dbt build", "dbt test"


def step(command: str, status: int | None, **fields: Any) -> dict[str, Any]:
    return {"name": f"Invoke dbt with `{command}`", "status": status, "logs": "", **fields}


CHECK = step("dbt source freshness", 20)
CLONE = {"name": "Clone git repository", "status": 10}


def checking(status: int, *steps: dict[str, Any], check: tuple[dict[str, Any], ...] = (CHECK,)) -> Run:
    """A run of a job that has dbt Cloud check its sources first, which failed."""
    found = run(status, *check, *steps, started_at=BEGAN)
    assert found.job is not None
    return found.model_copy(update={"job": found.job.model_copy(update={"run_generate_sources": True})})


def run(status: int, *steps: dict[str, Any], asked: tuple[str, ...] = (BUILD, TEST), **fields: Any) -> Run:
    numbered = [{"index": index, **one} for index, one in enumerate(steps, start=1)]
    job = {"execute_steps": list(asked)}
    return Run.model_validate({"id": 1, "status": status, "run_steps": numbered, "job": job, **fields})


@pytest.mark.parametrize(
    "whole",
    [
        run(10, step(BUILD, 10), step(TEST, 10)),
        run(10, step(BUILD, 10), step("dbt test --threads 4", 10)),
        run(10, step(BUILD, 10), asked=()),
        # The job was edited after the run: as many commands execute nodes as it now has.
        run(10, step("dbt deps", 10), step(BUILD, 10), asked=("dbt deps", "dbt run")),
        run(10, step("dbt retry", 10), retrying_run_id=9),
        # dbt Cloud's own retry runs what is left: the last one of the two commands of a kind.
        run(10, step(TEST, 10), asked=(TEST, BUILD, TEST), retrying_run_id=9),
        run(20, step(BUILD, 20)),
        run(20, step(BUILD, 30, started_at=BEGAN)),
        run(20, step(BUILD, 77, logs="it began"), step(TEST, 30)),
        run(30, step(BUILD, 3), started_at=BEGAN),
        run(30, step(BUILD, 10), step(TEST, 10)),
        run(30, run_steps=None),
        run(30, step("dbt deps", 1), step(BUILD, 30)),
        run(3, step(BUILD, 3)),
        run(20, CHECK),
        # A number that is left out shows nothing by itself, nor does a command that the job has got since.
        run(10, {**step(BUILD, 10), "index": 3}, {**step(TEST, 10), "index": 5}),
        run(10, step(TEST, 10), asked=(SEED, TEST)),
        run(20, {**step(BUILD, 20), "index": 3}, {**step("dbt docs generate", 20), "index": 5}),
        checking(20, step(BUILD, 20)),
        checking(20, step(BUILD, 10), step(TEST, 10)),
        checking(20, step(BUILD, None, status_humanized="Skipped"), step(TEST, None, status_humanized="Skipped")),
        checking(10, step(BUILD, 10), step(TEST, 10)),
        checking(30, step(BUILD, 3)),
        # The check is not listed; what ended the run is.
        checking(20, step(BUILD, 20), check=()),
    ],
    ids=lambda whole: f"{whole.state} {[one.state for one in whole.steps]}",
)
def test_all_that_began_is_listed(whole: Run) -> None:
    assert missing_steps(whole) is None


@pytest.mark.parametrize(
    ("cut_short", "why"),
    [
        (run(10), "lists no steps"),
        (run(10, step(BUILD, 10)), "the step of its last command"),
        (run(10, step(BUILD, 10), step(TEST, 1)), "the step of its last command"),
        (run(10, step(BUILD, 10), step(TEST, 3)), "has not ended"),
        (run(10, step(TEST, 10), step(BUILD, 10), asked=(TEST, BUILD, TEST)), "the step of its last command"),
        (run(20, step(BUILD, 10)), "no failed step"),
        (run(20, step(BUILD, 10), step(TEST, 1)), "no failed step"),
        (run(20, step(BUILD, 10), step(TEST, 30)), "no failed step"),
        (run(20, step(BUILD, 10), step(TEST, None)), "no failed step"),
        (run(20, step(BUILD, 10), step(TEST, 10)), "no failed step"),
        (run(30, step(BUILD, 10), started_at=BEGAN), "cut off"),
        (run(30, step(BUILD, 10), step(TEST, 30), started_at=BEGAN), "cut off"),
        (run(30, started_at=BEGAN), "lists no steps"),
        (run(10, step("dbt deps", 10), {**step(TEST, 10), "index": 3}), "a step of it before others"),
        (run(20, step("dbt deps", 10), {**step(TEST, 20), "index": 3}), "a step of it before others"),
        (run(20, CLONE, {**step(TEST, 20), "index": 3}), "a step of it before others"),
        (
            run(
                20,
                step("dbt deps", 10),
                step(BUILD, 10),
                {**step(TEST, 20), "index": 4},
                asked=("dbt seed", BUILD, TEST),
            ),
            "a step of it before others",
        ),
        # What dbt Cloud's own check of the sources finds stops nothing.
        (checking(20), "no failed step"),
        (checking(20, step(BUILD, 10)), "no failed step"),
        (checking(20, step(BUILD, 10), step(TEST, 30)), "no failed step"),
        (checking(20, step(BUILD, None), step(TEST, None)), "no failed step"),
        (checking(30, step(BUILD, 10)), "cut off"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.state} {[one.state for one in value.steps]}",
)
def test_a_step_that_began_is_not_listed(cut_short: Run, why: str) -> None:
    missing = missing_steps(cut_short)
    assert missing is not None
    assert why in missing


def test_a_log_may_be_late_where_every_step_is_listed() -> None:
    assert late_steps(run(20, step(BUILD, 20))) == "the log of its failed step is not there yet"
    assert late_steps(run(20, step(BUILD, 20, logs="Database Error"))) is None


def test_the_steps_that_stand_are_those_that_ended_as_they_will_stay() -> None:
    listed = run(
        20, step("dbt deps", 10), step(BUILD, 20), step(TEST, 3), step(TEST, 30), step(TEST, 1), step(TEST, 77)
    )
    assert [one.index for one in final_steps(listed)] == [1, 2]
