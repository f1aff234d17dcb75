"""Secrets among the inputs: a token that is missing, in quotes or an id besides, and what no message quotes."""

from __future__ import annotations

import pytest
from tests.support.inputs import MINIMUM, TOKEN, environment, problems, read

from dbt_cloud_run.errors import InvalidInputsError
from dbt_cloud_run.settings.settings import Settings


def test_a_secret_is_in_no_message_and_in_no_repr() -> None:
    for bad in (f"Bearer {TOKEN}", f"{TOKEN}\nx", f"{TOKEN}ö"):
        with pytest.raises(InvalidInputsError) as caught:
            Settings.from_environ(environment(MINIMUM | {"api-token": bad, "github-token": bad}))
        assert TOKEN not in f"{caught.value}{caught.value!r}{caught.value.__cause__!r}"
    settings = read({"github-token": TOKEN}, ACTIONS_RUNTIME_TOKEN=TOKEN)
    assert TOKEN not in f"{settings!r}{settings}{settings.github!r}"
    assert settings.api_token is not None
    assert settings.api_token.reveal() == TOKEN


def test_a_missing_token_explains_itself() -> None:
    message = problems({"account-id": "1", "job-id": "2"})["api-token"]
    for reason in ("fork", "Dependabot", "environment", "on-missing-token: skip"):
        assert reason in message


def test_a_missing_token_can_be_skipped_with_everything_else_missing_too() -> None:
    settings = Settings.from_environ(environment({"on-missing-token": "skip"}))
    assert settings.api_token is None
    assert set(problems({"on-missing-token": "skip", "job-id": "x"})) == {"job-id"}


@pytest.mark.parametrize("host", ["https://me:pa55word@cloud.getdbt.com", "https://me:pa55word@x y", "me:pa55word@x%"])
def test_a_password_in_the_host_is_not_quoted_back(host: str) -> None:
    assert "pa55word" not in problems(MINIMUM | {"host": host})["host"]


def test_a_missing_token_names_every_reason() -> None:
    message = problems({"account-id": "1", "job-id": "2"})["api-token"]
    for reason in ("fork", "Dependabot", "`secrets: inherit`", "`environment:`"):
        assert reason in message


@pytest.mark.parametrize("quotes", ['""', "''", "``", "\u201c\u201d", "\u2018\u2019"])
@pytest.mark.parametrize(
    ("name", "value"), [("api-token", TOKEN), ("github-token", TOKEN), ("account-id", "12"), ("job-id", "34")]
)
def test_quotes_around_a_token_or_an_id_are_named(name: str, value: str, quotes: str) -> None:
    message = problems(MINIMUM | {name: f"{quotes[0]}{value}{quotes[1]}"})[name]
    assert "has quotes around it" in message
    assert TOKEN not in message


@pytest.mark.parametrize(
    ("inputs", "hidden"),
    [
        ({"api-token": "70506070", "account-id": "70506070"}, "api-token is also the value of account-id."),
        ({"github-token": "12345678", "job-id": "912345678"}, "github-token is also the value of job-id."),
    ],
)
def test_a_secret_that_is_also_an_id_is_said(inputs: dict[str, str], hidden: str) -> None:
    (warning,) = read(inputs).warnings
    assert warning.startswith(hidden)
    assert "12345678" not in warning
    assert read({}).warnings == ()
