"""The retries: what each plan ran again, what it saved, what it recovered, and why there was no further one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbt_cloud_run.planned import StepAction, saving
from dbt_cloud_run.report.markdown import escape
from dbt_cloud_run.report.markdown.layout import Block, Section
from dbt_cloud_run.report.sections.failures import node_link
from dbt_cloud_run.report.wording import (
    NODE_TIME,
    RECOVERED_ICON,
    UNKNOWN,
    again,
    duration,
    listed,
    main_costs,
    plural,
    saves,
    sentence,
)

if TYPE_CHECKING:
    from dbt_cloud_run.model import Attempt
    from dbt_cloud_run.planned import PlannedStep, RetryPlan, Saving
    from dbt_cloud_run.report.detail import Detail
    from dbt_cloud_run.report.facts import Facts

_ACTIONS = {
    StepAction.SKIP: "not repeated",
    StepAction.WHOLE: "re-run as it was",
    StepAction.NODES: "re-run for these nodes",
    StepAction.DROP: "left out",
}
_STEPS_HEAD = "| Step | Command&nbsp;before | What the retry did | Why | Saves |\n| ---: | --- | --- | --- | --- |\n"
_COMMAND_LIMIT = 300  # the whole command is in the report without cuts


def plans(facts: Facts, detail: Detail) -> Section | None:
    """One part for each decision about a retry; None when there was nothing to decide."""
    attempts = facts.data.outcome.attempts
    blocks: list[Block] = []
    for attempt in attempts:
        following = next((later for later in attempts if later.number == attempt.number + 1), None)
        if attempt.plan is not None and following is not None:
            blocks += _carried_out(facts, attempt, following, attempt.plan, detail)
        elif attempt.plan is not None and attempt.plan.stop_reason:
            why = escape.text(attempt.plan.stop_reason, 500)
            what = "No further retry" if len(attempts) > 1 else "No retry"
            blocks.append(Block([f"**{what}:** {why}\n\n", *_notes(attempt.plan)], noun="note"))
            blocks += _left_out(facts, attempt.plan)
    return Section("Retries", blocks, importance=2, title="#### Retries\n\n") if blocks else None


def _carried_out(facts: Facts, before: Attempt, after: Attempt, plan: RetryPlan, detail: Detail) -> list[Block]:
    recovered = [node_link(facts.info(found.unique_id)) for found in facts.recovered if found.attempt == after.number]
    how = "by dbt Cloud's own retry" if plan.strategy == "native" else ""
    did = "everything re-run" if plan.is_whole else f"{words} re-run" if (words := again(plan)) else ""
    kept = _kept(plan.saved)
    result = f"{RECOVERED_ICON} recovered {listed(recovered, detail.names)}" if recovered else "nothing recovered"
    runs = " → ".join(escape.link(f"run {run.run_id}", run.run_url) for run in (before, after))
    head = f"**Attempt {before.number} → {after.number}** ({runs}): "
    line = head + " · ".join(part for part in (did, how, kept, result) if part)
    blocks = [Block([line + "\n\n", *_notes(plan)], noun="note")]
    if plan.steps:
        rows = [_step_row(step, detail) for step in plan.steps]
        blocks.append(Block(rows, _STEPS_HEAD, "\n", noun="step"))
    return [*blocks, *_run_again(facts, plan), *_left_out(facts, plan)]


def _kept(saved: Saving) -> str:
    """What is not repeated, and that its time is no time by the clock."""
    if not saved.nodes:
        return ""
    time = f"{duration(saved.seconds)} {NODE_TIME}, added up over all threads"
    what = "; ".join((time, *main_costs(saved.cost)))
    return f"{plural(saved.nodes, 'node')} not repeated ({what})"


def _run_again(facts: Facts, plan: RetryPlan) -> list[Block]:
    """The nodes that are run again for a reason of their own; hooks and what else a whole step runs have none."""
    rows = [
        f"| {node_link(facts.info(node.unique_id))} | {escape.text(node.status, 40)} | {escape.text(node.reason, 300)} "
        f"| {duration(node.seconds_before) if node.seconds_before else UNKNOWN} |\n"
        for step in plan.steps
        for node in step.nodes
    ]
    if not rows:
        return []
    named = {node.unique_id for step in plan.steps for node in step.nodes}
    title = plural(len(named), "node") if len(named) == len(plan.again) else f"{len(named):,} of the {again(plan)}"
    head = f"<details><summary>Why {title} {'was' if title == '1 node' else 'were'} re-run</summary>\n\n"
    columns = "| Node | Was | Why | Took before |\n| --- | --- | --- | ---: |\n"
    return [Block(rows, head + columns, "\n</details>\n\n", noun="planned node")]


def _step_row(step: PlannedStep, detail: Detail) -> str:
    limit = None if detail.failures is None else _COMMAND_LIMIT
    did = _ACTIONS[step.action]
    if step.new_command is not None and step.action is StepAction.NODES:
        did += ": " + ", then ".join(escape.code(line, limit) for line in (step.new_command, *step.more_commands))
    index = step.index if step.index is not None else UNKNOWN
    why = escape.text(sentence(step.reason), 300)
    saved = saves(saving(step.saved))
    return f"| {index} | {escape.code(step.command, limit)} | {did} | {why} | {saved} |\n"


def _left_out(facts: Facts, plan: RetryPlan) -> list[Block]:
    rows = [
        f"| {node_link(facts.info(node.unique_id))} | {escape.text(node.status, 40)} "
        f"| {escape.text(node.reason, 300)} |\n"
        for step in plan.steps
        for node in step.left_out
    ]
    if not rows:
        return []
    count = len({node.unique_id for step in plan.steps for node in step.left_out})
    title = f"<details><summary>{plural(count, 'node')} that did not succeed and was not retried</summary>\n\n"
    if count > 1:
        title = title.replace(" and was ", " and were ")
    return [Block(rows, title + "| Node | Was | Why |\n| --- | --- | --- |\n", "\n</details>\n\n", noun="planned node")]


def _notes(plan: RetryPlan) -> list[str]:
    return [f"- {escape.text(note, 500)}\n" for note in plan.notes] + (["\n"] if plan.notes else [])
