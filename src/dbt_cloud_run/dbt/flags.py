"""dbt's command line: its sub-commands and their options, with how many values each option takes.

Sources: the click definitions of dbt-core 1.5 to 1.12 (`dbt/cli/main.py`, `dbt/cli/params.py`), and what the new engine
says of itself (2.0). Tests compare them. No option takes another number of values in another version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


class Arity(IntEnum):
    """How many values an option takes."""

    NONE = 0
    ONE = 1
    MANY = -1  # everything up to the next word that begins with a dash; at least one


@dataclass(frozen=True, slots=True)
class Option:
    """One option. `names` are its spellings (the first long one names it), `negations` those that turn it off."""

    names: tuple[str, ...]
    arity: Arity = Arity.NONE
    negations: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return next((name for name in self.names if name.startswith("--")), self.names[0])


@dataclass(frozen=True, slots=True)
class Command:
    """One sub-command; a group (`docs`, `source`, and dbt itself) has sub-commands of its own."""

    options: Mapping[str, Option]  # by every spelling
    groups: Mapping[str, Command] | None = None
    arguments: int = 0  # positional words that it takes

    def option(self, spelling: str) -> Option | None:
        return self.options.get(spelling)


def _flags(*spellings: str) -> tuple[Option, ...]:
    return tuple(Option(tuple(spelling.split())) for spelling in spellings)


def _switches(*spellings: str) -> tuple[Option, ...]:
    """Options with a negation: `--defer` and `--no-defer`."""
    options = []
    for spelling in spellings:
        names = tuple(spelling.split())
        options.append(Option(names, Arity.NONE, ("--no-" + names[0].removeprefix("--"),)))
    return tuple(options)


def _values(*spellings: str) -> tuple[Option, ...]:
    return tuple(Option(tuple(spelling.split()), Arity.ONE) for spelling in spellings)


def _lists(*spellings: str) -> tuple[Option, ...]:
    return tuple(Option(tuple(spelling.split()), Arity.MANY) for spelling in spellings)


EVERYWHERE: tuple[Option, ...] = (
    *_switches(
        "--cache-selected-only",
        "--debug -d",
        "--defer",
        "--enable-legacy-logger",
        "--fail-fast -x",
        "--favor-state",
        "--hints-enabled",
        "--log-cache-events",
        "--macro-debugging",
        "--partial-parse",
        "--partial-parse-file-diff",
        "--populate-cache",
        "--print",
        "--quiet -q",
        "--send-anonymous-usage-stats",
        "--show-all-deprecations",
        "--single-threaded",
        "--snowflake-projects-otel",
        "--static-parser",
        "--upload-to-artifacts-ingest-api",
        "--use-colors",
        "--use-colors-file",
        "--use-experimental-parser",
        "--use-fast-test-edges",
        "--use-v2-parser",
        "--version-check",
        "--write-json",
    ),
    Option(("--deprecated-print",), Arity.NONE, ("--deprecated-no-print",)),
    *_flags("--version -V -v", "--warn-error"),
    *_values(
        "--defer-state",
        "--deprecated-defer",
        "--deprecated-favor-state",
        "--deprecated-state",
        "--indirect-selection",
        "--log-file-max-bytes",
        "--log-format",
        "--log-format-file",
        "--log-level",
        "--log-level-file",
        "--log-path",
        "--maximum-seed-size-mib",
        "--partial-parse-file-path",
        "--printer-width",
        "--profile",
        "--record-timing-info -r",
        "--state",
        "--target -t",
        "--v2-parser",
        "--warn-error-options",
    ),
)
"""Options that dbt takes before and after every sub-command."""

_NEW_ENGINE: tuple[Option, ...] = (
    *_switches("--manage-state"),
    *_flags(
        "--dirty",
        "--force-node-selection",
        "--store-failures",
        "--use-v2-compatible-package-downloads",
        "--write-catalog",
        "--write-index",
        "--write-lineage",
        "--write-metadata",
    ),
    *_values(
        "--compute",
        "--event-time-end",
        "--event-time-start",
        "--host",
        "--index-dir",
        "--invocation-id",
        "--limit",
        "--metadata-dir",
        "--otel-file-name",
        "--otel-parquet-file-name",
        "--output",
        "--packages-install-path",
        "--parent-span-id",
        "--port",
        "--run-cache-mode",
        "--static-analysis",
        "--target-path",
        "--threads",
    ),
)
"""Options that dbt 2 takes with every command, or with more of them than dbt-core does."""

_ROOT = _switches("--show-resource-report")
_PROJECT = _values("--profiles-dir", "--project-dir", "--vars")
_TARGET = _values("--target-path")
_THREADS = _values("--threads")
_PARSED = (*_PROJECT, *_TARGET, *_THREADS)
_SELECTOR = (*_lists("--exclude"), *_values("--selector"))
_SELECTION = (*_lists("--select -s --models --model -m"), *_SELECTOR)
_TYPES = _lists("--resource-types --resource-type", "--exclude-resource-types --exclude-resource-type")
_FULL_REFRESH = _flags("--full-refresh -f")
_SQLPARSE = _values("--sqlparse")
_NODES = (*_PARSED, *_SELECTION, *_lists("--sampled"))
_EVENT_TIMES = _values("--event-time-start", "--event-time-end")
_OUTPUT = _values("--output")


def _command(*options: Option, arguments: int = 0, groups: Mapping[str, Command] | None = None) -> Command:
    by_spelling = {
        spelling: option
        for option in (*_NEW_ENGINE, *EVERYWHERE, *options)
        for spelling in (*option.names, *option.negations)
    }
    return Command(by_spelling, groups, arguments)


_LIST = _command(
    *_PROJECT,
    *_TARGET,
    *_SELECTOR,
    *_lists("--select -s", "--models --model -m", "--output-keys"),
    *_TYPES,
    *_OUTPUT,
)
_FRESHNESS = _command(*_NODES, *_SQLPARSE, *_values("--output -o"))

DBT = _command(
    *_ROOT,
    groups={
        "build": _command(
            *_NODES,
            *_TYPES,
            *_EVENT_TIMES,
            *_FULL_REFRESH,
            *_SQLPARSE,
            *_switches("--empty", "--export-saved-queries", "--include-saved-query"),
            *_flags("--show", "--store-failures"),
            *_values("--sample"),
        ),
        "clean": _command(*_PROJECT, *_TARGET, *_switches("--clean-project-files-only")),
        "clone": _command(*_NODES, *_TYPES, *_FULL_REFRESH),
        "compile": _command(
            *_NODES,
            *_FULL_REFRESH,
            *_SQLPARSE,
            *_OUTPUT,
            *_switches("--empty", "--inject-ephemeral-ctes", "--introspect"),
            *_values("--inline"),
        ),
        "debug": _command(*_PROJECT, *_flags("--config-dir", "--connection")),
        "deps": _command(*_PROJECT, *_flags("--dry-run", "--lock", "--upgrade"), *_values("--add-package", "--source")),
        "docs": _command(
            groups={
                "generate": _command(
                    *_NODES, *_SQLPARSE, *_switches("--compile"), *_flags("--empty-catalog", "--static")
                ),
                "serve": _command(*_PROJECT, *_TARGET, *_switches("--browser"), *_values("--host", "--port")),
            }
        ),
        "init": _command(*_PROJECT, *_flags("--skip-profile-setup -s", "--skip-debug"), arguments=1),
        "list": _LIST,
        "ls": _LIST,
        "parse": _command(*_PARSED),
        "retry": _command(*_PARSED, *_FULL_REFRESH),
        "run": _command(
            *_NODES, *_EVENT_TIMES, *_FULL_REFRESH, *_SQLPARSE, *_switches("--empty"), *_values("--sample")
        ),
        "run-operation": _command(*_PARSED, *_values("--args", "--sql"), arguments=1),
        "seed": _command(*_NODES, *_FULL_REFRESH, *_SQLPARSE, *_flags("--show"), *_switches("--empty")),
        "show": _command(
            *_NODES,
            *_FULL_REFRESH,
            *_SQLPARSE,
            *_OUTPUT,
            *_switches("--introspect"),
            *_values("--inline", "--inline-direct", "--limit"),
        ),
        "snapshot": _command(*_NODES, *_SQLPARSE, *_switches("--empty")),
        "source": _command(groups={"freshness": _FRESHNESS, "snapshot-freshness": _FRESHNESS}),
        "test": _command(*_NODES, *_TYPES, *_SQLPARSE, *_flags("--store-failures")),
    },
)
"""`dbt` itself, and through `groups` all that it can do."""

ALIASES: Mapping[str, str] = {"ls": "list", "source snapshot-freshness": "source freshness"}
"""Sub-commands with a second name."""
