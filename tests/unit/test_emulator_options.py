"""Options of the emulator that cannot be used: one line that says why, and exit status 2."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from dbt_cloud_emulator.__main__ import main


def refusal(capsys: pytest.CaptureFixture[str], *options: str | Path) -> str:
    assert main([str(option) for option in options]) == 2
    written = capsys.readouterr()
    assert (written.out, written.err.count("\n")) == ("", 1)
    return written.err


def test_a_port_that_is_not_free(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"--port {port}" in refusal(capsys, "--port", port, "--state", tmp_path)


def test_a_port_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--port 99999" in refusal(capsys, "--port", "99999")


def test_a_state_that_is_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert "--state" in refusal(capsys, "--state", tmp_path / "file")


def test_a_folder_without_a_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "dbt_project.yml" in refusal(capsys, "--project", tmp_path)


def test_a_recording_of_no_job(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--job" in refusal(capsys, "record")
