"""The options and variables of the command, made from the table of inputs."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from dbt_cloud_run import __version__
from dbt_cloud_run.settings import parsing
from dbt_cloud_run.settings.inputs import GROUPS, INPUTS, Input

PREFIX: Final = "DBT_CLOUD_RUN_"
NAME: Final = "dbt-cloud-run"

_DESCRIPTION: Final = """\
Run a dbt Cloud job: trigger it once, wait for it, re-run exactly the nodes that did not
succeed, and write what was built to files. Ctrl-C and SIGTERM cancel the run. Defaults are
in brackets.
"""

_EPILOG: Final = f"""\
Every option can be given as a variable: --job-id is {PREFIX}JOB_ID. An option wins over its
variable, and that over DBT_CLOUD_API_TOKEN, DBT_CLOUD_ACCOUNT_ID, DBT_CLOUD_HOST and
DBT_CLOUD_JOB_ID. An empty value counts as not given. A list is one value per line, or the option
once for each value. The token is not an option, because other users of the machine could read it:
use the variable DBT_CLOUD_API_TOKEN, or --api-token-file.

Exit status: 0; 1 if the run did not succeed or the command could not do its work; 130 after
Ctrl-C, 143 after SIGTERM, 129 when the terminal closes. result.json, in the folder of the
artifacts, contains every output.
"""

_WITHOUT_EFFECT: Final = (
    "These are about pull requests, re-runs and artifacts of GitHub Actions. They are accepted with a warning, so that "
    "one set of variables serves everywhere:"
)
_COLUMNS: Final = 100
_WHICH: Final = ("job-id", "job-name", "run-id")


class OptionsError(Exception):
    """The command line cannot be used; the message says why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """An option that the action has no input for."""

    name: str
    description: str
    is_switch: bool = False


OWN: Final = (
    Own(name="api-token-file", description="File that holds the token alone; `-` is standard input."),
    Own(name="summary-file", description="File to write the summary to, as markdown; summary.md has the whole report."),
    Own(name="verbose", description="Write debug lines.", is_switch=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What was given. `texts` are by the inputs' names; `sources` say of each where it is from, as people write it."""

    texts: Mapping[str, str]
    sources: Mapping[str, str]
    api_token_file: str
    summary_file: Path | None
    is_verbose: bool
    without_effect: tuple[str, ...]


def variable(name: str) -> str:
    """The variable that stands for an option."""
    return f"{PREFIX}{name.upper().replace('-', '_')}"


def read_options(arguments: Sequence[str], environ: Mapping[str, str]) -> Given:
    """Read the command line and the variables. `--help` and `--version` end the process with status 0.

    Raises:
        OptionsError: there is no such option, or one lacks its value.
    """
    found = vars(_parser().parse_args(arguments))
    options = {name: "\n".join(values).strip() for name, values in found.items() if values}
    options = {name: text for name, text in options.items() if text}
    names = (*(entry.name for entry in INPUTS), *(own.name for own in OWN))
    variables = {name: text for name in names if (text := environ.get(variable(name), "").strip())}
    if options.keys() & set(_WHICH):
        # Which run it is about was said on the command line.
        variables = {name: text for name, text in variables.items() if name not in _WHICH}
    texts = variables | options
    sources = {name: variable(name) for name in variables} | {name: f"--{name}" for name in options}
    idle = [entry for entry in INPUTS if entry.only_in_workflow and entry.name in texts]
    return Given(
        texts={entry.name: texts[entry.name] for entry in INPUTS if entry.name in texts and not entry.only_in_workflow},
        sources=sources,
        api_token_file=texts.get("api-token-file", ""),
        summary_file=Path(texts["summary-file"]) if "summary-file" in texts else None,
        is_verbose=texts.get("verbose", "").lower() not in ("", "0", "false"),
        without_effect=tuple(sources[entry.name] for entry in idle if not _asks_for_nothing(entry, texts[entry.name])),
    )


def _asks_for_nothing(entry: Input, text: str) -> bool:
    """Whether a value of an input that has no effect here asks for what happens anyway."""
    return text.lower() in ("false", "off", "auto") or (text == entry.default and entry.default != "true")


# -- the parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise OptionsError(f"{message}. `{NAME} --help` lists the options.")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """At most 100 columns, with the text beside the option."""

    def __init__(self, prog: str) -> None:
        columns = shutil.get_terminal_size((_COLUMNS, 24)).columns
        super().__init__(prog, max_help_position=34, width=min(columns, _COLUMNS))

    def _split_lines(self, text: str, width: int) -> list[str]:
        # The names of inputs and their words have dashes: a line does not end within one.
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False, break_long_words=False)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=NAME,
        usage=f"{NAME} [options]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_Formatter,
        allow_abbrev=False,
        add_help=False,
    )
    for title, entries in GROUPS.items():
        group = parser.add_argument_group(title)
        for entry in entries:
            if not entry.secret and not entry.only_in_workflow:
                _add(group, entry)
    group = parser.add_argument_group("This command")
    for own in OWN:
        _add_own(group, own)
    group.add_argument("--help", "-h", action="help", help="Show this, and end.")
    version = f"{NAME} {__version__}"
    group.add_argument("--version", action="version", version=version, help="Show the version, and end.")
    idle = [entry for entry in INPUTS if entry.only_in_workflow and not entry.secret]
    names = ", ".join(f"--{entry.name}" for entry in idle)
    group = parser.add_argument_group("Without effect here", _wrapped(f"{_WITHOUT_EFFECT} {names}"))
    for entry in idle:
        group.add_argument(f"--{entry.name}", **_values(entry), dest=entry.name, help=argparse.SUPPRESS)
    return parser


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _COLUMNS - 4, break_on_hyphens=False)


def _add(group: argparse._ArgumentGroup, entry: Input) -> None:
    group.add_argument(f"--{entry.name}", **_values(entry), dest=entry.name, help=_help(entry))


def _values(entry: Input) -> dict[str, Any]:
    """A switch may stand alone; everything else has a value, and may be repeated."""
    if entry.parse is parsing.boolean:
        return {"action": "append", "nargs": "?", "const": "true", "metavar": "true|false"}
    return {"action": "append", "metavar": "…"}


def _add_own(group: argparse._ArgumentGroup, own: Own) -> None:
    if own.is_switch:
        group.add_argument(
            f"--{own.name}", action="append_const", const="true", dest=own.name, help=_plain(own.description)
        )
    else:
        group.add_argument(
            f"--{own.name}", action="append", dest=own.name, metavar="PATH", help=_plain(own.description)
        )


def _help(entry: Input) -> str:
    default = ", ".join(entry.default.splitlines()) or ("" if " " in entry.computed else entry.computed)
    return _plain(entry.elsewhere or entry.description) + (f" [{_plain(default)}]" if default else "")


def _plain(text: str) -> str:
    return text.replace("`", "'").replace("%", "%%")


def read_token(path: str) -> str:
    """The token from a file, or from standard input for `-`.

    Raises:
        OptionsError: it cannot be read, or is empty.
    """
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise OptionsError(f"api-token-file: {path} cannot be read ({why}).") from None
    if not text.strip():
        source = "standard input" if path == "-" else path
        raise OptionsError(f"api-token-file: {source} is empty. It must hold the token alone.")
    return text.strip()
