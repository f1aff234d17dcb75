"""Attempts, steps and results for the tests of what is made of them: only what a test says, the rest as usual."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import Attempt, RunState, Step, StepResults
from dbt_cloud_run.node_results import NodeResult

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
_STATES = {Ending.SUCCESS: RunState.SUCCESS, Ending.ERROR: RunState.ERROR}


def step(index: int, command: str | None, rows: dict[str, str] | None = None, **more: Any) -> Step:
    """A step with a status for each unique id; a failed one unless its rows are fine."""
    which = more.pop("which", command.split()[1] if command else None)
    results = None
    if rows is not None:
        nodes = tuple(
            NodeResult(unique_id=unique_id, status=status, row=n) for n, (unique_id, status) in enumerate(rows.items())
        )
        results = StepResults(
            path=Path(f"step-{index}.json"),
            which=which,
            invocation_id=f"invocation {index}",
            generated_at=NOON,
            elapsed_seconds=1.0,
            nodes=nodes,
        )
    fine = rows is not None and all(status in ("success", "pass", "warn", "no-op") for status in rows.values())
    state = more.pop("state", RunState.SUCCESS if fine else RunState.ERROR)
    return Step(
        index=index, name=command or "Clone git repository", command=command, state=state, results=results, **more
    )


def attempt(number: int, *steps: Step, ending: Ending | None = None, **more: Any) -> Attempt:
    """An attempt of these steps, with the ending that they speak of."""
    failed = any(one.state is RunState.ERROR for one in steps)
    ending = ending or (Ending.ERROR if failed else Ending.SUCCESS)
    asked = more.pop("asked", tuple(one.command for one in steps if one.command))
    return Attempt(
        number=number,
        run_id=100 + number,
        job_id=7,
        state=_STATES.get(ending, RunState.CANCELLED),
        ending=ending,
        asked=asked,
        steps=steps,
        **more,
    )
