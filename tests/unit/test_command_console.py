"""The consoles of the command: nothing in them is a command to what reads the log, and secrets are hidden."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from tests.support.hostile_text import hostile

from dbt_cloud_run.command.console import LONGEST_RELAY, PlainConsole
from dbt_cloud_run.command.shown_summary import for_terminal
from dbt_cloud_run.command.terminal import TerminalConsole
from dbt_cloud_run.console import Annotation

SNAPSHOTS = Path(__file__).parents[1] / "snapshots"


class Screen(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def plain(**options: bool) -> tuple[PlainConsole, io.StringIO]:
    stream = io.StringIO()
    return PlainConsole(stream, **options), stream


def test_notes_are_plain_lines_with_their_place() -> None:
    console, stream = plain()
    console.error("it failed\nbecause of that", file="models/a.sql", line=3, title="model a")
    console.warning("look")
    console.annotate("notice", Annotation(message="", file="b.sql"))
    assert stream.getvalue().splitlines() == [
        "Error: model a: it failed (models/a.sql:3)",
        "  because of that",
        "Warning: look",
        "Notice: (no message) (b.sql)",
    ]
    assert console.has_annotated("error")


def test_groups_are_titles_with_indented_lines() -> None:
    console, stream = plain()
    with console.group("one"):
        console.info("a\nb")
        with console.group("two"):
            console.info("c")
    console.info("d")
    assert stream.getvalue() == "one\n  a\n  b\n  two\n    c\nd\n"


def test_the_end_of_a_foreign_log_is_shown_and_all_of_it_when_asked() -> None:
    text = "\n".join(f"line {number}" for number in range(LONGEST_RELAY + 10))
    console, stream = plain()
    console.relay(text)
    assert stream.getvalue().splitlines()[:2] == ["… 10 lines are left out: --verbose shows them.", "line 10"]
    console, stream = plain(is_debug=True)
    console.relay(text)
    assert stream.getvalue().splitlines() == text.splitlines()


def test_debug_lines_are_there_when_asked_for() -> None:
    console, stream = plain()
    console.debug("x")
    assert stream.getvalue() == ""
    console, stream = plain(is_debug=True)
    console.debug("x\ny")
    assert stream.getvalue() == "debug: x\ndebug: y\n"


@pytest.mark.parametrize(
    "line",
    [
        "##vso[task.setvariable variable=a]b",
        "x ##vso[task.complete]",
        "#\u200b#v\u00adso[task.complete]",
        "##[error]x",
        "##teamcity[buildStop]",
        "::error::x",
        "  ::set-output name=a::b",
        "section_start:1:a\r\x1b[0Khidden",
    ],
)
def test_no_line_is_a_command_of_any_service(line: str) -> None:
    for stream, make in ((io.StringIO(), PlainConsole), (Screen(), TerminalConsole)):
        console = make(stream)
        for write in (console.info, console.relay, console.error, console.warning):
            write(line)
        with console.group(line):
            console.info(line)
        lines = stream.getvalue().splitlines()
        assert not any(one.lstrip().startswith("::") for one in lines)
        assert not any("##" in "".join(c for c in one if c.isascii()) and "[" in one for one in lines), lines
        assert "\r" not in stream.getvalue()
        assert "\x1b[0K" not in stream.getvalue()


@given(text=hostile)
def test_hostile_text_is_harmless_on_a_plain_log(text: str) -> None:
    console, stream = plain()
    console.info(text)
    console.error(text, title=text, file=text)
    assert "\x1b" not in stream.getvalue()
    assert not any(line.lstrip().startswith("::") for line in stream.getvalue().splitlines())


def test_secrets_are_hidden_and_nothing_is_said_of_them() -> None:
    for stream, make in ((io.StringIO(), PlainConsole), (Screen(), TerminalConsole)):
        console = make(stream)
        console.mask("s3cret-token")
        assert stream.getvalue() == ""
        console.info("a s3cret-token b")
        console.error("s3cret-token", title="s3cret-token", file="s3cret-token")
        with console.group("s3cret-token"):
            console.relay("s3cret-token")
        assert "s3cret" not in stream.getvalue()
        assert "***" in stream.getvalue()


def test_the_summary_goes_to_the_file_that_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a" / "summary.md"
    console = PlainConsole(io.StringIO(), summary_file=file)
    assert console.write_summary("first")
    assert console.write_summary("# second")
    assert file.read_text() == "# second"


def test_a_summary_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    stream = io.StringIO()
    console = PlainConsole(stream, summary_file=tmp_path)
    assert not console.write_summary("x")
    assert stream.getvalue().startswith("Warning: The summary could not be written to")


def test_a_stream_that_is_closed_is_no_error() -> None:
    stream = Screen()
    console = TerminalConsole(stream)
    console.live("x", 1.0)
    stream.close()
    console.info("nobody reads this")
    console.end_live()


def test_the_live_line_changes_in_place_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Screen()
    console = TerminalConsole(stream)
    console.live("step 4: 1 of 9", 61.0)
    console.info("a line above it")
    console.live("step 4: 2 of 9", 62.0)
    console.end_live()
    console.info("after it")
    shown = stream.getvalue()
    assert "0:01:01" in shown
    assert "a line above it" in shown
    assert shown.endswith("after it\n")
    assert shown.count("\x1b[?25h") == 1


def test_brackets_are_no_markup() -> None:
    stream = Screen()
    TerminalConsole(stream).info("[bold]x[/bold] :smile: [/]")
    assert "[bold]x[/bold] :smile: [/]" in stream.getvalue()


@pytest.mark.parametrize("name", ["recovered", "failed", "hostile", "cancelled", "setup_failed"])
def test_the_summary_on_a_terminal_has_no_diagram_and_no_tag(name: str) -> None:
    shown = for_terminal((SNAPSHOTS / f"{name}.md").read_text(encoding="utf-8"))
    assert "mermaid" not in shown
    assert "<details" not in shown
    assert "<summary" not in shown
    assert "<br>" not in shown


def test_the_summary_is_shown_once() -> None:
    stream = Screen()
    console = TerminalConsole(stream)
    console.write_summary("#### Retries\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    before = stream.getvalue()
    assert "Retries" in before
    console.write_summary("#### Retries\n")
    assert stream.getvalue() == before
