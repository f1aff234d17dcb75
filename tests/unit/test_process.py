"""What the main step and the post step share."""

from __future__ import annotations

import logging

import pytest
from standins.runner_log import read_stream

from dbt_cloud_run.github.console import Console
from dbt_cloud_run.process import run_process

EVIL = "a\n::set-output name=status::success\n##[error]x"


def test_a_fault_is_one_error_and_its_lines_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    def work(console: Console) -> int:
        raise RuntimeError(EVIL)

    assert run_process({}, work, status_of_fault=1) == 1
    reading = read_stream(capsys.readouterr().out)
    assert [command.name for command in reading.commands] == ["group", "endgroup", "error"]
    assert "RuntimeError" in reading.commands[-1].data


def test_the_status_of_the_work_is_that_of_the_process() -> None:
    assert run_process({}, lambda _: 130, status_of_fault=1) == 130


def test_levels_become_lines_annotations_and_debug_lines(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("dbt_cloud_run.anything")

    def work(console: Console) -> int:
        logger.debug("for developers")
        logger.info("for people")
        logger.warning("look here", extra={"title": "A title"})
        logger.error("it failed")
        return 0

    run_process({"RUNNER_DEBUG": "1"}, work, status_of_fault=1)
    reading = read_stream(capsys.readouterr().out)
    assert [(command.name, command.data) for command in reading.commands] == [
        ("debug", "for developers"),
        ("warning", "look here"),
        ("error", "it failed"),
    ]
    assert reading.commands[1].properties["title"] == "A title"
    run_process({}, work, status_of_fault=1)
    out = capsys.readouterr().out
    assert "for developers" not in out
    assert "\nfor people\n" in f"\n{out}"


def test_every_secret_is_masked_before_anything_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"GITHUB_ACTIONS": "true", "INPUT_API-TOKEN": "s3cret-token", "ACTIONS_RUNTIME_TOKEN": "runtime-token"}

    def work(console: Console) -> int:
        logging.getLogger("dbt_cloud_run").info("the token is s3cret-token, and runtime-token")
        return 0

    run_process(environ, work, status_of_fault=1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["::add-mask::s3cret-token", "::add-mask::runtime-token"]
    assert lines[2] == "the token is ***, and ***"


def test_secrets_in_the_variables_of_a_lineage_client_are_masked(capsys: pytest.CaptureFixture[str]) -> None:
    variables = {
        "GITHUB_ACTIONS": "true",
        "OPENLINEAGE__TRANSPORT__AUTH__APIKEY": "key-of-its-own",
        "OPENLINEAGE__TRANSPORT__TRANSPORTS__ONE": '{"auth": {"type": "api_key", "apiKey": "key-in-an-object"}}',
        "OPENLINEAGE__TRANSPORT__AUTH__CLIENT_SECRET": "1234567890",
        "OPENLINEAGE__TRANSPORT__AUTH__TYPE": "a-plain-word",
    }

    def work(console: Console) -> int:
        console.info(" ".join(variables.values()))
        return 0

    run_process(variables, work, status_of_fault=1)
    *commands, line = capsys.readouterr().out.splitlines()
    masked = {one.partition("::add-mask::")[2] for one in commands}
    assert masked == {"key-of-its-own", "key-in-an-object", "1234567890"}
    assert not any(secret in line for secret in masked)
    assert "a-plain-word" in line
