"""Times, faults and configuration of the emulator: pure values."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dbt_cloud_emulator.config import SHIPPED_PROJECT, load_config
from dbt_cloud_emulator.errors import ConfigError
from dbt_cloud_emulator.faults import Fault, Faults
from dbt_cloud_emulator.reference import CONFIGURATION
from dbt_cloud_emulator.timing import clock_duration, parse_timestamp, spoken_duration, timestamp

MOMENT = datetime(2024, 5, 27, 10, 42, 16, tzinfo=UTC)


def test_timestamps_have_a_space_and_always_microseconds() -> None:
    assert timestamp(MOMENT) == "2024-05-27 10:42:16.000000+00:00"
    assert timestamp(None) is None


@pytest.mark.parametrize(
    "text",
    ["2024-05-27 10:42:16.000000+00:00", "2024-05-27T10:42:16Z", "2024-05-27T10:42:16", "2024-05-27T12:42:16+02:00"],
)
def test_timestamps_are_read_in_every_form(text: str) -> None:
    assert parse_timestamp(text) == MOMENT


@pytest.mark.parametrize(
    ("seconds", "clock", "spoken"),
    [
        (0, "00:00:00", "0 minutes"),
        (61.9, "00:01:01", "1 minute, 1 second"),
        (86436, "24:00:36", "1 day, 36 seconds"),
        (-3, "00:00:00", "0 minutes"),
    ],
)
def test_durations(seconds: float, clock: str, spoken: str) -> None:
    span = timedelta(seconds=seconds)
    assert (clock_duration(span), spoken_duration(span)) == (clock, spoken)


def test_a_fault_hits_from_its_start_and_as_often_as_it_says() -> None:
    faults = Faults([Fault(method="GET", path=r"/runs/\d+/$", after=1, times=2)])
    requests = [("GET", "/runs/1/"), ("POST", "/runs/1/"), ("GET", "/runs/"), *[("GET", "/runs/1/")] * 3]
    assert [faults.take(method, path, "") is not None for method, path in requests] == [
        False, False, False, True, True, False,
    ]  # fmt: skip


def test_the_first_fault_that_matches_and_is_not_spent_decides() -> None:
    faults = Faults([Fault(status=429), Fault(status=503, times=None)])
    hits = [faults.take("GET", "/", "") for _ in range(3)]
    assert [hit.status for hit in hits if hit is not None] == [429, 503, 503]


def test_a_fault_can_look_at_the_query() -> None:
    faults = Faults([Fault(query="step=4")])
    assert faults.take("GET", "/", "step=3") is None
    assert faults.take("GET", "/", "step=4") is not None


def test_faults_are_removed_one_by_one_or_all() -> None:
    faults = Faults([Fault(), Fault(), Fault()])
    first = next(iter(faults))
    assert faults.remove(first.id) == 1
    assert faults.remove() == 2


def test_without_a_file_there_is_account_1_and_the_project_that_comes_with_it() -> None:
    config = load_config(None, [])
    assert config.accounts[0].id == 1
    assert config.tokens[0].token == "demo-token"
    assert config.projects[0].path == SHIPPED_PROJECT.resolve()
    assert {job.job_type for job in config.jobs} == {"ci", "other", "scheduled"}


def test_each_further_project_has_an_environment_and_jobs_of_its_own(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        (folder / "dbt_project.yml").write_text("name: x\n")
    config = load_config(None, folders)
    assert [project.name for project in config.projects] == ["a", "b"]
    assert {job.id: job.project_id for job in config.jobs}[1101] == 11
    assert len({job.id for job in config.jobs}) == len(config.jobs)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"accounts": [{"id": 1, "colour": "red"}]}, "accounts.0.colour"),
        ({"projects": [{"name": "x", "account_id": 9}]}, "no account 9"),
        (
            {"projects": [{"name": "x"}], "jobs": [{"id": 1, "name": "j", "execute_steps": ["dbt build"]}]},
            "no environment 20",
        ),
        ({"projects": [{"name": "x", "path": "nowhere"}]}, "there is no dbt_project.yml"),
        ({"faults": [{"path": "("}]}, "not a regular expression"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused_with_what_to_change(
    tmp_path: Path, content: object, message: str
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        load_config(file, [])


def test_yaml_is_read_too_and_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "dbt_project.yml").write_text("name: x\n")
    file = tmp_path / "config.yml"
    file.write_text("projects:\n- {name: x, path: project}\nenvironments:\n- {schema: analytics}\n")
    config = load_config(file, [])
    assert config.projects[0].path == (tmp_path / "project").resolve()
    assert config.environments[0].target_schema == "analytics"


def test_a_job_whose_recording_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a recording"):
        load_config(None, [], replay=tmp_path)


def test_the_help_names_every_key() -> None:
    for key in ("execute_steps", "schema (", "list_skipped_steps", "took_effect", "id_base", "permission"):
        assert key in CONFIGURATION
