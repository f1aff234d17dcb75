"""The console, read back by a port of the runner's own parser."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standins.runner_log import Reading, read_environment_file, read_stream
from tests.support.hostile_text import hostile

from dbt_cloud_run.console import Annotation
from dbt_cloud_run.github.console import ANNOTATION_LIMIT, SUMMARY_LIMIT, Console

ON_RUNNER = {"GITHUB_ACTIONS": "true"}


def python(code: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe)  # noqa: S603


def console(**environ: str) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(stream, ON_RUNNER | environ), stream


def read(stream: io.StringIO) -> Reading:
    return read_stream(stream.getvalue())


@given(hostile)
def test_log_text_yields_no_command(text: str) -> None:
    out, stream = console()
    out.info(text)
    out.relay(text)
    assert read(stream).commands == []


@given(hostile)
def test_a_big_block_is_also_guarded_and_the_guard_is_taken_off(text: str) -> None:
    out, stream = console()
    out.relay("\n".join([text] * 30))
    out.error("after")
    reading = read(stream)
    assert [command.name for command in reading.commands] == ["stop-commands", "error"]
    assert not reading.stopped


def test_each_guard_has_a_token_of_its_own() -> None:
    out, stream = console()
    out.relay("line\n" * 30)
    out.relay("line\n" * 30)
    assert len({command.data for command in read(stream).named("stop-commands")}) == 2


@given(hostile, hostile, hostile)
def test_an_annotation_is_one_command_with_its_own_properties(message: str, title: str, file: str) -> None:
    out, stream = console()
    out.error(message, title=title, file=file, line=3)
    reading = read(stream)
    assert [command.name for command in reading.commands] == ["error"]
    assert reading.log == []
    assert set(reading.commands[0].properties) <= {"file", "line", "title"}


def test_an_annotation_arrives_as_given() -> None:
    out, stream = console()
    out.warning("50% of a, b: c\nsecond", file="models/a,b:c.sql", line=7, col=2, title="Test: x, y")
    (command,) = read(stream).commands
    assert command.data == "50% of a, b: c\nsecond"
    assert command.properties == {"file": "models/a,b:c.sql", "line": "7", "col": "2", "title": "Test: x, y"}


def test_properties_that_are_not_given_are_not_written() -> None:
    out, stream = console()
    out.notice("hello", line=4)
    assert stream.getvalue() == "::notice::hello\n"


def test_a_long_message_is_cut_to_what_the_runner_keeps() -> None:
    out, stream = console()
    out.error("word " * 3000)
    (command,) = read(stream).commands
    assert 4000 < len(command.data) <= 4096
    assert command.data.endswith("word…")


def test_a_console_that_leaves_no_annotations_has_lines_in_their_place() -> None:
    made, stream = console()
    made.annotates = False
    made.warning("careful", title="dbt Cloud")
    made.annotate_all("error", [Annotation(message="broken", file="a.sql")])
    reading = read(stream)
    assert list(reading.log) == ["Warning: dbt Cloud: careful", "Error: broken"]
    assert not reading.named("warning")
    assert not reading.named("error")


def test_beyond_the_limit_an_annotation_is_a_line_of_the_log() -> None:
    out, stream = console()
    for number in range(ANNOTATION_LIMIT + 2):
        out.error(f"failure {number}", title="dbt")
    out.warning("of another kind")
    reading = read(stream)
    assert len(reading.named("error")) == ANNOTATION_LIMIT
    assert reading.log == ["Error: dbt: failure 10", "Error: dbt: failure 11"]
    assert len(reading.named("warning")) == 1


@pytest.mark.parametrize(("before", "count", "reserve"), [(0, 10, 0), (0, 11, 0), (1, 5000, 1), (0, 9, 1), (3, 0, 0)])
def test_the_last_annotation_says_how_many_more(before: int, count: int, reserve: int) -> None:
    out, stream = console()
    for _ in range(before):
        out.error("before")
    out.annotate_all("error", [Annotation(message=f"n{n}") for n in range(count)], reserve=reserve)
    room = ANNOTATION_LIMIT - before - reserve
    written = [command.data for command in read(stream).commands][before:]
    assert len(written) == min(count, room)
    assert out.annotations_left("error") >= reserve
    if count > room:
        assert written[-1].startswith(f"and {count - (room - 1)} more")


def test_without_room_the_number_goes_to_the_log() -> None:
    out, stream = console()
    for _ in range(10):
        out.error("before")
    out.annotate_all("error", [Annotation(message="x")])
    assert read(stream).log == ["Error: and 1 more: see the summary."]


def test_groups_are_closed_and_flattened() -> None:
    out, stream = console()

    def fail_inside() -> None:
        with out.group("outer\n::error::x"):
            with out.group("inner"):
                out.info("text")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_inside()
    with out.group("next"):
        pass
    assert stream.getvalue().splitlines() == [
        "::group::outer : :error::x",
        "inner",
        "text",
        "::endgroup::",
        "::group::next",
        "::endgroup::",
    ]


def test_debug_lines_only_when_asked() -> None:
    out, stream = console()
    out.debug("quiet")
    assert stream.getvalue() == ""
    out, stream = console(RUNNER_DEBUG="1")
    out.debug("a\n::error::b")
    assert [(command.name, command.data) for command in read(stream).commands] == [
        ("debug", "a"),
        ("debug", ": :error::b"),
    ]


def test_a_secret_is_masked_once_as_one_command_and_redacted_by_us() -> None:
    secret = "dbtc_s3cret/with+signs\nand a second line"
    out, stream = console()
    out.mask(secret)
    out.mask(secret)
    (command,) = read(stream).commands
    assert (command.name, command.data) == ("add-mask", secret)
    out.info(f"token {secret} and dbtc_s3cret%2Fwith%2Bsigns%0Aand%20a%20second%20line")
    assert read(stream).log == ["token *** and ***"]


def test_a_secret_interleaved_with_control_characters_is_found() -> None:
    out, stream = console()
    out.mask("dbtc_0123456789")
    out.relay("dbtc_\x0001234\x1b[2K56789")
    assert read(stream).log == ["***"]


def test_short_values_are_never_masked() -> None:
    out, stream = console()
    for value in ("", "   ", "1234567", "\n"):
        out.mask(value)
    out.info("1234567")
    assert stream.getvalue() == "1234567\n"


def test_off_a_runner_the_secret_is_not_printed() -> None:
    stream = io.StringIO()
    out = Console(stream, {})
    out.mask("dbtc_0123456789")
    assert stream.getvalue() == ""


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,20}", fullmatch=True), st.text(), max_size=5))
def test_outputs_and_state_round_trip(tmp_path_factory: pytest.TempPathFactory, values: dict[str, str]) -> None:
    folder = tmp_path_factory.mktemp("files")
    files = {name: folder / name for name in ("GITHUB_OUTPUT", "GITHUB_STATE")}
    for path in files.values():
        path.touch()
    out, stream = console(**{name: str(path) for name, path in files.items()})
    for name, value in values.items():
        out.set_output(name, value)
        out.save_state(name, value + "\r\n")
    expected = {name: value.replace("\x00", "\ufffd") for name, value in values.items()}
    assert read_environment_file(files["GITHUB_OUTPUT"]) == expected
    assert read_environment_file(files["GITHUB_STATE"]) == {name: value + "\r\n" for name, value in expected.items()}
    assert stream.getvalue() == ""


def test_what_looks_like_the_file_format_is_a_value(tmp_path: Path) -> None:
    path = tmp_path / "output"
    path.touch()
    out, _ = console(GITHUB_OUTPUT=str(path))
    hostile_value = "a\nghadelimiter_x\nstatus=success\nname<<EOF\nEOF\n"
    out.set_output("first", hostile_value)
    out.set_output("lone", "\ud83d x \udc00")
    assert read_environment_file(path) == {"first": hostile_value, "lone": "\ufffd x \ufffd"}


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a<<b", "a\nb", "é", "1a"])
def test_names_are_checked(name: str) -> None:
    out, _ = console()
    with pytest.raises(ValueError, match="no name"):
        out.set_output(name, "x")


@pytest.mark.parametrize("debug", ["", "1"])
def test_without_the_runners_files_nothing_is_written_and_no_deprecated_command(tmp_path: Path, debug: str) -> None:
    out, stream = console(GITHUB_OUTPUT=str(tmp_path / "missing"), RUNNER_DEBUG=debug)
    out.set_output("a", "b")
    out.save_state("a", "b")
    assert out.write_summary("text") is False
    assert out.summary_size() == 0
    assert {command.name for command in read(stream).commands} <= {"debug"}
    assert len(read(stream).commands) == (3 if debug else 0)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_a_readable_file_and_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "output"
    path.touch()
    code = (
        "import resource, signal; from dbt_cloud_run.github.console import Console\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))\n"
        f"out = Console(environ={{'GITHUB_OUTPUT': {str(path)!r}}})\n"
        "out.set_output('a', 'b')\nout.set_output('c', 'd' * 999)\n"
    )
    with python(code) as process:
        text, _ = process.communicate()
    assert "GITHUB_OUTPUT could not be written" in read_stream(text.decode()).named("warning")[0].data
    assert read_environment_file(path) == {"a": "b"}


def test_the_summary_is_appended_in_utf8_with_line_feeds(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    path.write_text("# earlier\n")
    out, _ = console(GITHUB_STEP_SUMMARY=str(path))
    out.mask("dbtc_0123456789")
    assert out.summary_size() == 10
    assert out.write_summary("Größe\r\n\r\nof dbtc_0123456789 \udc80\n\n")
    assert path.read_bytes().decode() == "# earlier\n\n\nGröße\n\nof *** ?\n"


@pytest.mark.parametrize("earlier", ["", "# earlier"])
@pytest.mark.parametrize("text", ["short", "a much longer text than before"])
def test_the_summary_is_rewritten_in_its_place(tmp_path: Path, earlier: str, text: str) -> None:
    path = tmp_path / "summary"
    path.write_text(earlier)
    inode = path.stat().st_ino
    out, _ = console(GITHUB_STEP_SUMMARY=str(path))
    assert out.write_summary("the first version")
    assert out.summary_size() == len(earlier)
    assert out.write_summary(text)
    assert path.read_text() == f"{earlier}\n\n{text}\n".lstrip("\n")
    assert path.stat().st_ino == inode
    # What others have added since stays where it is.
    with path.open("a") as file:
        file.write("of others\n")
    assert out.write_summary("the last version")
    assert path.read_text() == f"{earlier}\n\n{text}\nof others\n\n\nthe last version\n".lstrip("\n")


def test_a_summary_that_the_platform_would_drop_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "summary"
    path.write_text("x" * 1000)
    out, stream = console(GITHUB_STEP_SUMMARY=str(path))
    assert out.write_summary("é" * (SUMMARY_LIMIT // 2)) is False
    assert path.stat().st_size == 1000
    assert "left out" in read(stream).named("warning")[0].data


def test_a_closed_stream_is_no_reason_to_fail() -> None:
    out, stream = console()
    stream.close()
    out.info("x")
    out.error("y")


def test_a_stream_that_is_not_utf8() -> None:
    raw = io.BytesIO()
    out = Console(io.TextIOWrapper(raw, encoding="ascii"), {})
    out.info("Größe \udc80")
    assert raw.getvalue() == b"Gr??e \n"


def test_a_reader_that_has_gone_is_no_reason_to_fail() -> None:
    code = (
        "import time; from dbt_cloud_run.github.console import Console\n"
        "console = Console()\nconsole.info('first')\ntime.sleep(0.5)\n"
        "for _ in range(3): console.error('x' * 4000)\n"
    )
    with python(code) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert (process.stderr.read(), process.wait(timeout=20)) == (b"", 0)


def test_lines_leave_at_once() -> None:
    code = "import sys; from dbt_cloud_run.github.console import Console\nConsole().info('now')\nsys.stdin.read()\n"
    with python(code) as process:
        assert process.stdout
        assert process.stdin
        assert process.stdout.readline() == b"now\n"
        process.stdin.close()


def test_the_import_stays_light() -> None:
    code = "import sys, dbt_cloud_run.github.console; print('requests' in sys.modules, 'github' in sys.modules)"
    with python(code) as process:
        assert process.communicate()[0] == b"False False\n"
