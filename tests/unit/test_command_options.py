"""Options and variables of the command: made from the table of inputs, and in the promised order."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest
from tests.support.contract import INPUTS

from dbt_cloud_run import __version__
from dbt_cloud_run.command.main import WORDS, main, step_environment
from dbt_cloud_run.command.options import OWN, OptionsError, read_options, read_token, variable
from dbt_cloud_run.settings.inputs import INPUTS as TABLE
from dbt_cloud_run.settings.settings import Settings

SECRET = {entry.name for entry in TABLE if entry.secret}
IDLE = {entry.name for entry in TABLE if entry.only_in_workflow}
TAKEN = [entry for entry in TABLE if entry.name not in SECRET | IDLE]


def settings_of(*arguments: str, **variables: str) -> Settings:
    given = read_options(arguments, variables)
    return Settings.from_environ(step_environment(given, "dbtc_0123456789", variables), WORDS)


def help_text(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        read_options(["--help"], {})
    assert ended.value.code == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("entry", TAKEN, ids=lambda entry: entry.name)
def test_every_input_but_the_tokens_is_an_option_and_a_variable(entry: object) -> None:
    name = entry.name  # type: ignore[attr-defined]
    text = INPUTS[name].other
    assert read_options([f"--{name}", text], {}).texts == {name: text}
    assert read_options([], {variable(name): text}).texts == {name: text}
    assert read_options([f"--{name}={text}"], {variable(name): "another"}).texts == {name: text}


@pytest.mark.parametrize("name", sorted(SECRET))
def test_a_token_is_no_option(name: str) -> None:
    with pytest.raises(OptionsError, match=r"unrecognized arguments.*--help"):
        read_options([f"--{name}", "s3cret"], {})


def test_help_describes_every_option_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    shown = help_text(capsys)
    for entry in TABLE:
        has_value = re.search(rf"--{entry.name} (…|\[true)", shown)
        assert bool(has_value) == (entry.name not in SECRET | IDLE), entry.name
        assert bool(re.search(rf"--{entry.name}(?![-\w])", shown)) == (entry.name not in SECRET), entry.name
        if entry.name not in SECRET | IDLE:
            words = (entry.elsewhere or entry.description).replace("`", "'")
            default = f" [{', '.join(entry.default.splitlines())}]" if entry.default else ""
            assert f"{words}{default}" in shown, entry.name
    for own in OWN:
        assert f"--{own.name} " in shown
    assert "GitHub" not in shown.replace("the GitHub pull request", "").partition("Without effect here")[0]


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_options(["--version"], {})
    assert capsys.readouterr().out == f"dbt-cloud-run {__version__}\n"


def test_an_option_wins_over_its_variable_and_that_over_dbt_clouds_own() -> None:
    own = {"DBT_CLOUD_ACCOUNT_ID": "1", "DBT_CLOUD_JOB_ID": "2"}
    assert settings_of(**own).job_id == 2
    assert settings_of(**own, DBT_CLOUD_RUN_JOB_ID="3").job_id == 3
    assert settings_of("--job-id", "4", **own, DBT_CLOUD_RUN_JOB_ID="3").job_id == 4


def test_what_the_command_line_says_about_the_run_wins_over_every_variable() -> None:
    variables = {"DBT_CLOUD_ACCOUNT_ID": "1", "DBT_CLOUD_JOB_ID": "2", "DBT_CLOUD_RUN_JOB_ID": "3"}
    named = settings_of("--job-name", "Nightly", **variables)
    assert (named.job_name, named.job_id) == ("Nightly", None)
    known = settings_of("--job-id", "4", **variables, DBT_CLOUD_RUN_RUN_ID="9")
    assert (known.job_id, known.run_id) == (4, None)


def test_variables_that_dbt_cloud_sets_itself_are_ignored() -> None:
    given = read_options(
        [], {"DBT_CLOUD_RUN_ID": "70", "DBT_CLOUD_RUN_REASON": "x", "DBT_CLOUD_RUN_REASON_CATEGORY": "y"}
    )
    assert given.texts == {}


def test_an_empty_value_is_not_given() -> None:
    assert read_options(["--gitlab-merge-request-id", "", "--git-sha="], {"DBT_CLOUD_RUN_CAUSE": " "}).texts == {}


def test_a_list_is_given_by_repeating_the_option_and_a_single_value_is_not_repeated() -> None:
    given = settings_of("--artifacts", "a.json", "--artifacts", "b.json", "--account-id", "1", "--job-id", "2")
    assert given.artifacts == ("a.json", "b.json")
    with pytest.raises(Exception, match="job-id: must be a whole number"):
        settings_of("--job-id", "1", "--job-id", "2", "--account-id", "1")


def test_a_switch_may_stand_alone() -> None:
    assert read_options(["--wait", "--job-id", "1"], {}).texts == {"wait": "true", "job-id": "1"}
    assert read_options(["--verbose"], {}).is_verbose
    assert not read_options([], {"DBT_CLOUD_RUN_VERBOSE": "false"}).is_verbose


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--pr-comment", "true", "--resume", "all"], ("--resume", "--pr-comment")),
        (["--pr-comment", "false", "--pull-request", "auto", "--upload-artifact", "false"], ()),
        (["--upload-artifact", "true"], ("--upload-artifact",)),
    ],
)
def test_what_has_no_effect_is_named_and_not_passed_on(arguments: list[str], named: tuple[str, ...]) -> None:
    given = read_options(arguments, {})
    assert (given.without_effect, given.texts) == (named, {})


def test_nothing_of_a_runner_reaches_the_step() -> None:
    runner = {"GITHUB_REPOSITORY": "a/b", "INPUT_JOB-ID": "9", "RUNNER_TEMP": "/t", "ACTIONS_RUNTIME_TOKEN": "x"}
    environment = step_environment(read_options(["--job-id", "1"], {}), "", {**runner, "HTTPS_PROXY": "http://p"})
    assert environment["INPUT_JOB-ID"] == "1"
    assert environment["HTTPS_PROXY"] == "http://p"
    assert environment.keys() & runner.keys() == {"INPUT_JOB-ID"}


def test_a_token_file_is_read_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text("dbtc_abc\n")
    assert read_token(str(file)) == "dbtc_abc"
    monkeypatch.setattr(sys, "stdin", io.StringIO("from stdin\n"))
    assert read_token("-") == "from stdin"
    file.write_text(" \n")
    with pytest.raises(OptionsError, match="is empty"):
        read_token(str(file))
    with pytest.raises(OptionsError, match=r"api-token-file: .*missing cannot be read \(No such file"):
        read_token(str(tmp_path / "missing"))


def test_mistakes_are_named_as_they_were_written(capsys: pytest.CaptureFixture[str]) -> None:
    variables = {"DBT_CLOUD_RUN_RETRY_DELAY": "soon", "DBT_CLOUD_ACCOUNT_ID": "x"}
    assert main(["--job-id", "nightly"], variables) == 1
    log = capsys.readouterr().out
    assert "--job-id: must be a whole number" in log
    assert "DBT_CLOUD_RUN_RETRY_DELAY: must be a number of seconds" in log
    assert (
        "account-id: must be a whole number, from 1 upwards, in digits only; 'x' was given (in DBT_CLOUD_ACCOUNT_ID)"
        in log
    )
    assert "--api-token-file" in log
    assert "secrets." not in log


def test_a_wrong_option_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--jobid", "1"], {}) == 1
    assert capsys.readouterr().err == (
        "dbt-cloud-run: unrecognized arguments: --jobid 1. `dbt-cloud-run --help` lists the options.\n"
    )
