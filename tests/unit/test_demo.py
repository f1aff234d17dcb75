"""The runner's stand-in: what it hands over, and what of a log the demo shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from demo.page import render
from demo.shown_log import ShownLog
from standins.runner import Runner
from standins.runner_log import REGISTERED, read_environment_file


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path, inputs={"job-id": "5", "api-token": "t"}, services={"ACTIONS_RESULTS_URL": "http://x/"})


def test_files_are_read_as_the_runner_reads_them(tmp_path: Path) -> None:
    (tmp_path / "output").write_text("a=b=c\nx<<E\n1\n\n2\nE\ny<<F\nF\n")
    assert read_environment_file(tmp_path / "output") == {"a": "b=c", "x": "1\n\n2", "y": ""}


def test_a_step_gets_defaults_and_inputs_and_no_variable_of_this_process(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_CLOUD_API_TOKEN", "from outside")
    environment = runner.environment()
    assert environment["INPUT_JOB-ID"] == "5"
    assert environment["INPUT_RETRY-ON"] == "transient"
    assert environment["INPUT_GITHUB-TOKEN"] == ""
    assert "DBT_CLOUD_API_TOKEN" not in environment


def test_the_log_is_shown_with_masks_and_without_commands(capsys: pytest.CaptureFixture[str]) -> None:
    shown_log = ShownLog()
    for line in (
        "::add-mask::secret-1",
        "::group::Attempt 1",
        "a secret-1 b",
        "::stop-commands::done-7",
        "::error::not a command",
        "::done-7::",
        "::endgroup::",
        "::error file=a.sql,line=2::broken%0Aindeed",
    ):
        shown_log.show(line)
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        "▼ Attempt 1",
        "  a *** b",
        "  ::error::not a command",
        "Error: broken",
        "indeed [file=a.sql,line=2]",
    ]
    assert {"add-mask", "group", "stop-commands", "endgroup", "error"} <= REGISTERED


def test_a_page_is_made_of_a_summary() -> None:
    page = render("# Title\n\n| a | b |\n|---|---|\n| 1 | <b>2</b> |\n", "<title>")
    assert "<h1>Title</h1>" in page
    assert "<td><b>2</b></td>" in page
    assert "<title>&lt;title&gt;</title>" in page


def test_the_page_says_who_draws_its_diagrams() -> None:
    page = render("```mermaid\nflowchart LR\n```\n\n```text\nx\n```\n", "title")
    assert page.count("GitHub draws this diagram") == page.count("flowchart LR") == 1
