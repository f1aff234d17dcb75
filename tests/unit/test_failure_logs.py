"""Logs of steps that never came to their nodes: what dbt and git say when a repetition cannot help."""

from __future__ import annotations

import pytest

from dbt_cloud_run.dbt.failures import explain_log
from dbt_cloud_run.planned import Retryability

HEAD = "\x1b[0m20:42:45  Running with dbt=1.11.16\n\x1b[0m20:42:45  Encountered an error:\n"
RUNTIME = HEAD + "Runtime Error\n  "
HOPELESS = [
    RUNTIME + "Got a state selector method, but no comparison manifest",
    RUNTIME + "'tga' is not a valid method name",
    RUNTIME + "at path ['cli_vars']: True is not of type 'string'",
    RUNTIME + "at path ['model-paths']: 3 is not valid under any of the given schemas\n\n"
    "Error encountered in /repository/dbt_project.yml",
    RUNTIME + "Syntax error near line 9\n  ------------------------------\n  8  | models: [\n\n  Raw Error:\n"
    "  ------------------------------\n  while parsing a flow node\n  did not find expected node content",
    RUNTIME + "Could not read selector file data: Runtime Error\n"
    "    Expected either 1 key or else \"method\" and \"value\" keys, but got ['method', 'valu']",
    RUNTIME + '"<1.0" is not a valid semantic version.\n\nError encountered in /repository/dbt_project.yml',
    RUNTIME + "The packages.yml file in this project is malformed. Please double check",
    RUNTIME + "--state or --defer-state are required for deferral, but neither was provided",
    RUNTIME + "Could not find previous run in 'target' target directory",
    RUNTIME + 'Credentials in profile "user", target "default" invalid: \'schema\' is a required property',
    RUNTIME + "Could not find adapter type snowflak!",
    RUNTIME + "dbt could not find a macro with the name 'grant' in any package",
    HEAD + "The YAML provided in the --vars argument is not valid.",
    HEAD + "Found a cycle: model.tiny.a --> model.tiny.b\n20:43:10  Traceback (most recent call last):\n"
    '  File "dbt/compilation.py", line 212, in link_graph\n    raise RuntimeError("Found a cycle: {}".format(cycle))\n'
    "RuntimeError: Found a cycle: model.tiny.a --> model.tiny.b",
    (
        'Traceback (most recent call last):\n  File "dbt/compilation.py", line 212, in link_graph\n'
        "RuntimeError: Found a cycle: model.tiny.a --> model.tiny.b"
    ),
    (
        "ERROR: Repository not found.\nfatal: Could not read from remote repository.\n\n"
        "Please make sure you have the correct access rights"
    ),
    "fatal: could not read Username for 'https://github.com': terminal prompts disabled",
    "Host key verification failed.\nfatal: Could not read from remote repository.",
]


@pytest.mark.parametrize("log", HOPELESS)
def test_what_fails_before_any_node_and_would_again(log: str) -> None:
    for text in (log, log.replace("\n", "\r\n")):
        judgement = explain_log(text)
        assert judgement.retryability is Retryability.DETERMINISTIC, judgement.reason


@pytest.mark.parametrize(
    "log",
    [
        RUNTIME + "Could not read from the state bucket: connection reset by peer",
        RUNTIME + "Connection aborted while the packages were fetched",
        "kex_exchange_identification: Connection closed by remote host\nfatal: Could not read from remote repository.",
    ],
)
def test_what_may_pass(log: str) -> None:
    assert explain_log(log).retryability is not Retryability.DETERMINISTIC
