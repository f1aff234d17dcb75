"""Environment in, exit status out: what ends before any request."""

from __future__ import annotations

from pathlib import Path

import pytest
from standins.runner_log import read_environment_file, read_stream
from tests.support.action import FILES, ActionJob

from dbt_cloud_run.main import main

GIVEN = {"api-token": "t0ken", "account-id": "1", "job-id": "7", "host": "http://127.0.0.1:9"}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for name in FILES:
        (folder / name).touch()
    (folder / "event.json").write_text("{}", encoding="utf-8")
    return folder


def environment(files: Path, **inputs: str) -> dict[str, str]:
    given = GIVEN | {name.replace("_", "-"): text for name, text in inputs.items()}
    found = ActionJob(files.parent / "job").environment(files, "workflow_dispatch", 1)
    return found | {f"INPUT_{name.upper()}": text for name, text in given.items()}


def test_inputs_that_are_not_valid_are_one_error_that_names_them_all(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(environment(files, account_id="x", poll_interval="soon")) == 1
    (error,) = read_stream(capsys.readouterr().out).named("error")
    assert "account-id" in error.data
    assert "poll-interval" in error.data
    outputs = read_environment_file(files / "output")
    assert (outputs["status"], outputs["failure-kind"]) == ("error", "config")
    assert (outputs["run-ids"], outputs["attempts"]) == ("[]", "0")
    assert "poll-interval" in (files / "step_summary").read_text(encoding="utf-8")
    assert (files / "state").read_text(encoding="utf-8") == "", "there is nothing for the post step to do"


def test_a_missing_token_ends_green_where_it_is_asked_for(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(environment(files, api_token="", on_missing_token="skip", summary="false")) == 0
    reading = read_stream(capsys.readouterr().out)
    assert (len(reading.named("notice")), reading.named("error")) == (1, [])
    assert read_environment_file(files / "output")["status"] == "skipped"
    assert (files / "step_summary").read_text(encoding="utf-8") == ""


def test_a_step_that_could_not_report_sends_nothing(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environ = environment(files) | {"GITHUB_OUTPUT": str(files)}
    assert main(environ) == 1
    (error,) = read_stream(capsys.readouterr().out).named("error")
    assert "GITHUB_OUTPUT" in error.data
    assert (files / "state").read_text(encoding="utf-8") == ""
