"""What libraries write to standard error cannot become commands either."""

from __future__ import annotations

import io
import logging
import sys

import pytest
from standins.runner_log import read_stream

from dbt_cloud_run.github.console import Console
from dbt_cloud_run.github.streams import one_stream

EVIL = "a\n::set-output name=status::success\n##[error]x"


def test_standard_error_comes_out_of_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    with one_stream(Console(stream, {})):
        sys.stderr.write(f"{EVIL} without an end")
        sys.stderr.write(" yet")
    assert read_stream(stream.getvalue()).commands == []
    assert stream.getvalue().endswith("x without an end yet\n")
    assert capsys.readouterr().err == ""


def test_what_is_logged_comes_out_of_the_console() -> None:
    stream = io.StringIO()
    with one_stream(Console(stream, {})):
        logging.StreamHandler().handle(logging.makeLogRecord({"msg": EVIL}))
    assert read_stream(stream.getvalue()).commands == []
    assert stream.getvalue().count("set-output") == 1
