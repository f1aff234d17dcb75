"""The demo with a real account: which job it will start is said first, and can be stopped."""

from __future__ import annotations

import time
from collections.abc import Mapping

import httpx

from dbt_cloud_run.settings.parsing import BadValueError, base_url

SECONDS_TO_STOP = 5
_REQUIRED = ("api-token", "account-id", "job-id")


class AccountError(Exception):
    """The account cannot be used; the message says why, and what to do."""


def inputs_of(environ: Mapping[str, str]) -> dict[str, str]:
    """The inputs for the account that the environment names.

    Raises:
        AccountError: one of the variables is missing.
    """
    variables = {name: f"DBT_CLOUD_{name.replace('-', '_').upper()}" for name in (*_REQUIRED, "host")}
    found = {name: environ.get(variable, "").strip() for name, variable in variables.items()}
    if missing := [variables[name] for name in _REQUIRED if not found[name]]:
        raise AccountError(
            f"{', '.join(missing)} must be set (and DBT_CLOUD_HOST, if the account is not on cloud.getdbt.com). "
            "`make demo` needs no account."
        )
    return {name: text for name, text in found.items() if text}


def announce(inputs: Mapping[str, str], seconds: float = SECONDS_TO_STOP) -> None:
    """Say which job will be started, and wait. Nothing but a read is sent.

    Raises:
        AccountError: the job cannot be read, so that nothing could be said about it.
    """
    try:
        host = base_url(inputs.get("host", "cloud.getdbt.com"))
    except BadValueError as error:
        raise AccountError(f"DBT_CLOUD_HOST {error}.") from None
    url = f"{host}/api/v2/accounts/{inputs['account-id']}/jobs/{inputs['job-id']}/"
    try:
        answer = httpx.get(url, headers={"Authorization": f"Token {inputs['api-token']}"}, timeout=30)
        job = answer.raise_for_status().json()["data"]
        name, project, environment = job["name"], job["project_id"], job["environment_id"]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        why = f"HTTP {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
        raise AccountError(f"Job {inputs['job-id']} cannot be read at {host} ({why}). Nothing was started.") from None
    shown = "".join(c if c.isprintable() else "?" for c in str(name))[:200]
    print(f"This starts a real run of job {inputs['job-id']}, “{shown}”,", flush=True)
    print(f"of account {inputs['account-id']} at {host} (project {project}, environment {environment}),", flush=True)
    print(f"and, if it fails, retries of it. Ctrl-C within {seconds:.0f} seconds stops this.", flush=True)
    time.sleep(seconds)
