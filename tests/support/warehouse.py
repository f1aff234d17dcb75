"""A project on a real warehouse (DuckDB), whose rows are compared: after a failure and its retry, and undisturbed.

What fails is told to the database, not to dbt, so that all command lines are the same with and without it: a model
asks the table `ops.faults` whether it fails.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import yaml
from tests.support.engines import Engine, words_of

from dbt_cloud_run.dbt.artifacts import Manifest, decode_manifest
from dbt_cloud_run.dbt.hook_failures import as_logged
from dbt_cloud_run.dbt.results import decode_run_results
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import Attempt, RunState, Step, StepResults
from dbt_cloud_run.node_results import NodeResult

RESET = "Connection reset by peer"
NO_COLUMN = 'Binder Error: Referenced column "x" not found in FROM clause!'


@dataclass(frozen=True)
class Fault:
    """A node that fails, with what message; of a microbatch model only that batch (`20260103`), or all."""

    node: str
    message: str = RESET
    batch: str | None = None


@dataclass(frozen=True)
class Ran:
    """What one command line did."""

    line: str
    log: str
    results: StepResults | None

    @property
    def rows(self) -> dict[str, NodeResult]:
        return {row.unique_id: row for row in (self.results.nodes if self.results else ())}

    @property
    def failed(self) -> bool:
        bad = {"error", "fail", "skipped", "partial success", "runtime error"}
        return self.results is None or any(row.status in bad for row in self.results.nodes)


class Warehouse:
    """A project in a folder of its own; `files` are its models and the like, by path."""

    def __init__(
        self, folder: Path, engine: Engine, files: Mapping[str, str], flags: Mapping[str, bool] | None = None
    ) -> None:
        self.engine = engine
        self._folder = folder
        self._database = folder / "data.duckdb"
        self._target = folder / "target"
        for path, text in files.items():
            file = folder / "project" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        project = {"name": "data", "version": "1.0", "profile": "data", "flags": dict(flags or {})}
        hooks = yaml.safe_load(files.get("hooks.yml", "{}"))
        (folder / "project" / "dbt_project.yml").write_text(yaml.safe_dump(project | hooks), encoding="utf-8")
        profile = {"type": "duckdb", "path": str(self._database), "schema": "main", "threads": 1}
        content = {"data": {"target": "ci", "outputs": {"ci": profile, "prod": profile | {"schema": "prod"}}}}
        (folder / "profiles.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
        # In a format that the DuckDB of every engine reads.
        duckdb.execute(f"attach '{self._database}' as fresh (storage_version 'v1.0.0'); detach fresh")
        with self.sql() as connection:
            connection.execute(files["setup.sql"])
        self.save("empty")

    @property
    def folder(self) -> Path:
        return self._folder

    @contextmanager
    def sql(self) -> Iterator[duckdb.DuckDBPyConnection]:
        connection = duckdb.connect(str(self._database))
        try:
            yield connection
        finally:
            connection.close()

    def save(self, name: str) -> None:
        shutil.copy(self._database, self._folder / f"{name}.saved")

    def restore(self, name: str) -> None:
        shutil.copy(self._folder / f"{name}.saved", self._database)

    def set_faults(self, faults: Sequence[Fault]) -> None:
        with self.sql() as connection:
            connection.execute("delete from ops.faults")
            for fault in faults:
                connection.execute("insert into ops.faults values (?, ?, ?)", [fault.node, fault.message, fault.batch])

    def run(self, line: str, *, now: datetime | None = None) -> Ran:
        results = self._target / "run_results.json"
        if "dbt retry" not in line:
            results.unlink(missing_ok=True)
        log = self.engine.call(self._words(line), self._folder / "logs", now=now)
        return Ran(line, log, decode_run_results(results)[1] if results.exists() else None)

    def cut_off(self, line: str, shown: str, signal_number: int) -> Ran:
        """The run of a command line that is ended as soon as its log shows this."""
        results = self._target / "run_results.json"
        results.unlink(missing_ok=True)
        log = self.engine.cut_off(self._words(line), shown, signal_number)
        return Ran(line, log, decode_run_results(results)[1] if results.exists() else None)

    def _words(self, line: str) -> list[str]:
        places = {"--project-dir": self._folder / "project", "--profiles-dir": self._folder}
        places |= {"--target-path": self._target, "--log-path": self._folder / "logs"}
        return words_of(line) + [word for option, place in places.items() for word in (option, str(place))]

    def keep_state(self, modified: Sequence[str] = ()) -> Path:
        """The target folder as it is now, for `--state`."""
        state = self._folder / "state"
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir()
        for name in ("manifest.json", "run_results.json"):
            if (self._target / name).exists():
                shutil.copy(self._target / name, state / name)
        # For `state:modified`, the state knew other texts of these.
        content = json.loads((state / "manifest.json").read_text(encoding="utf-8"))
        for name in modified:
            content["nodes"][f"model.data.{name}"]["raw_code"] += "-- as it was"
        (state / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
        return state

    def manifest(self) -> Manifest:
        return decode_manifest(self._target / "manifest.json")

    def contents(self) -> dict[str, list[str]]:
        """Every relation outside `ops`, with all of its rows, sorted: equal where the data is."""
        with self.sql() as connection:
            relations = connection.execute(
                "select table_schema, table_name from information_schema.tables where table_schema <> 'ops' "
                "and table_name not like '%dbt_tmp%' order by all"
            ).fetchall()
            return {
                f"{schema}.{name}": sorted(
                    json.dumps(row, default=str) for row in connection.sql(f'from "{schema}"."{name}"').fetchall()
                )
                for schema, name in relations
            }


def ended(
    *ran: Ran, asked: Sequence[str] = (), state: RunState = RunState.ERROR, now: datetime | None = None
) -> Attempt:
    """The run of these steps, the last of which failed; at the time `now`, where dbt was made to believe in one."""
    steps = [
        Step(
            index=number + 4,
            name=f"Invoke dbt with `{one.line}`",
            command=one.line,
            state=state if one is ran[-1] else RunState.SUCCESS,
            results=one.results and as_logged(one.results, one.log),
            log=one.log,
            started_at=now,
            finished_at=now,
        )
        for number, one in enumerate(ran)
    ]
    return Attempt(
        number=1,
        run_id=1,
        job_id=1,
        state=RunState.ERROR,
        ending=Ending.ERROR if state is RunState.ERROR else Ending.TIMED_OUT,
        asked=tuple(asked) or tuple(one.line for one in ran),
        steps=tuple(steps),
    )


def today() -> datetime:
    """Noon of this day, UTC: no test of it depends on when it runs, as midnight is far from both ends."""
    return datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


def day(offset: int) -> datetime:
    return (today() + timedelta(days=offset)).replace(hour=0)
