"""What a decision about the run reads: which requests are sent, how long each is repeated, and what it is for."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from standins.cloud_server import JOB, CloudServer, FakeClock, Fault, Request
from tests.support.deciding import SHA, decide_at
from tests.support.told_cloud import ToldCloud, told

from dbt_cloud_run.cloud.errors import Forbidden, Unreachable
from dbt_cloud_run.cloud.retrying import READ_BUDGET
from dbt_cloud_run.errors import ConfigError
from dbt_cloud_run.start.decide import OPTIONAL_LIST_BUDGET

RUNNING, ERROR = 3, 20
BEGIN = 1000.0
LIST, ONE_JOB, JOBS, RUN = r"/runs/$", rf"/jobs/{JOB}/$", r"/jobs/$", r"/runs/\d+/$"
OPEN = {
    "pull_request": {
        "number": 5,
        "state": "open",
        "head": {"sha": SHA, "repo": {"full_name": "acme/shop"}},
        "base": {"repo": {"full_name": "acme/shop"}},
    }
}


@pytest.fixture
def pull_request(tmp_path: Path) -> tuple[str, Path]:
    payload = tmp_path / "event.json"
    payload.write_text(json.dumps(OPEN), encoding="utf-8")
    return "pull_request", payload


class Slow(ToldCloud):
    """Takes a moment for each answer."""

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(0.25)
        return await super()._answer(request, writer)


def seconds_until_given_up(server: CloudServer, path: str, *, deadline: float | None = None, **options: Any) -> float:
    """How long a read is repeated that would be answered some time, but far too late."""
    clock = FakeClock()
    server.fault("GET", path, Fault(503, times=60))
    with pytest.raises(Unreachable):
        decide_at(server, clock=clock, deadline=deadline, **options)
    return clock.now - BEGIN


# -- how long


@pytest.mark.parametrize(("deadline", "most"), [(None, READ_BUDGET), (BEGIN + 20, 20.0)])
@pytest.mark.parametrize(
    ("path", "options"),
    [
        (LIST, {"reuse": "same-commit"}),
        (LIST, {"attempt": 2}),
        (LIST, {"when_busy": "fail"}),
        (ONE_JOB, {"dry_run": "true"}),
        (JOBS, {"job_id": "", "job_name": "Nightly"}),
        (RUN, {"run_id": "RUN"}),
        # The run itself is read, and the list of its retries is not.
        (LIST, {"run_id": "RUN", "attempt": 2}),
    ],
)
def test_a_read_that_decides_is_repeated_for_its_budget_and_never_beyond_the_deadline(
    path: str, options: dict[str, Any], deadline: float | None, most: float
) -> None:
    server = ToldCloud([told(RUNNING)])
    there = server.add_run()
    given = {name: str(there["id"]) if value == "RUN" else value for name, value in options.items()}
    assert seconds_until_given_up(server, path, deadline=deadline, **given) == pytest.approx(most)


@pytest.mark.parametrize(("deadline", "most"), [(None, OPTIONAL_LIST_BUDGET), (BEGIN + 10, 10.0)])
def test_a_list_that_no_input_needs_is_given_up_sooner(
    deadline: float | None, most: float, caplog: pytest.LogCaptureFixture
) -> None:
    server, clock = ToldCloud([told(RUNNING)]), FakeClock()
    server.add_run()
    server.fault("GET", LIST, Fault(503, times=60, said="Under maintenance."))
    decision = decide_at(server, clock=clock, deadline=deadline)
    assert (decision.is_new, decision.baseline_id) == (True, None)
    assert clock.now - BEGIN == pytest.approx(most)
    assert f"The runs of job {JOB} could not be listed" in caplog.text
    assert "Under maintenance." in caplog.text


def test_a_list_that_an_input_needs_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbt_cloud_run.start.decide.OPTIONAL_LIST_BUDGET", 0.05)
    server = Slow([told(RUNNING)])
    there = server.add_run()
    assert decide_at(server, when_busy="fail").baseline_id == there["id"]
    assert decide_at(server).baseline_id is None


def test_the_job_is_waited_for_only_where_more_than_a_warning_depends_on_it(
    monkeypatch: pytest.MonkeyPatch, pull_request: tuple[str, Path]
) -> None:
    monkeypatch.setattr("dbt_cloud_run.start.decide._WARNING_BUDGET", 0.05)
    server = Slow([told(RUNNING)], {"job_type": "ci"})
    assert decide_at(server).job is None
    assert decide_at(server, event=pull_request).job is not None


# -- what for


@pytest.mark.parametrize(
    ("options", "needing"),
    [
        ({"reuse": "same-commit", "attempt": 2}, "reuse"),
        ({"attempt": 2, "when_busy": "fail"}, "resume"),
        ({"attempt": 2, "resume": "all"}, "resume"),
        ({"attempt": 2, "resume": "off", "when_busy": "fail"}, "when-busy"),
        ({"when_busy": "skip"}, "when-busy"),
        ({}, None),
        ({"resume": "all"}, None),
        ({"attempt": 2, "resume": "off"}, None),
    ],
)
def test_an_error_of_the_list_names_the_input_that_needs_it(
    options: dict[str, Any], needing: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    server = ToldCloud([told(RUNNING)])
    server.fault("GET", LIST, Fault(403, times=60))
    if needing is None:
        assert decide_at(server, **options).baseline_id is None
        assert "answered 403 " in caplog.text
        return
    with pytest.raises(Forbidden) as caught:
        decide_at(server, **options)
    assert caught.value.advice.startswith(f"`{needing}` needs the list of the job's runs.")


@pytest.mark.parametrize(
    ("inputs", "has_event", "is_read"),
    [
        ({}, False, True),  # for a warning
        ({"git_sha": SHA}, False, False),
        ({"git_branch": "main"}, False, False),
        ({"git_sha": SHA, "dry_run": "true"}, False, True),
        ({"git_sha": SHA}, True, True),
        ({"git_sha": SHA, "pull_request": "on"}, True, True),
        ({"git_sha": SHA, "pull_request": "off"}, True, False),
    ],
)
def test_the_job_is_read_where_something_depends_on_it(
    inputs: dict[str, str], has_event: bool, is_read: bool, pull_request: tuple[str, Path]
) -> None:
    server = ToldCloud([told(RUNNING)], {"job_type": "ci"})
    decision = decide_at(server, event=pull_request if has_event else None, **inputs)
    assert (decision.job is not None) is is_read
    assert server.count("GET", ONE_JOB) == int(is_read)


def test_a_job_that_only_a_warning_depends_on_is_asked_for_once() -> None:
    server = ToldCloud([told(RUNNING)])
    server.fault("GET", ONE_JOB, Fault(503))
    assert decide_at(server).job is None
    assert server.count("GET", ONE_JOB) == 1


# -- a job by its name


def named(number: int, project: str, environment: str) -> dict[str, Any]:
    ids = {"shop": 1, "finance": 2, "prod": 3, "staging": 4}
    return {
        "id": number,
        "name": "Nightly",
        "project_id": ids[project],
        "project": {"id": ids[project], "name": project},
        "environment_id": ids[environment],
        "environment": {"id": ids[environment], "name": environment},
    }


def test_a_job_is_found_by_its_name_its_project_and_its_environment() -> None:
    server = CloudServer()
    server.jobs = [named(1, "shop", "staging"), named(2, "finance", "prod"), named(JOB, "shop", "prod")]
    there = server.add_run(status=ERROR)
    where = {"job_id": "", "job_name": "Nightly", "project_name": "shop"}
    decision = decide_at(server, **where, environment_name="prod")
    assert (decision.job_id, decision.baseline_id) == (JOB, there["id"])
    with pytest.raises(ConfigError, match=r"More than one job \(2\) of the name 'Nightly', project 'shop' in"):
        decide_at(server, **where)
    with pytest.raises(ConfigError, match=r"More than one job \(2\) of the name 'Nightly', environment 'prod' in"):
        decide_at(server, job_id="", job_name="Nightly", environment_name="prod")
