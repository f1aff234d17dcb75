"""The plan of a retry: (attempt, manifest, settings) → `RetryPlan`. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from dbt_cloud_run.cancellation import CancelledBy
from dbt_cloud_run.dbt.artifacts import Manifest
from dbt_cloud_run.dbt.commands import parse_command
from dbt_cloud_run.dbt.failures import judge_log
from dbt_cloud_run.dbt.selection import Selector
from dbt_cloud_run.dbt.selectors import default_selector
from dbt_cloud_run.dbt.statuses import did_not_succeed, is_failure, was_built
from dbt_cloud_run.dbt.verbs import verb_named, verb_of
from dbt_cloud_run.dbt.versions import version_of
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import Attempt, RunState, Step
from dbt_cloud_run.planned import PlannedStep, Retryability, RetryPlan, StepAction, Window
from dbt_cloud_run.retry.alignment import Aligned, align, has_started, hides_failure, is_lint
from dbt_cloud_run.retry.hollow import hollow_nodes
from dbt_cloud_run.retry.native import completed
from dbt_cloud_run.retry.situation import LATER_ATTEMPT, Situation
from dbt_cloud_run.retry.steps import plan_step
from dbt_cloud_run.retry.windows import span_of
from dbt_cloud_run.text import shortened
from dbt_cloud_run.unknown import HIDDEN_FAILURE, UnknownKind

RetryOn = Literal["transient", "any"]

_NOT_RETRIED = {
    Ending.QUEUED: "the run has not ended",
    Ending.SUCCESS: "the run succeeded",
    Ending.SUPERSEDED: "dbt Cloud cancelled the run for a newer one, which does the same work",
    Ending.SKIPPED: "nothing was run",
}
_RUNS = (StepAction.WHOLE, StepAction.NODES)
_LONGEST_COMMAND = 120  # characters of one in a sentence


def plan_retry(
    attempt: Attempt,
    manifest: Manifest | None,
    *,
    retry_on: RetryOn = "transient",
    take_all: bool = False,
    cancelled_here: bool = False,
    earlier: Sequence[Attempt] = (),
    later: Sequence[Attempt] = (),
    manifests: Mapping[int, Manifest] | None = None,
    now: datetime | None = None,
) -> RetryPlan:
    """Plan what the next attempt does.

    `take_all`: every failure is retried this once, whatever `retry_on` says, since a person asked for it.
    `cancelled_here`: the run was cancelled by this program, which counts as a failure.
    `earlier`: the attempts before this one, in order: what a native retry had not to do again was done in them.
    `later`: retries of this attempt that left out some of its failures; what succeeded in them is done.
    `manifests`: those of single steps of this attempt, by index; `manifest` is for the others.
    `now`: when the retry is planned; with it, fewer windows of microbatch models need commands of their own.
    """
    if (refused := _refusal(attempt, cancelled_here=cancelled_here)) is not None:
        return RetryPlan(stop_reason=refused)
    if hides_failure(attempt):
        return RetryPlan(stop_reason=HIDDEN_FAILURE, is_partial=True)
    aligned = align(attempt)
    takes_all = take_all or retry_on == "any"
    if not takes_all and (hopeless := _hopeless_setup(aligned)) is not None:
        return RetryPlan(steps=_dropped(aligned, hopeless), is_partial=True, stop_reason=hopeless)
    aligned = completed(aligned, attempt, earlier)
    situation = Situation(
        takes_all=takes_all,
        done=_done(attempt.steps) | {node: LATER_ATTEMPT for one in later for node in _done(one.steps)},
        filled=_filled(attempt, later),
        built=frozenset(node for one in (attempt, *earlier, *later) for node in _built(one.steps)),
        unread={one.step: one.why for one in attempt.unknown if one.kind is UnknownKind.RESULTS},
        stopped=_stopped(attempt),
        now=now,
        favors_state=any(step.results.favor_state is True for step in attempt.steps if step.results is not None),
    )
    situation = replace(situation, hollow=hollow_nodes(attempt.steps, situation.is_done))
    projects = _Projects(attempt, manifest, manifests or {})
    steps = _with_gate([plan_step(asked, projects.of(asked.step, situation)) for asked in aligned.asked])
    return _plan(_with_freshness(steps, projects.selectors), attempt, projects.selectors)


def _refusal(attempt: Attempt, *, cancelled_here: bool) -> str | None:
    """Why a run that ended like this is not retried at all; None if it may be."""
    if attempt.ending is not Ending.CANCELLED or cancelled_here:
        return _NOT_RETRIED.get(attempt.ending)
    by = attempt.cancellation.by if attempt.cancellation else CancelledBy.UNKNOWN
    # A run that dbt Cloud lost contact with is judged by the results that it left.
    if by is CancelledBy.HEARTBEAT:
        return None
    return f"the run was cancelled {by.value}"


def _stopped(attempt: Attempt) -> tuple[datetime, datetime] | None:
    """When the attempt came to its end, as far as that is known: what it had still to do was due then."""
    ends = [span for step in attempt.steps if has_started(step) and (span := span_of(step)) is not None]
    if not ends:
        start = attempt.started_at or attempt.finished_at
        return (start, attempt.finished_at or start) if start is not None else None
    start = max(ends)[0]
    return start, max(attempt.finished_at or start, max(end for _, end in ends))


class _Projects:
    """The project as each step parsed it; a manifest is indexed once, however many steps share it."""

    def __init__(self, attempt: Attempt, newest: Manifest | None, by_step: Mapping[int, Manifest]) -> None:
        self._attempt = attempt
        self._newest = newest
        self._by_step = by_step
        self._selectors: dict[int, Selector] = {}

    @property
    def selectors(self) -> Mapping[str, Any]:
        """The definitions of `selectors.yml`, which no step changes."""
        manifest = self._newest or next(iter(self._by_step.values()), None)
        return manifest.selectors if manifest is not None else {}

    def of(self, step: Step | None, situation: Situation) -> Situation:
        manifest = self._by_step.get(step.index, self._newest) if step is not None else self._newest
        if manifest is None:
            return situation
        if id(manifest) not in self._selectors:
            self._selectors[id(manifest)] = Selector(manifest)
        return replace(
            situation,
            selector=self._selectors[id(manifest)],
            adapter_type=manifest.metadata.adapter_type,
            version=version_of(manifest.metadata.dbt_version, self._attempt.dbt_version),
        )


def commands_from_failure(attempt: Attempt) -> tuple[str, ...]:
    """The commands from the first one on that did not succeed; none where all did."""
    asked = align(attempt).asked
    for number, one in enumerate(asked):
        if one.step is None or one.step.state is not RunState.SUCCESS:
            return tuple(later.command for later in asked[number:])
    return ()


def _plan(steps: Sequence[PlannedStep], attempt: Attempt, selectors: Mapping[str, Any]) -> RetryPlan:
    commands = tuple(line for step in steps for line in (step.new_command, *step.more_commands) if line)
    is_partial = any(step.left_out or step.action is StepAction.DROP for step in steps)
    return RetryPlan(
        steps=tuple(steps),
        commands=commands,
        is_whole=bool(steps) and all(step.action is StepAction.WHOLE for step in steps),
        is_partial=is_partial,
        stop_reason=None if commands else _stop_reason(steps, attempt),
        notes=tuple(dict.fromkeys(_notes(steps, selectors))),
    )


def _with_gate(steps: Iterable[PlannedStep]) -> list[PlannedStep]:
    """A step that keeps a failure ends the plan: what comes after it would run on what failed."""
    gated: list[PlannedStep] = []
    closed_by: PlannedStep | None = None
    for step in steps:
        if closed_by is not None and step.action in _RUNS:
            reason = f"`{closed_by.command}` before it keeps a failure that is not retried"
            gated.append(
                replace(
                    step,
                    action=StepAction.DROP,
                    reason=reason,
                    new_command=None,
                    more_commands=(),
                    nodes=(),
                    again=frozenset(),
                    is_open=False,
                    saved=(),
                    left_out=(*step.left_out, *step.nodes),
                )
            )
            continue
        gated.append(step)
        if closed_by is None and (step.left_out or step.action is StepAction.DROP):
            closed_by = step
    return gated


def _with_freshness(steps: Sequence[PlannedStep], selectors: Mapping[str, Any]) -> list[PlannedStep]:
    """A step that selects by `source_status:` reads the results of the freshness step of its own run."""
    readers = [number for number, step in enumerate(steps) if _selects_by("source_status", step, selectors)]
    if not readers:
        return list(steps)
    return [
        replace(
            step,
            action=StepAction.WHOLE,
            reason="a later step needs its results",
            new_command=step.command,
            saved=(),
        )
        if step.action is StepAction.SKIP and number < readers[-1] and verb_of(step.command).name == "source freshness"
        else step
        for number, step in enumerate(steps)
    ]


def _hopeless_setup(aligned: Aligned) -> str | None:
    """Why a run that failed before its first command would do so again."""
    if any(asked.is_started for asked in aligned.asked):
        return None
    for step in aligned.added:
        if step.state is not RunState.ERROR:
            continue
        if is_lint(step):
            return f"the step `{step.name}` found problems in the code, which a retry would find again"
        is_setup = step.command is None or verb_of(step.command).name == "deps"
        if is_setup and judge_log(step.log) is Retryability.DETERMINISTIC:
            return f"the step `{step.name}` failed, and its log shows that a retry would fail, too"
    return None


def _dropped(aligned: Aligned, reason: str) -> tuple[PlannedStep, ...]:
    return tuple(
        PlannedStep(
            index=asked.step.index if asked.step else None,
            command=asked.command,
            action=StepAction.DROP,
            reason=reason,
        )
        for asked in aligned.asked
    )


def _done(steps: Iterable[Step]) -> dict[str, int]:
    """Every node that succeeded, with the last step in which it did."""
    return {
        row.unique_id: step.index
        for step in sorted(steps, key=lambda step: step.index)
        if has_started(step) and step.results is not None and verb_named(step.results.which).builds
        for row in step.results.nodes
        if not did_not_succeed(row.status)
    }


def _filled(attempt: Attempt, later: Iterable[Attempt]) -> dict[str, tuple[tuple[int, Window], ...]]:
    """The batches of microbatch models that succeeded, with the index of their step."""
    found: defaultdict[str, list[tuple[int, Window]]] = defaultdict(list)
    for one in (attempt, *later):
        for step in one.steps:
            for row in step.results.nodes if step.results else ():
                index = step.index if one is attempt else LATER_ATTEMPT
                found[row.unique_id] += [(index, window) for window in row.batches_done]
    return {unique_id: tuple(windows) for unique_id, windows in found.items() if windows}


def _built(steps: Iterable[Step]) -> Iterable[str]:
    """The nodes whose relation these steps wrote."""
    return (
        row.unique_id
        for step in steps
        if step.results is not None and verb_named(step.results.which).builds
        for row in step.results.nodes
        if was_built(row.status, row.unique_id.partition(".")[0])
    )


def _stop_reason(steps: Sequence[PlannedStep], attempt: Attempt) -> str:
    dropped = next((step for step in steps if step.action is StepAction.DROP), None)
    if dropped is not None:
        failed_ones = [node for node in dropped.left_out if is_failure(node.status)]
        names = [node.unique_id for node in failed_ones or dropped.left_out]
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return f"`{shortened(dropped.command, _LONGEST_COMMAND)}`: {dropped.reason}" + (f" ({shown})" if shown else "")
    failed = next((step for step in attempt.steps if step.state is RunState.ERROR), None)
    if failed is not None:
        return f"only `{failed.name}` failed, which dbt Cloud adds by itself: no step of the job needs a retry"
    return "every step of the run succeeded: there is nothing to retry"


def _notes(steps: Iterable[PlannedStep], selectors: Mapping[str, Any]) -> Iterable[str]:
    for step in steps:
        if _selects_by("result", step, selectors):
            yield f"`{step.command}` selects by the results of an earlier run, which the retry may not see alike"


def _selects_by(method: str, step: PlannedStep, selectors: Mapping[str, Any]) -> bool:
    """Whether some command that replaces the step selects by this method, be it in a selector of the project."""
    return any(_has_method(method, line, selectors) for line in (step.new_command, *step.more_commands) if line)


def _has_method(method: str, line: str, selectors: Mapping[str, Any]) -> bool:
    if re.search(rf"\b{method}:", line):
        return True
    command = parse_command(line)
    if command is None or not command.is_node_command:
        return False
    selection = command.selection
    name = selection.selector or (None if selection.is_given else default_selector(selectors))
    return name is not None and re.search(rf"\b{method}\b", str(selectors.get(name))) is not None
