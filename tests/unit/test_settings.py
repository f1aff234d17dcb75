"""Every input, read from the environment that the runner makes."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.inputs import MINIMUM, TOKEN, environment, problems, read

from dbt_cloud_run.errors import InputProblem, InvalidInputsError
from dbt_cloud_run.settings.inputs import INPUTS
from dbt_cloud_run.settings.settings import Settings


def test_defaults() -> None:
    settings = read({}, GITHUB_REPOSITORY="o/r", GITHUB_WORKFLOW="nightly", GITHUB_RUN_NUMBER="7", GITHUB_ACTOR="ann")
    defaults: dict[str, Any] = {
        "on_missing_token": "fail",
        "account_id": 1,
        "base_url": "https://cloud.getdbt.com",
        "job_id": 2,
        "job_name": None,
        "run_id": None,
        "reuse": "never",
        "resume": "unfinished",
        "cause": "o/r nightly #7 by ann",
        "pull_request": "auto",
        "targeted_retries": 3,
        "retry_on": "transient",
        "retry_strategy": "nodes",
        "retry_delay": 30.0,
        "wait": True,
        "timeout_minutes": 0.0,
        "queue_timeout_minutes": 0.0,
        "poll_interval": None,
        "cancel_run": True,
        "fail_on_error": True,
        "artifacts": ("manifest.json", "run_results.json", "catalog.json", "sources.json"),
        "step_artifacts": "results",
        "artifacts_path": None,
        "upload_artifact": True,
        "artifact_name": None,
        "artifact_retention_days": None,
        "summary": True,
        "annotations": True,
        "project_directory": ".",
        "pr_comment": "false",
        "github_token": None,
    }
    assert {name: getattr(settings, name) for name in defaults} == defaults
    assert settings.overrides.body() == {}


def test_overrides_take_the_names_of_the_api() -> None:
    settings = read(
        {
            "git-sha": "abc",
            "git-branch": "main",
            "schema-override": "s",
            "target-name-override": "ci",
            "dbt-version-override": "latest",
            "threads-override": "8",
            "timeout-seconds-override": "0",
            "github-pull-request-id": "12",
            "azure-pull-request-id": "13",
            "gitlab-merge-request-id": "14",
            "non-native-pull-request-id": "15",
            "generate-docs-override": "False",
            "steps-override": "dbt seed\n\n  dbt build -s 'a b'  \n",
        }
    )
    assert settings.overrides.body() == {
        "git_sha": "abc",
        "git_branch": "main",
        "schema_override": "s",
        "target_name_override": "ci",
        "dbt_version_override": "latest",
        "threads_override": 8,
        "timeout_seconds_override": 0,
        "github_pull_request_id": 12,
        "azure_pull_request_id": 13,
        "gitlab_merge_request_id": 14,
        "non_native_pull_request_id": 15,
        "generate_docs_override": False,
        "steps_override": ["dbt seed", "dbt build -s 'a b'"],
    }


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("account-id", " 70437463654321 ", 70437463654321),
        ("timeout-minutes", "0.5", 0.5),
        ("retry-delay", "0", 0.0),
        ("poll-interval", "AUTO", None),
        ("poll-interval", "1.5", 1.5),
        ("wait", "FALSE", False),
        ("retry-on", "Any", "any"),
        (
            "artifacts",
            "run_results.json\n./run_results.json\ncompiled/**/*.sql\n",
            ("run_results.json", "compiled/**/*.sql"),
        ),
        ("artifact-retention-days", "400", 400),
        ("cause", "nightly\x1b[31m\nrun", "nightly [31m run"),
        ("artifacts-path", "a//b/./c/", "a/b/c"),
        ("artifacts-path", "/github/workspace/out", "out"),
        ("project-directory", "./dbt", "dbt"),
        ("pr-comment", "on-failure", "on-failure"),
        ("emit", "Prefect,openlineage\nprefect", ("prefect", "openlineage")),
        ("emit", " openlineage ", ("openlineage",)),
        ("strategy-job-index", "3", "3"),
    ],
)
def test_accepted(name: str, text: str, value: object) -> None:
    settings = read({name: text}, GITHUB_WORKSPACE="/github/workspace")
    assert getattr(settings, name.replace("-", "_")) == value


@pytest.mark.parametrize("text", ["prefect; openlineage", "dagster", ",", "prefect openlineage ../x"])
def test_a_list_of_words_holds_no_others(text: str) -> None:
    assert problems(MINIMUM | {"emit": text})["emit"].startswith("must be a list of prefect, openlineage;")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://AB123.us1.dbt.com/deploy/123/", "https://ab123.us1.dbt.com"),
        ("emea.dbt.com/", "https://emea.dbt.com"),
        ("//dbt.example.com:8443//api", "https://dbt.example.com:8443"),
        ("127.0.0.1:8080", "https://127.0.0.1:8080"),
        ("http://127.8.0.1:8080/x", "http://127.8.0.1:8080"),
        ("HTTP://LOCALHOST", "http://localhost"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_hosts(text: str, url: str) -> None:
    assert read({"host": text}).base_url == url


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("http://cloud.getdbt.com", "https://"),
        ("http://localhost.example.com", "https://"),
        ("http://127.0.0.1.example.com", "https://"),
        ("https://me:pw@cloud.getdbt.com", "user name"),
        ("https:/cloud.getdbt.com", "two slashes"),
        ("http:/127.0.0.1:80", "two slashes"),
        ("https://127.0.0.1@evil.example", "user name"),
        ("ftp://cloud.getdbt.com", "host name"),
        ("cloud getdbt com", "host name"),
        ("cloud\n.getdbt.com", "host name"),
        ("https://", "host name"),
        ("https://https://cloud.getdbt.com", "https:// once"),
        ("https://http://cloud.getdbt.com", "https:// once"),
        ("HTTPS:////Https://cloud.getdbt.com/", "https:// once"),
        ("cloud.getdbt.com:99999", "host name"),
        ("a..b", "host name"),
        ("[::1", "host name"),
        ("clöud.getdbt.com", "host name"),
    ],
)
def test_hosts_that_are_refused(text: str, reason: str) -> None:
    assert reason in problems(MINIMUM | {"host": text})["host"]


@pytest.mark.parametrize(
    ("name", "text", "advice"),
    [
        ("account-id", "1_000", "whole number"),
        ("account-id", "+5", "whole number"),
        ("account-id", "0", "from 1"),
        ("account-id", "٣", "whole number"),
        ("account-id", str(2**63), "whole number"),
        ("job-id", "1.23456789012346E+16", "quotes"),
        ("job-id", "my job", "whole number"),
        ("targeted-retries", "-1", "from 0 to 100"),
        ("retry-delay", "nan", "number of seconds"),
        ("retry-delay", "1e3", "number of seconds"),
        ("timeout-minutes", "inf", "number of minutes"),
        ("timeout-minutes", "9" * 400, "number of minutes"),
        ("poll-interval", "0.5", "auto, or a number of seconds from 1"),
        ("wait", "yes", "true or false"),
        ("resume", "never", "one of unfinished, all, off"),
        ("git-branch", "a\nb", "single line"),
        ("steps-override", "dbt seed\nrm -rf /", "one dbt command per line"),
        ("artifacts", "../secrets", "inside dbt's target folder"),
        ("artifacts", "/etc/passwd", "inside dbt's target folder"),
        ("artifacts-path", "a/../../b", "inside the workspace"),
        ("artifacts-path", "/etc", "inside the workspace"),
        ("artifacts-path", ".git/hooks", "git's own"),
        ("artifacts-path", "sub/.git/hooks", "git's own"),
        ("project-directory", "..", "inside the workspace"),
        ("artifact-name", "a/b", "hold none of"),
        ("artifact-retention-days", "401", "from 1 to 400"),
        ("git-sha", "\udcff", "UTF-8"),
    ],
)
def test_refused(name: str, text: str, advice: str) -> None:
    found = problems(MINIMUM | {name: text}, GITHUB_WORKSPACE="/github/workspace")
    assert list(found) == [name]
    assert advice in found[name]


def test_all_problems_at_once_by_name() -> None:
    found = problems({"host": "http://x", "job-id": "a", "wait": "maybe", "retry-on": "never"})
    assert set(found) == {"api-token", "account-id", "host", "job-id", "wait", "retry-on"}


def test_values_in_messages_are_short_and_harmless() -> None:
    message = problems(MINIMUM | {"job-id": "\x1b[31m\r\n::error::x" + "y" * 500})["job-id"]
    assert message.isprintable()
    assert len(message) < 200


def test_environment_variables_stand_in() -> None:
    variables = {
        "DBT_CLOUD_API_TOKEN": TOKEN,
        "DBT_CLOUD_ACCOUNT_ID": "11",
        "DBT_CLOUD_JOB_ID": "12",
        "DBT_CLOUD_HOST": "emea.dbt.com",
    }
    settings = Settings.from_environ(environment({}, **variables))
    assert (settings.account_id, settings.job_id, settings.host) == (11, 12, "emea.dbt.com")
    assert read({}, **variables).job_id == 2
    assert "DBT_CLOUD_JOB_ID" in problems({}, **(variables | {"DBT_CLOUD_JOB_ID": "x"}))["job-id"]


@pytest.mark.parametrize("inputs", [{"job-name": "nightly"}, {"run-id": "5"}])
def test_the_step_wins_over_the_job_id_of_the_environment(inputs: dict[str, str]) -> None:
    given_inputs = {"api-token": TOKEN, "account-id": "1"} | inputs
    assert Settings.from_environ(environment(given_inputs, DBT_CLOUD_JOB_ID="no number")).job_id is None


def test_which_run() -> None:
    assert read({"run-id": "9"}).run_id == 9
    without = {"api-token": TOKEN, "account-id": "1"}
    assert set(problems(without)) == {"job-id"}
    assert set(problems(MINIMUM | {"job-name": "x"})) == {"job-name"}
    assert set(problems(without | {"job-name": "x", "run-id": "3"})) == {"job-name"}
    assert set(problems(MINIMUM | {"project-name": "p", "environment-name": "e"})) == {
        "project-name",
        "environment-name",
    }


def test_a_folder_behind_a_symbolic_link_out_of_the_workspace(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "out").symlink_to(tmp_path)
    (workspace / "loop").symlink_to(workspace / "loop")
    for path in ("out/x", "out"):
        found = problems(MINIMUM | {"artifacts-path": path}, GITHUB_WORKSPACE=str(workspace))
        assert "symbolic link" in found["artifacts-path"]
    assert problems(MINIMUM | {"artifacts-path": "loop/x"}, GITHUB_WORKSPACE=str(workspace))


@pytest.mark.parametrize("name", ["artifacts-path", "project-directory"])
@pytest.mark.parametrize("path", ["file", "file/below", "link"])
def test_a_file_where_a_folder_would_have_to_be(name: str, path: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    found = problems(MINIMUM | {name: path}, GITHUB_WORKSPACE=str(tmp_path))
    assert "is a file" in found[name]


def test_underscores_are_taken_for_dashes_and_dashes_win() -> None:
    environ = {"INPUT_API_TOKEN": TOKEN, "INPUT_ACCOUNT_ID": "1", "INPUT_JOB_ID": "3", "INPUT_JOB-ID": "2"}
    assert Settings.from_environ(environ).job_id == 2


def test_unknown_inputs_are_named() -> None:
    settings = read({"job-idd": "1", "entrypoint": "/bin/sh", "args": "x"})
    assert [warning for warning in settings.warnings if "no input named" in warning] == [
        "There is no input named job-idd; it is ignored."
    ]


def test_a_comment_without_a_token_is_a_warning() -> None:
    assert "github-token" in read({"pr-comment": "true"}).warnings[0]
    assert read({"pr-comment": "true", "github-token": "ghs_x"}).warnings == ()


def test_a_default_that_the_runner_fills_in_is_not_given() -> None:
    filled = {entry.name: entry.declared_default for entry in INPUTS if not entry.expression}
    settings = Settings.from_environ(environment(filled | MINIMUM | {"retry-delay": "5"}))
    assert settings.given == {*MINIMUM, "retry-delay"}


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        read({}).job_id = 3


NAMES = st.sampled_from([f"INPUT_{entry.name.upper()}" for entry in INPUTS])
CONTEXT = st.sampled_from(["GITHUB_WORKSPACE", "GITHUB_EVENT_PATH", "GITHUB_RUN_ATTEMPT", "DBT_CLOUD_HOST", "INPUT_X"])


@given(st.dictionaries(NAMES | CONTEXT, st.text() | st.sampled_from(["1", "skip", "http://[::1]", "/a/..", "auto"])))
def test_no_text_whatever_makes_it_raise_anything_else(environ: dict[str, str]) -> None:
    found: tuple[InputProblem, ...] = ()
    try:
        assert Settings.from_environ(environ).github.event == {}
    except InvalidInputsError as error:
        found = error.problems
    assert all(problem.message.isprintable() for problem in found)


def test_a_link_into_a_git_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sub" / ".git").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "sub" / ".git")
    found = problems(MINIMUM | {"artifacts-path": "link/hooks"}, GITHUB_WORKSPACE=str(tmp_path))
    assert "git's own folder" in found["artifacts-path"]


def test_a_project_directory_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "dbt").mkdir()
    assert read({"project-directory": "dbt"}, GITHUB_WORKSPACE=str(tmp_path)).warnings == ()
    (warning,) = read({"project-directory": "nope"}, GITHUB_WORKSPACE=str(tmp_path)).warnings
    assert "no folder 'nope' in the workspace" in warning
    assert read({}, GITHUB_WORKSPACE=str(tmp_path / "none")).warnings == ()


def test_no_artifacts_at_all() -> None:
    for text in ("none", "None", " NONE\n"):
        assert read({"artifacts": text}).artifacts == ()
    assert "either none or paths" in problems(MINIMUM | {"artifacts": "none\nmanifest.json"})["artifacts"]


def test_commands_that_dbt_cloud_may_not_take_are_warned_of() -> None:
    settings = read({"steps-override": "dbt deps && dbt build\ndbt build --vars 'a; b && c'\ndbt seed;"})
    assert settings.overrides.steps_override == ("dbt deps && dbt build", "dbt build --vars 'a; b && c'", "dbt seed;")
    first, second = settings.warnings
    assert "command 1 holds `&&`" in first
    assert "command 3 holds `;`" in second
