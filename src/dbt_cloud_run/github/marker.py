"""The hidden line by which a step finds its own comment again. Its format outlives a release.

1.0 wrote `<!-- dbt-cloud-run: <account>/<job>/<workflow>/<job>/<index> -->`, which two steps of one job share. From 1.1
on it is `<!-- dbt-cloud-run v2 key=… former=… run=… commit=… ended=… attempt=… -->`: hashes of what the step is found
by and of what 1.0 would have written, then what the report below it is about.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

_GOOD, _BAD = "good", "bad"
_MARKER = re.compile(
    r"<!-- dbt-cloud-run v2 key=(?P<key>[0-9a-f]{20}) former=(?P<former>[0-9a-f]{10}) run=(?P<run>\d{1,19})"
    r" commit=(?P<commit>[0-9a-f]{0,64}) ended=(?P<ended>[a-z]+)"
    r"(?: attempt=(?P<attempt>\d{1,9}))?(?: [a-z]+=\S*)* -->"
)
_REPEATED: Final = re.compile(r".*_\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentKey:
    """What a step's comment is found by, in every push and every re-run; never a commit, a branch or a run."""

    workflow_ref: str  # GITHUB_WORKFLOW_REF; its `@ref` does not count
    job: str  # GITHUB_JOB
    action: str  # GITHUB_ACTION, which tells the steps of one job apart
    matrix_index: str = ""
    comment_key: str = ""  # the input
    account_id: int
    host: str
    dbt_job: tuple[str, ...]  # as it is written: the id, or the name with project and environment
    steps_override: tuple[str, ...] = ()
    target_name_override: str = ""
    former: str = ""  # the key that 1.0 would have

    @property
    def digest(self) -> str:
        """The key as the marker has it."""
        asked = (self.account_id, self.host, *self.dbt_job, "", *self.steps_override, "", self.target_name_override)
        step = (_file(self.workflow_ref), self.job, self.action, self.matrix_index or "0", self.comment_key)
        return _hash((*step, _hash(asked, 20)), 20)

    @property
    def former_digest(self) -> str:
        return _hash((self.former,), 10)

    @property
    def is_repeated(self) -> bool:
        """Whether it is certainly not the only step of its job: the runner numbers the same action's later steps."""
        return bool(_REPEATED.fullmatch(self.action))


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What a comment is about.

    `workflow_run` is GITHUB_RUN_ID, which grows, and `attempt` GITHUB_RUN_ATTEMPT, 0 in a marker that does not say;
    `commit` is empty if it is not known.
    """

    workflow_run: int
    commit: str
    is_good: bool
    attempt: int = 0
    key: str = ""
    former: str = ""

    def line(self, key: CommentKey) -> str:
        """The hidden line."""
        commit = self.commit.lower() if re.fullmatch("[0-9a-fA-F]{1,64}", self.commit) else ""
        return (
            f"<!-- dbt-cloud-run v2 key={key.digest} former={key.former_digest} run={max(self.workflow_run, 0)} "
            f"commit={commit} ended={_GOOD if self.is_good else _BAD} attempt={max(self.attempt, 0)} -->"
        )

    def hides(self, there: Marker) -> bool:
        """Whether this report would put a green over the red of another step that has the same key.

        A step has one verdict in each attempt of a workflow run, so another one of the same attempt is another step's.
        """
        is_same_attempt = (there.workflow_run, there.attempt) == (self.workflow_run, self.attempt)
        return self.is_good and not there.is_good and is_same_attempt and bool(self.workflow_run and self.attempt)


def read_marker(body: str) -> Marker | None:
    """The marker at the head of a comment; None where there is none of this form."""
    match = _MARKER.match(body)
    if match is None:
        return None
    return Marker(
        workflow_run=int(match["run"]),
        commit=match["commit"],
        is_good=match["ended"] == _GOOD,
        attempt=int(match["attempt"] or 0),
        key=match["key"],
        former=match["former"],
    )


def former_marker(key: str) -> str:
    """The hidden line that 1.0 wrote."""
    return f"<!-- dbt-cloud-run: {quote(key, safe='')} -->"


def _file(workflow_ref: str) -> str:
    """The workflow's file: `owner/name/.github/workflows/file.yml` without the branch or tag."""
    path, at, _ = workflow_ref.partition("@refs/")
    return path if at else workflow_ref.rpartition("@")[0] or workflow_ref


def _hash(parts: Iterable[object], length: int) -> str:
    return hashlib.sha256(json.dumps(list(parts)).encode()).hexdigest()[:length]
