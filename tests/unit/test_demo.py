"""The runner's stand-in: what it hands over, and what of a log the demo shows."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import respx
from demo.account import AccountError, announce, inputs_of
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


def test_the_page_draws_its_diagrams_and_loads_nothing() -> None:
    page = render('```mermaid\nflowchart LR\n  a["<b>"]\n```\n\n```text\nx\n```\n', "title")
    assert page.count('<pre class="mermaid">flowchart LR') == 1
    assert "a[&quot;&lt;b&gt;&quot;]" in page
    assert '<pre><code class="language-text">x' in page
    assert page.count("<script>") == page.count("</script>") == 2
    around = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"<(script|link|img|iframe)\b", around)
    assert len(page) > 1_000_000


def test_a_page_without_diagrams_carries_no_script() -> None:
    assert "<script" not in render("# Title\n", "title")


def test_the_mermaid_of_the_page_is_the_one_that_its_project_publishes() -> None:
    """`dist/mermaid.min.js` of mermaid 11.16.0 on npm. Another one needs a look at the page, and its hash here."""
    data = files("mermaidx").joinpath("assets/mermaid.js").read_bytes()
    assert hashlib.sha256(data).hexdigest() == "74d7c46dabca328c2294733910a8aa1ed0c37451776e8d5295da38a2b758fb9b"


# -- the demo with an account


ACCOUNT = {"DBT_CLOUD_API_TOKEN": "dbtc_0123456789", "DBT_CLOUD_ACCOUNT_ID": "1", "DBT_CLOUD_JOB_ID": "7"}


def test_an_account_is_named_by_the_environment_in_full() -> None:
    assert inputs_of(ACCOUNT) == {"api-token": "dbtc_0123456789", "account-id": "1", "job-id": "7"}
    assert inputs_of({**ACCOUNT, "DBT_CLOUD_HOST": "h.example"})["host"] == "h.example"
    with pytest.raises(AccountError, match="DBT_CLOUD_API_TOKEN, DBT_CLOUD_JOB_ID must be set"):
        inputs_of({"DBT_CLOUD_ACCOUNT_ID": "1", "DBT_CLOUD_JOB_ID": " "})


@respx.mock
def test_the_job_is_named_before_anything_is_started(capsys: pytest.CaptureFixture[str]) -> None:
    job = {"name": "Nightly\x1b[2J", "project_id": 10, "environment_id": 20}
    route = respx.get("https://h.example/api/v2/accounts/1/jobs/7/").respond(json={"data": job})
    announce(inputs_of({**ACCOUNT, "DBT_CLOUD_HOST": "h.example"}), seconds=0)
    assert route.calls.last.request.headers["Authorization"] == "Token dbtc_0123456789"
    shown = capsys.readouterr().out
    assert "This starts a real run of job 7, “Nightly?[2J”" in shown
    assert "account 1 at https://h.example (project 10, environment 20)" in shown
    assert "dbtc_" not in shown


@respx.mock
@pytest.mark.parametrize("answer", [{"status_code": 404}, {"text": "no json"}, {"json": {"data": None}}])
def test_a_job_that_cannot_be_named_is_not_started(answer: dict[str, Any]) -> None:
    respx.get("https://cloud.getdbt.com/api/v2/accounts/1/jobs/7/").respond(**answer)
    with pytest.raises(AccountError, match=r"Job 7 cannot be read .* Nothing was started"):
        announce(inputs_of(ACCOUNT), seconds=0)
