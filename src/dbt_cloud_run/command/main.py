"""Options and variables in, exit status out: the same step as the action's, on a console of another kind."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from dbt_cloud_run.command.console import PlainConsole
from dbt_cloud_run.command.options import NAME, Given, OptionsError, read_options, read_token
from dbt_cloud_run.console import BaseConsole
from dbt_cloud_run.errors import InputProblem, InvalidInputsError
from dbt_cloud_run.main import refuse, run
from dbt_cloud_run.post import clean_up
from dbt_cloud_run.process import run_process
from dbt_cloud_run.settings.entry import PREFIX
from dbt_cloud_run.settings.inputs import as_variables
from dbt_cloud_run.settings.settings import Settings
from dbt_cloud_run.settings.words import Words
from dbt_cloud_run.state import SavedState
from dbt_cloud_run.step import EXIT_FAILURE

_logger = logging.getLogger(__name__)

_OF_THE_RUNNER: Final = (PREFIX, "STATE_", "GITHUB_", "RUNNER_", "ACTIONS_")

WORDS: Final = Words(
    missing={
        "api-token": (
            "is missing. Set DBT_CLOUD_API_TOKEN, or name a file with --api-token-file (- is standard input). In "
            "continuous integration, a secret variable can be empty on branches that are not protected, in forks, and "
            "where a step has to name it. With --on-missing-token skip the command ends with status 0 then."
        ),
        "account-id": (
            "is missing. It is the first number in dbt Cloud's addresses; set it with --account-id or "
            "DBT_CLOUD_ACCOUNT_ID."
        ),
    },
    cause=f"Triggered by {NAME}",
    no_directory="Run the command where the repository is checked out.",
)


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the command. Returns 0, 1, or 128 and the number of a signal."""
    try:
        given = read_options(arguments, environ)
        token = read_token(given.api_token_file) if given.api_token_file else ""
    except OptionsError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return EXIT_FAILURE
    variables = step_environment(given, token, environ)
    console = _console(given, environ)
    work = partial(_run, given, variables)
    return run_process(variables, work, status_of_fault=EXIT_FAILURE, console=console)


def step_environment(given: Given, token: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with the inputs as the step reads them, and without what a runner of GitHub's would say.

    So the command does the same wherever it runs. Each call is a step of its own.
    """
    kept = {name: text for name, text in environ.items() if not name.startswith(_OF_THE_RUNNER)}
    texts = {**given.texts, **({"api-token": token} if token else {}), "upload-artifact": "false"}
    return kept | as_variables(texts) | {"GITHUB_ACTION": secrets.token_hex(8)}


def _console(given: Given, environ: Mapping[str, str]) -> PlainConsole:
    """Colours, and lines that change in place, on a terminal that can show them, where `rich` is installed."""
    if sys.stdout.isatty() and environ.get("TERM", "dumb") != "dumb":
        try:
            from dbt_cloud_run.command.terminal import TerminalConsole
        except ImportError:
            pass
        else:
            return TerminalConsole(is_debug=given.is_verbose, summary_file=given.summary_file)
    return PlainConsole(is_debug=given.is_verbose, summary_file=given.summary_file)


def _run(given: Given, environ: Mapping[str, str], console: BaseConsole) -> int:
    assert isinstance(console, PlainConsole)  # noqa: S101 - `main` has made it
    if given.without_effect:
        _logger.warning("Without effect outside of GitHub Actions: %s.", ", ".join(given.without_effect))
    try:
        settings = Settings.from_environ(environ, WORDS)
    except InvalidInputsError as error:
        return refuse(console, _with_sources(error, given), environ)
    if settings.reuse == "same-commit" and settings.overrides.git_sha is None:
        _logger.warning("reuse is same-commit, but --git-sha does not say which commit it is: no run is reused.")

    async def follow_up() -> None:
        await clean_up(settings, console, SavedState.of(console.state))

    status = run(settings, environ, console, WORDS, follow_up)
    console.end_live()
    return status


def _with_sources(error: InvalidInputsError, given: Given) -> InvalidInputsError:
    """The same problems, each under what the user has written."""
    return InvalidInputsError(
        tuple(InputProblem(given.sources.get(one.name, one.name), one.message) for one in error.problems)
    )


def command() -> int:
    """Run the command with what this process was given."""
    return main(sys.argv[1:], os.environ)
