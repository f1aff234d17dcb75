#!/usr/bin/env python
"""Print what the action sends and reports on each event, as the page `docs/events.md`: made by the rules themselves.

tools/events.py > docs/events.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from dbt_cloud_run.errors import ConfigError
from dbt_cloud_run.github.events import Head, MergeGroup, PullRequest, Subject, subject_of
from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.report.pull_request import comment_place, other_commit
from dbt_cloud_run.start.overrides import Mode, fill, needs_head

REPOSITORY: Final = "acme/shop"
JOB: Final = 7
HEAD, MERGE, PUSHED, BRANCH = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)
"""The commits: of the head (or the group), of the merge, of the event, and the newest one of the job's own branch."""
_FORK: Final = "mallory/shop"


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """An event as the runner hands it over. `found` is what GitHub answers when the head is looked up."""

    title: str
    event_name: str
    event: Mapping[str, Any] = field(default_factory=dict)
    ref: str = "refs/heads/main"
    sha: str = PUSHED
    found: Head | str = "GitHub answered HTTP 404: Not Found"

    @property
    def subject(self) -> Subject:
        return subject_of(self.event_name, self.event, repository=REPOSITORY, sha=self.sha, ref=self.ref)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What happens: `sent` in words, or why it is `refused`; and where it is reported besides the job's own summary."""

    sent: str = ""
    refused: str = ""
    reported: str = ""
    notices: tuple[str, ...] = ()  # warnings and notices


def _pull(*, state: str = "open", action: str = "synchronize", fork: bool = False, **more: Any) -> dict[str, Any]:
    head = {"sha": HEAD, "repo": {"full_name": _FORK if fork else REPOSITORY}}
    request = {"number": 42, "state": state, "head": head, "base": {"repo": {"full_name": REPOSITORY}}}
    return {"action": action, "number": 42, "pull_request": request, **more}


def _comment(*, state: str = "open", is_pull: bool = True) -> dict[str, Any]:
    issue: dict[str, Any] = {"number": 42, "state": state}
    return {"action": "created", "issue": issue | ({"pull_request": {"url": "…"}} if is_pull else {})}


def _run(event: str, *, listed: int = 1, fork: bool = False) -> dict[str, Any]:
    pulls = [{"number": 42 + number, "head": {"sha": HEAD}} for number in range(listed)]
    repository = {"full_name": _FORK if fork else REPOSITORY}
    run = {"event": event, "head_sha": HEAD, "head_repository": repository, "pull_requests": pulls}
    return {"action": "completed", "workflow_run": run, "repository": {"full_name": REPOSITORY}}


def _group(action: str = "checks_requested") -> dict[str, Any]:
    ref = "refs/heads/gh-readonly-queue/main/pr-42-beef"
    return {"action": action, "merge_group": {"head_sha": HEAD, "head_ref": ref}}


def _scenarios() -> Iterator[Scenario]:
    merge: dict[str, Any] = {"ref": "refs/pull/42/merge", "sha": MERGE}
    ours = Head(sha=HEAD, repository=REPOSITORY, is_fork=False)
    theirs = Head(sha=HEAD, repository=_FORK, is_fork=True)
    for name in ("pull_request", "pull_request_review", "pull_request_review_comment"):
        yield Scenario(title=f"`{name}`", event_name=name, event=_pull(), **merge)
        yield Scenario(title=f"`{name}`, from a fork", event_name=name, event=_pull(fork=True), **merge)
    target = "pull_request_target"
    yield Scenario(title=f"`{target}`", event_name=target, event=_pull())
    yield Scenario(title=f"`{target}`, from a fork", event_name=target, event=_pull(fork=True))
    closed = _pull(state="closed", action="closed")
    yield Scenario(title="`pull_request`, closed", event_name="pull_request", event=closed)
    yield Scenario(title="`pull_request`, payload not readable", event_name="pull_request", **merge)
    comment = "issue_comment"
    on_pull = f"`{comment}` on a pull request"
    yield Scenario(title=on_pull, event_name=comment, event=_comment(), found=ours)
    yield Scenario(title=f"{on_pull} from a fork", event_name=comment, event=_comment(), found=theirs)
    yield Scenario(title=f"{on_pull} that cannot be looked up", event_name=comment, event=_comment())
    yield Scenario(title=f"{on_pull} that is closed", event_name=comment, event=_comment(state="closed"))
    yield Scenario(title=f"`{comment}` on an issue", event_name=comment, event=_comment(is_pull=False))
    yield Scenario(title=f"`{comment}`, payload not readable", event_name=comment)
    followed = "`workflow_run` after"
    run = "workflow_run"
    yield Scenario(title=f"{followed} `pull_request`", event_name=run, event=_run("pull_request"))
    yield Scenario(
        title=f"{followed} `pull_request`, from a fork", event_name=run, event=_run("pull_request", fork=True)
    )
    yield Scenario(
        title=f"{followed} `pull_request`, none or several listed", event_name=run, event=_run("pull_request", listed=2)
    )
    yield Scenario(title=f"{followed} `push`", event_name=run, event=_run("push"))
    yield Scenario(title="`merge_group`", event_name="merge_group", event=_group())
    yield Scenario(title="`merge_group`, destroyed", event_name="merge_group", event=_group("destroyed"))
    yield Scenario(title="`merge_group`, payload not readable", event_name="merge_group")
    for name in ("push", "release", "deployment"):
        yield Scenario(title=f"`{name}`", event_name=name)
    for name in ("schedule", "workflow_dispatch", "repository_dispatch"):
        yield Scenario(title=f"`{name}`", event_name=name)


