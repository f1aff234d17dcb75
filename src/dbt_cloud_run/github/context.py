"""What the runner says about the workflow run, the job and the files that it reads afterwards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dbt_cloud_run.github.events import Subject, subject_of

_EVENT_LIMIT = 32 * 1024 * 1024  # GitHub caps webhook payloads at 25 MB


@dataclass(frozen=True, kw_only=True)
class GitHubContext:
    """The `GITHUB_*`, `RUNNER_*` and `ACTIONS_*` variables of a step. Texts are empty where the runner gave none."""

    repository: str = ""
    sha: str = ""
    ref: str = ""
    workflow: str = ""
    workflow_ref: str = ""  # the workflow's file and ref; empty on servers that do not say
    run_id: str = ""
    run_number: str = ""
    run_attempt: int = 1
    job: str = ""
    action: str = ""  # tells the steps of one job apart
    actor: str = ""
    event_name: str = ""
    event_path: Path | None = None
    server_url: str = "https://github.com"
    api_url: str = "https://api.github.com"
    workspace: Path = Path()
    runner_temp: Path | None = None
    retention_days: int | None = None
    results_url: str = ""
    runtime_token: str = field(default="", repr=False)
    debug: bool = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> GitHubContext:
        """Read the variables; nothing raises, since a missing or unexpected value only makes the report poorer."""

        def text(name: str, default: str = "") -> str:
            return environ.get(name, "").strip() or default

        def path(name: str) -> Path | None:
            value = environ.get(name, "")
            return Path(value) if value else None

        return cls(
            repository=text("GITHUB_REPOSITORY"),
            sha=text("GITHUB_SHA"),
            ref=text("GITHUB_REF"),
            workflow=text("GITHUB_WORKFLOW"),
            workflow_ref=text("GITHUB_WORKFLOW_REF"),
            run_id=text("GITHUB_RUN_ID"),
            run_number=text("GITHUB_RUN_NUMBER"),
            run_attempt=_integer(text("GITHUB_RUN_ATTEMPT")) or 1,
            job=text("GITHUB_JOB"),
            action=text("GITHUB_ACTION"),
            actor=text("GITHUB_TRIGGERING_ACTOR") or text("GITHUB_ACTOR"),
            event_name=text("GITHUB_EVENT_NAME"),
            event_path=path("GITHUB_EVENT_PATH"),
            server_url=text("GITHUB_SERVER_URL", "https://github.com").rstrip("/"),
            api_url=text("GITHUB_API_URL", "https://api.github.com").rstrip("/"),
            workspace=(path("GITHUB_WORKSPACE") or Path()).absolute(),
            runner_temp=path("RUNNER_TEMP"),
            retention_days=_integer(text("GITHUB_RETENTION_DAYS")),
            results_url=text("ACTIONS_RESULTS_URL"),
            runtime_token=text("ACTIONS_RUNTIME_TOKEN"),
            debug=text("RUNNER_DEBUG") == "1",
        )

    @cached_property
    def event(self) -> Mapping[str, Any]:
        """The decoded event payload; empty when it is absent, too large or not a JSON object."""
        if self.event_path is None:
            return {}
        try:
            with self.event_path.open("rb") as file:
                raw = file.read(_EVENT_LIMIT + 1)
            payload = json.loads(raw) if len(raw) <= _EVENT_LIMIT else {}
        except (OSError, ValueError, RecursionError):
            return {}
        return payload if isinstance(payload, dict) else {}

    @cached_property
    def subject(self) -> Subject:
        """What the event is about, as far as it says."""
        return subject_of(self.event_name, self.event, repository=self.repository, sha=self.sha, ref=self.ref)

    @property
    def workflow_run_url(self) -> str:
        """The page of this very attempt of the workflow run; empty when the runner gave no run."""
        if not (self.repository and self.run_id):
            return ""
        return f"{self.server_url}/{self.repository}/actions/runs/{self.run_id}/attempts/{self.run_attempt}"


def _integer(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None
