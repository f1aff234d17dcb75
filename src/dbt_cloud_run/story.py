"""What is known of this step's work at one moment, as plain data. The loop returns a new story at each change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dbt_cloud_run.endings import Ending
from dbt_cloud_run.gates import Gate
from dbt_cloud_run.github.events import Subject, commits_of
from dbt_cloud_run.model import Attempt, Interruption, LimitReached, Outcome, StepError
from dbt_cloud_run.start.once import StartRequest

if TYPE_CHECKING:
    from dbt_cloud_run.cloud.models import Run
    from dbt_cloud_run.dbt.manifests import Manifests
    from dbt_cloud_run.deflating import Deflating
    from dbt_cloud_run.start.decide import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The newest story is what is reported, whatever ends the step."""

    job_id: int | None = None
    step_key: str = ""
    """The key in the tag of every run that this step starts, by which a run shows that it is this step's own."""

    attempts: tuple[Attempt, ...] = ()
    """The runs that have ended and were read, oldest first."""

    current: Run | None = None
    """The run that the step waits for, as it was last seen."""

    is_ours: bool = False
    """Whether this step started the current run."""

    is_partial: bool = False
    """Whether the current run did not include everything that had failed before it."""

    is_of_earlier_attempt: bool = False
    """Whether an earlier attempt of the workflow run started the current run."""

    had_ended: bool = False
    """Whether the current run had ended before this step looked at it for the first time."""

    request: StartRequest | None = None
    """The request for a run that is about to be sent, or was sent and is not answered yet."""

    retries: int = 0
    """Retries that this step has started."""

    subject: Subject | None = None
    """What the event is about, with the head of a pull request as far as it was looked up; None: not decided yet."""

    job_name: str | None = None
    """The job's name, where an answer that was read anyway has it."""

    skipped: str = ""
    """Why the step starts nothing and ends green; empty where it does not."""

    limit: LimitReached | None = None
    notes: tuple[str, ...] = ()
    manifests: Manifests | None = None

    files: Mapping[Path, Deflating | None] = field(default_factory=dict)
    """What was written in the workspace, each with its compressed form where there is one."""

    def with_note(self, note: str) -> Story:
        """The story with one more note for the report."""
        return replace(self, notes=(*self.notes, note))


def decided(story: Story, decision: Decision) -> Story:
    """The story with what was decided before anything was started."""
    return replace(
        story,
        job_id=decision.job_id,
        step_key=decision.tag.key.step,
        subject=decision.subject,
        job_name=decision.job.name if decision.job is not None else None,
        notes=decision.notes,
    )


def outcome_of(
    story: Story,
    *,
    now: datetime,
    error: StepError | None = None,
    interruption: Interruption | None = None,
    fail_on: Sequence[Gate] = (),
    git_sha: str | None = None,
) -> Outcome:
    """The outcome as far as the story goes: the current run counts as the last attempt, as it was last seen.

    `fail_on` are the conditions that fail a run that succeeded, `git_sha` the commit that was asked for.
    """
    if story.skipped and error is None and interruption is None:
        return Outcome(ending=Ending.SKIPPED, notes=(*story.notes, story.skipped))
    # The ledger is imported when there is something to judge: the trigger goes out first.
    from dbt_cloud_run.ledger.gates import wanted_commits
    from dbt_cloud_run.ledger.outcome import build_outcome

    return build_outcome(
        known_attempts(story),
        notes=story.notes,
        error=error,
        limit=story.limit,
        interruption=interruption,
        now=now,
        fail_on=fail_on,
        commits=wanted_commits(git_sha, commits_of(story.subject) if story.subject is not None else ()),
    )


def known_attempts(story: Story) -> tuple[Attempt, ...]:
    """The attempts, with the current run as the last one: of one that has ended, the results are not known yet."""
    if story.current is None:
        return story.attempts
    # Imported when there is a run to convert: the trigger goes out first.
    from dbt_cloud_run.collect.attempts import attempt_of, ending_of
    from dbt_cloud_run.unknown import Unknown, UnknownKind

    run = story.current
    has_ended = run.state.is_terminal
    current = attempt_of(run, len(story.attempts) + 1, ending_of(run) if has_ended else Ending.QUEUED)
    unread = (Unknown(kind=UnknownKind.RESULTS, why="they have not been read"),) if has_ended else ()
    return (*story.attempts, replace(current, is_partial=story.is_partial, unknown=unread))
