"""The emulator's runs are kept, forgotten and found again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import sentinel

from dbt_cloud_emulator.status import Status
from dbt_cloud_emulator.store import Run, RunStore, Step, Trigger

NOW = datetime(2024, 5, 27, 10, 42, 16, 179903, tzinfo=UTC)


def _add(store: RunStore, *, replayed: bool = False, status: Status = Status.SUCCESS, job_id: int = 1) -> Run:
    run_id = store.new_id()
    run = Run(
        id=run_id,
        trigger_id=store.new_id(),
        account_id=1,
        project_id=1,
        environment_id=1,
        job_id=job_id,
        trigger=Trigger("c", steps_override=["dbt build"]),
        created_at=NOW,
        folder=store.state / "runs" / str(run_id),
        status=status,
        replayed=sentinel.replayed if replayed else None,
    )
    store.add(run)
    return run


def test_only_complete_replayed_runs_are_forgotten_beyond_the_limit(tmp_path: Path) -> None:
    store = RunStore(tmp_path, 100, keep_runs=3)
    real = _add(store)
    active = _add(store, replayed=True, status=Status.RUNNING)
    replayed = [_add(store, replayed=True) for _ in range(6)]
    assert [run.id for run in store] == [real.id, active.id, replayed[-1].id]
    assert [run.id for run in store.of_job(1)] == [real.id, active.id, replayed[-1].id]
    assert store.latest(1) is replayed[-1]


def test_a_real_run_is_found_again_as_it_was_and_ids_go_on(tmp_path: Path) -> None:
    store = RunStore(tmp_path, 70_000_000_000_000, keep_runs=10)
    run = _add(store, status=Status.ERROR)
    run.finished_at = run.saved_at = NOW
    run.steps.append(Step(store.new_id(), 1, "Clone git repository", "setup", status=Status.ERROR, started_at=NOW))
    store.save(run)
    again = RunStore(tmp_path, 70_000_000_000_000, keep_runs=10)
    assert list(again) == [run]
    assert again.new_id() > run.steps[0].id
    found = again.find_step(run.steps[0].id)
    assert found is not None
    assert found[1].name == "Clone git repository"


def test_a_run_that_was_active_when_the_emulator_ended_is_cancelled(tmp_path: Path) -> None:
    store = RunStore(tmp_path, 100, keep_runs=10)
    store.save(_add(store, status=Status.RUNNING))
    (again,) = RunStore(tmp_path, 100, keep_runs=10)
    assert again.status is Status.CANCELLED
    assert again.status_message is not None


def test_earlier_runs_of_the_same_job_block(tmp_path: Path) -> None:
    store = RunStore(tmp_path, 100, keep_runs=10)
    first = _add(store, status=Status.RUNNING)
    _add(store, status=Status.RUNNING, job_id=2)
    _add(store, status=Status.SUCCESS)
    last = _add(store, status=Status.QUEUED)
    assert store.active_before(last) == [first]
