"""Real dbt over the emulator's project, many times in one process: a run, and two ways of retrying it."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import yaml
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner

import dbt_cloud_emulator
from dbt_cloud_run.dbt.artifacts import Manifest, decode_manifest
from dbt_cloud_run.dbt.results import decode_run_results
from dbt_cloud_run.dbt.statuses import did_not_succeed
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.model import Attempt, RunState, Step, StepResults

PROJECT = Path(dbt_cloud_emulator.__file__).parent / "projects" / "shop"

NEVER_EXECUTED = ("operation.", "model.shop.int_")
"""Hooks run with every command. An ephemeral model is part of others; `--fail-fast` lists it as skipped."""


HEALTHY = "shop_flaky: false"
"""Switches with which no node fails."""


_OF_THE_RUN = frozenset({"dbt_scd_id"})
"""Columns that are made from the time of the run."""


@dataclass(frozen=True)
class Ran:
    """What one invocation of dbt did: its results by node, hooks left out."""

    results: StepResults | None
    statuses: dict[str, str] = field(default_factory=dict)

    @property
    def nodes(self) -> frozenset[str]:
        return frozenset(self.statuses)

    @property
    def recovered(self) -> frozenset[str]:
        return frozenset(node for node, status in self.statuses.items() if not did_not_succeed(status))


class Shop:
    """The project, built once with nothing broken. Every case starts from that database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._project = folder / "shop"
        shutil.copytree(PROJECT, self._project, ignore=shutil.ignore_patterns("target", "logs", "dbt_packages"))
        self._database = folder / "shop.duckdb"
        self._undisturbed: dict[str, dict[str, list[str]]] = {}
        profile = {"type": "duckdb", "path": str(self._database), "schema": "main", "threads": 1}
        content = {"shop": {"target": "ci", "outputs": {"ci": profile, "prod": profile | {"schema": "prod"}}}}
        (folder / "profiles.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
        self._call("dbt deps", folder / "target")
        for target in ("prod", "ci"):
            self._call(f"dbt build --target {target} --vars '{{{HEALTHY}}}'", self.state)
        self._modify("model.shop.customers")
        shutil.copy(self._database, self._saved("base"))

    @property
    def state(self) -> Path:
        """The target folder of the green build, for `--state`."""
        return self._folder / "state"

    def _modify(self, unique_id: str) -> None:
        """Let `state:modified` find this node: the green build knew another text."""
        file = self.state / "manifest.json"
        content = json.loads(file.read_text(encoding="utf-8"))
        content["nodes"][unique_id]["raw_code"] += "-- as it was"
        file.write_text(json.dumps(content), encoding="utf-8")

    def start_over(self) -> None:
        """The database as after the green build."""
        shutil.copy(self._saved("base"), self._database)

    def keep(self) -> None:
        """Keep the database as it is now, for `go_back`."""
        shutil.copy(self._database, self._saved("kept"))

    def go_back(self) -> None:
        shutil.copy(self._saved("kept"), self._database)

    def run(self, line: str, switches: str) -> Ran:
        """Run a command line; invocations with the same switches share what dbt has parsed."""
        target = self._target(switches)
        results = target / "run_results.json"
        if "dbt retry" not in line:
            results.unlink(missing_ok=True)
        self._call(line, target)
        if not results.exists():
            return Ran(None)
        _, decoded = decode_run_results(results)
        rows = [row for row in decoded.nodes if not row.unique_id.startswith(NEVER_EXECUTED)]
        return Ran(decoded, {row.unique_id: row.status for row in rows})

    def undisturbed(self, command: str) -> dict[str, list[str]]:
        """What the command leaves in the database of the green build where nothing fails; run once."""
        if command not in self._undisturbed:
            self.start_over()
            self.run(f"{command} --vars '{{{HEALTHY}}}'", HEALTHY)
            self._undisturbed[command] = self.contents(HEALTHY)
        return self._undisturbed[command]

    def manifest(self, switches: str) -> Manifest:
        return decode_manifest(self._target(switches) / "manifest.json")

    def contents(self, switches: str) -> dict[str, list[str]]:
        """The rows of every relation of the project, sorted, without the columns that hold the time of the run."""
        found: dict[str, list[str]] = {}
        built = ("model", "seed", "snapshot")
        names = {node.relation_name for node in self.manifest(switches) if node.resource_type in built}
        connection = duckdb.connect(str(self._database), read_only=True)
        try:
            for name in sorted(filter(None, names)):
                with contextlib.suppress(duckdb.CatalogException):
                    relation = connection.sql(f"from {name}")
                    kept = [
                        column
                        for column, kind in zip(relation.columns, relation.types, strict=True)
                        if "TIMESTAMP" not in str(kind) and column not in _OF_THE_RUN
                    ]
                    found[name] = sorted(map(str, relation.select(*kept).fetchall()))
        finally:
            connection.close()
        return found

    def _target(self, switches: str) -> Path:
        return self._folder / f"target-{abs(hash(switches))}"

    def _saved(self, name: str) -> Path:
        return self._folder / f"{name}.duckdb.saved"

    def _call(self, line: str, target: Path) -> None:
        words = shlex.split(line)[1:]
        places = {"--project-dir": self._project, "--profiles-dir": self._folder, "--target-path": target}
        if words[0] == "deps":
            places.pop("--target-path")
        for option, place in places.items():
            words += [option, str(place)]
        words += ["--log-path", str(self._folder / "logs"), "--quiet"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dbtRunner().invoke(words)
        # The database file is exchanged between invocations, so none may hold it open.
        if DuckDBConnectionManager._ENV is not None:
            DuckDBConnectionManager._ENV.close()
            DuckDBConnectionManager._ENV = None


def ended(command: str, ran: Ran) -> Attempt:
    """The run of one step that ended with these results."""
    step = Step(
        index=4, name=f"Invoke dbt with `{command}`", command=command, state=RunState.ERROR, results=ran.results
    )
    return Attempt(
        number=1, run_id=1, job_id=1, state=RunState.ERROR, ending=Ending.ERROR, asked=(command,), steps=(step,)
    )
