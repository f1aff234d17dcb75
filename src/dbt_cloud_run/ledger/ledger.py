"""The ledger: every node once, over all steps and attempts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from dbt_cloud_run.dbt.batches import spans, still_open
from dbt_cloud_run.dbt.statuses import Kind as StatusKind
from dbt_cloud_run.dbt.statuses import is_failure, was_built
from dbt_cloud_run.dbt.verbs import verb_named, verb_of
from dbt_cloud_run.ledger.judgement import judged
from dbt_cloud_run.model import Attempt, FreshnessResult, Ledger, Step, StepResults
from dbt_cloud_run.node_results import BuiltResult, NodeOutcome, NodeResult
from dbt_cloud_run.planned import Window


def build_ledger(attempts: Iterable[Attempt]) -> Ledger:
    """One outcome for each node that dbt reported a result for, by its last result.

    A node has *recovered* when it failed (was not merely skipped) in one attempt and succeeded in a later one.
    Results of steps that change no node (`docs generate`, `compile`, `list`, `parse`, `show`) do not count.
    """
    outcomes: dict[str, NodeOutcome] = {}
    failed_in: dict[str, int] = {}
    judgements: dict[str, StatusKind] = {}
    open_batches: dict[str, tuple[Window, ...]] = {}
    freshness: dict[str, FreshnessResult] = {}
    for attempt in attempts:
        for step in attempt.steps:
            freshness.update({row.unique_id: row for row in step.freshness})
        for step, results in result_steps(attempt):
            for row in results.nodes:
                result = _with_batches(row, open_batches)
                outcomes[result.unique_id] = _next(outcomes.get(result.unique_id), result, attempt, step, results)
                judgements[result.unique_id] = judged(result.status, step.state)
                if judgements[result.unique_id] is StatusKind.FAILED:
                    failed_in.setdefault(result.unique_id, attempt.number)
    for unique_id, first_failure in failed_in.items():
        outcome = outcomes[unique_id]
        succeeded = judgements[unique_id] in (StatusKind.SUCCEEDED, StatusKind.WARNED)
        if succeeded and outcome.attempt > first_failure:
            outcomes[unique_id] = replace(outcome, recovered=True)
    return Ledger(outcomes=outcomes, freshness=tuple(freshness.values()))


def _with_batches(row: NodeResult, open_batches: dict[str, tuple[Window, ...]]) -> NodeResult:
    """A microbatch model has succeeded when all of its batches have, whichever attempt ran them."""
    still = still_open(open_batches.get(row.unique_id, ()), row)
    open_batches[row.unique_id] = still
    if not still or is_failure(row.status):
        return row
    return replace(row, status="partial success", message=f"batches that are still missing: {spans(still)}")


def result_steps(attempt: Attempt) -> Iterator[tuple[Step, StepResults]]:
    """The steps whose results are those of nodes that were executed."""
    for step in attempt.steps:
        if step.results is not None and _executes_nodes(step, step.results):
            yield step, step.results


def _executes_nodes(step: Step, results: StepResults) -> bool:
    verb = verb_named(results.which) if results.which else verb_of(step.command)
    # Where neither the file nor the command shows it, the rows are taken for what they say.
    return not verb.reads_only


def _next(
    before: NodeOutcome | None, result: NodeResult, attempt: Attempt, step: Step, results: StepResults
) -> NodeOutcome:
    built = before.built if before else None
    if was_built(result.status, result.unique_id.split(".", 1)[0]):
        built = BuiltResult(result=result, attempt=attempt.number, run_id=attempt.run_id, step_index=step.index)
    return NodeOutcome(
        unique_id=result.unique_id,
        result=result,
        attempt=attempt.number,
        run_id=attempt.run_id,
        step_index=step.index,
        results_path=results.path,
        built=built,
    )