SCENARIOS: Final = tuple(_scenarios())
COLUMNS: Final[tuple[tuple[str, Mode], ...]] = (
    ("ci", "auto"),
    ("scheduled", "auto"),
    ("ci", "on"),
    ("scheduled", "on"),
    ("ci", "off"),
    ("scheduled", "off"),
)


def cell(scenario: Scenario, job_type: str, mode: Mode, *, has_token: bool) -> Cell:
    """What happens on an event, with nothing given but `pull-request`, and a `pr-comment: true`."""
    subject = scenario.subject
    if isinstance(subject, PullRequest) and needs_head(subject, job_type, mode):
        subject = _looked_up(subject, scenario, has_token=has_token)
    try:
        filled = fill(subject, job_type, mode, TriggerOverrides(), JOB)
    except ConfigError as error:
        return Cell(refused=error.message)
    # dbt Cloud builds the commit that it is sent, or else the newest one of the job's branch.
    built = filled.overrides.git_sha or BRANCH
    place = comment_place(subject, built)
    notices = [*filled.warnings, place.warning, other_commit(subject, built)]
    if isinstance(subject, MergeGroup):
        notices.append(place.note)
    if place.number and not has_token:
        notices.append("No comment is written: pr-comment needs github-token, which is empty.")
    return Cell(
        sent=_sent(filled.overrides),
        reported="comment" if place.number and has_token else "",
        notices=tuple(filter(None, notices)),
    )


def _looked_up(subject: PullRequest, scenario: Scenario, *, has_token: bool) -> PullRequest:
    if not has_token:
        return replace(subject, why_no_head="github-token is empty")
    if isinstance(scenario.found, str):
        return replace(subject, why_no_head=scenario.found)
    return replace(subject, head=scenario.found)


def _sent(overrides: TriggerOverrides) -> str:
    words = []
    if overrides.git_sha:
        words.append("head" if overrides.git_sha == HEAD else "another commit")
    if overrides.github_pull_request_id:
        words.append(f"#{overrides.github_pull_request_id}")
    if overrides.schema_override:
        words.append(f"`{overrides.schema_override}`")
    return ", ".join(words) or "the job's branch"


_BEFORE: Final = """\
# What is sent and reported on each event

What is reported on a pull request is what was built of it. This page is generated by the rules themselves
(`tools/events.py`), for job 7, pull request 42, `pr-comment: true` and no override in the workflow. A cell shows the
values that the trigger sends, then whether a comment is written. The report is always in the job summary. "The job's
branch" means that no value is sent, so that dbt Cloud builds the newest commit of the branch of the job's environment.
A number in brackets refers to a message at the end of the page.

- The commit that the run reports decides about the comment. It must be the head, or the merge commit of the event,
  which the comment then names. If it is another commit, or if dbt Cloud reports none, a warning replaces the comment.
- If the workflow sets `git-sha` or `git-branch`, no type of job and no fork is refused, and no commit is filled in. The
  commit that the run reports still decides about the comment.
- Without `api-token`, as on pull requests from forks and from Dependabot, nothing is sent: see `on-missing-token`.
- `github-token` is needed for the comment, and to look up the head of a pull request that the event names without it
  (`issue_comment`).
- The notice on `push`, `release` and `deployment` requires that the dbt project is in the repository of the workflow.
"""


@dataclass
class _Notes:
    """Messages that several cells share, numbered as they come."""

    numbers: dict[str, int] = field(default_factory=dict)

    def of(self, text: str) -> str:
        return f"({self.numbers.setdefault(text, len(self.numbers) + 1)})"

    def __str__(self) -> str:
        return "".join(f"{number}. {text}\n" for text, number in self.numbers.items())


def page() -> str:
    """The page `docs/events.md`."""
    notes = _Notes()
    tables = [_table(notes, has_token=True), _table(notes, has_token=False)]
    return (
        f"{_BEFORE}\n## With `github-token`\n\n{tables[0]}\n## Without `github-token`\n\n{tables[1]}\n"
        f"## Messages\n\n{notes}"
    )


def _table(notes: _Notes, *, has_token: bool) -> str:
    names = ["event", *(f"{'CI job' if kind == 'ci' else 'other job'}, `{mode}`" for kind, mode in COLUMNS)]
    rows = [names, ["---"] * len(names)]
    for scenario in SCENARIOS:
        cells = [_shown(cell(scenario, kind, mode, has_token=has_token), notes) for kind, mode in COLUMNS]
        rows.append([scenario.title, *cells])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _shown(what: Cell, notes: _Notes) -> str:
    if what.refused:
        return f"**refused** {notes.of(what.refused)}"
    words = f"{what.sent}; {what.reported}" if what.reported else what.sent
    return " ".join((words, *map(notes.of, what.notices)))


if __name__ == "__main__":
    sys.stdout.write(page())
