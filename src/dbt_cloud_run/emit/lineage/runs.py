"""The run events of a dbt Cloud job and of its nodes.

One run stands for the job, over all attempts; the node runs of every attempt, a retry's too, have it as their parent.
Names of jobs are those of openlineage-dbt 1.54, so that a job is the same one whichever of the two reports it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    JobFacet,
    RunFacet,
    documentation_job,
    error_message_run,
    external_query_run,
    job_type_job,
    parent_run,
    processing_engine_run,
    tags_run,
)
from openlineage.client.uuid import generate_static_uuid

from dbt_cloud_run.dbt.artifacts import Manifest, ManifestNode
from dbt_cloud_run.dbt.columns import Column
from dbt_cloud_run.dbt.statuses import BUILDABLE, is_failure, was_built
from dbt_cloud_run.emit.emission import Emission
from dbt_cloud_run.emit.lineage.datasets import Datasets
from dbt_cloud_run.emit.lineage.quality import assertions, find_test, is_singular, results_by_tested_node, test_facet
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.ledger.ledger import result_steps
from dbt_cloud_run.model import Attempt, Step, StepResults
from dbt_cloud_run.node_results import NodeResult
from dbt_cloud_run.redaction import redact
from dbt_cloud_run.report.reasons import reason

Group = tuple[RunEvent, ...]
"""The events of one run, in order."""

_LONGEST_MESSAGE = 10_000
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """Who sends, and under which names."""

    producer: str  # a URI
    job_namespace: str
    job_name: str
    dataset_namespace: str
    parent: parent_run.ParentRunFacet | None = None  # of the job's own run


@dataclass(frozen=True, slots=True)
class Lineage:
    """The events of one emission."""

    emission: Emission
    naming: Naming
    columns: Mapping[str, tuple[Column, ...]]

    def begin(self) -> RunEvent:
        """The START of the job's run."""
        return self._of_job(RunState.START, _began(self.emission.outcome.attempts[0]), {})

    def end(self) -> RunEvent:
        """The end of the job's run: COMPLETE, FAIL with the reason, or ABORT if it was cancelled."""
        outcome = self.emission.outcome
        last = outcome.attempts[-1]
        states = {
            Ending.SUCCESS: RunState.COMPLETE,
            Ending.CANCELLED: RunState.ABORT,
            Ending.SUPERSEDED: RunState.ABORT,
        }
        words = " ".join(word for word in reason(outcome) if word)
        return self._of_job(states.get(outcome.ending, RunState.FAIL), last.finished_at or _began(last), _error(words))

    def nodes(self) -> Iterator[Group]:
        """The runs of the nodes, those of every attempt of this step."""
        for attempt in self.emission.attempts:
            for step, results in result_steps(attempt):
                manifest = self.emission.manifests.of(attempt.run_id, step.index)
                if manifest is not None:
                    yield from _Executed(self, attempt, step, results, manifest).groups()

    def parent(self) -> parent_run.ParentRunFacet:
        """The job's run, as the parent of its nodes'."""
        run_id, naming = str(self._job_run()), self.naming
        outer = naming.parent
        if outer is not None:
            root = outer.root or parent_run.Root(
                run=parent_run.RootRun(runId=outer.run.runId),
                job=parent_run.RootJob(namespace=outer.job.namespace, name=outer.job.name),
            )
        else:
            root = parent_run.Root(
                run=parent_run.RootRun(runId=run_id),
                job=parent_run.RootJob(namespace=naming.job_namespace, name=naming.job_name),
            )
        return parent_run.ParentRunFacet(
            run=parent_run.Run(runId=run_id),
            job=parent_run.Job(namespace=naming.job_namespace, name=naming.job_name),
            root=root,
        )

    def _job_run(self) -> str:
        """The same for every step that continues with this run, so that a re-run of the workflow run adds to it."""
        first = self.emission.outcome.attempts[0]
        data = f"{self.emission.base_url}/runs/{first.run_id}"
        return str(generate_static_uuid(_began(first), data.encode()))

    def _of_job(self, state: RunState, at: datetime, more: Mapping[str, RunFacet]) -> RunEvent:
        emission, naming = self.emission, self.naming
        job_facets: dict[str, JobFacet] = {"jobType": _job_type("JOB")}
        if emission.job_name:
            job_facets["documentation"] = documentation_job.DocumentationJobFacet(description=emission.job_name)
        facets: dict[str, RunFacet] = {**engine(emission.attempts[-1], None), **more}
        if naming.parent is not None:
            facets["parent"] = naming.parent
        return RunEvent(
            eventType=state,
            eventTime=at.isoformat(),
            run=Run(runId=self._job_run(), facets=facets),
            job=Job(namespace=naming.job_namespace, name=naming.job_name, facets=job_facets),
            producer=naming.producer,
            inputs=[],
            outputs=[],
        )


@dataclass(frozen=True, slots=True)
class _Executed:
    """One step that executed nodes, with its results."""

    lineage: Lineage
    attempt: Attempt
    step: Step
    results: StepResults
    manifest: Manifest

    @property
    def datasets(self) -> Datasets:
        return Datasets(self.lineage.naming.dataset_namespace, self.manifest, self.lineage.columns)

    def groups(self) -> Iterator[Group]:
        for result in self.results.nodes:
            node = self.manifest.nodes.get(result.unique_id)
            if node is None or node.resource_type not in BUILDABLE or node.config.materialized == "ephemeral":
                continue
            if is_failure(result.status) or was_built(result.status, node.resource_type):
                yield self._built(node, result)
        for unique_id, tests in results_by_tested_node(self.results.nodes, self.manifest).items():
            tested = self.manifest.nodes.get(unique_id) or self.manifest.sources.get(unique_id)
            if tested is not None:
                yield from self._tested(tested, tests)
        for result in self.results.nodes:
            test = find_test(self.manifest, result.unique_id)
            if test is not None and is_singular(test) and result.started_at is not None:
                yield self._singular(test, result)

    def _built(self, node: ManifestNode, result: NodeResult) -> Group:
        output = self.datasets.output(node, result)
        facets: dict[str, RunFacet] = {}
        if (query := _query_id(result)) is not None:
            facets["externalQuery"] = external_query_run.ExternalQueryRunFacet(
                externalQueryId=query, source=self.lineage.naming.dataset_namespace
            )
        words = {"model": "MODEL", "seed": "SEED", "snapshot": "SNAPSHOT"}
        return self._group(
            Job(
                namespace=self.lineage.naming.job_namespace,
                name=self._job_name(node, node.resource_type),
                facets={"jobType": _job_type(words[node.resource_type])},
            ),
            node.unique_id,
            [result],
            self.datasets.inputs(node),
            [output] if output is not None else [],
            facets,
        )

    def _tested(self, node: ManifestNode, tests: list[tuple[ManifestNode, NodeResult]]) -> Iterator[Group]:
        dataset = self.datasets.tested(node, {"dataQualityAssertions": assertions(tests)})
        if dataset is not None:
            yield self._group(
                Job(
                    namespace=self.lineage.naming.job_namespace,
                    name=self._job_name(node, "test"),
                    facets={"jobType": _job_type("TEST")},
                ),
                f"tests of {node.unique_id}",
                [result for _, result in tests],
                [dataset],
                [],
                {},
            )

    def _singular(self, test: ManifestNode, result: NodeResult) -> Group:
        return self._group(
            Job(
                namespace=self.lineage.naming.job_namespace,
                name=test.unique_id,
                facets={"jobType": _job_type("TEST")},
            ),
            test.unique_id,
            [result],
            self.datasets.inputs(test),
            [],
            {"test": test_facet(test, result)},
        )

    def _group(
        self,
        job: Job,
        what: str,
        results: list[NodeResult],
        inputs: list[InputDataset],
        outputs: list[OutputDataset],
        facets: Mapping[str, RunFacet],
    ) -> Group:
        """START, and COMPLETE or FAIL. `what` tells the run from the others of the step."""
        began, ended = _span(results, self.attempt, self.step)
        data = f"{self.lineage.emission.base_url}/runs/{self.attempt.run_id}/{self.step.index}/{what}"
        run_id = str(generate_static_uuid(began, data.encode()))
        failures = [result for result in results if is_failure(result.status)]
        about: dict[str, RunFacet] = {
            **engine(self.attempt, self.manifest),
            "parent": self.lineage.parent(),
            "tags": tags_run.TagsRunFacet(tags=_tags(self.attempt, self.step)),
            **facets,
        }

        def event(state: RunState, at: datetime, made: list[OutputDataset], more: Mapping[str, RunFacet]) -> RunEvent:
            return RunEvent(
                eventType=state,
                eventTime=at.isoformat(),
                run=Run(runId=run_id, facets={**about, **more}),
                job=job,
                producer=self.lineage.naming.producer,
                inputs=inputs,
                outputs=made,
            )

        start = event(RunState.START, began, outputs, {})
        if failures:
            return start, event(RunState.FAIL, ended, [], _error(failures[0].message or failures[0].status))
        return start, event(RunState.COMPLETE, ended, outputs, {})

    def _job_name(self, node: ManifestNode, kind: str) -> str:
        name = node.unique_id.removeprefix(f"{node.resource_type}.") if node.resource_type in BUILDABLE else ""
        base = ".".join(filter(None, (node.database, node.schema, name or node.unique_id)))
        is_build = self.results.which not in ("run", "test", "seed", "snapshot")
        if kind == "model":
            return f"{base}.build.run" if is_build else base
        return f"{base}.build.{kind}" if is_build else f"{base}.{kind}"


def engine(attempt: Attempt, manifest: Manifest | None) -> dict[str, RunFacet]:
    """The facet that names dbt and its version, where that is known."""
    version = (manifest.metadata.dbt_version if manifest is not None else None) or attempt.dbt_version
    if not version:
        return {}
    return {"processing_engine": processing_engine_run.ProcessingEngineRunFacet(version=version, name="dbt")}


def _job_type(word: str) -> job_type_job.JobTypeJobFacet:
    return job_type_job.JobTypeJobFacet(processingType="BATCH", integration="DBT", jobType=word)


def _tags(attempt: Attempt, step: Step) -> list[tags_run.TagsRunFacetFields]:
    known = {"run_id": attempt.run_id, "attempt": attempt.number, "step": step.index}
    return [
        tags_run.TagsRunFacetFields(key=f"dbt_cloud_{name}", value=str(value), source="DBT CLOUD")
        for name, value in known.items()
    ]


def _error(message: str) -> dict[str, RunFacet]:
    if not message:
        return {}
    text = redact(message).replace("\0", "")[:_LONGEST_MESSAGE]
    return {"errorMessage": error_message_run.ErrorMessageRunFacet(message=text, programmingLanguage="SQL")}


def _query_id(result: NodeResult) -> str | None:
    """The warehouse's name for the query, where the adapter says it."""
    response = result.adapter_response
    parts = [response.get(name) for name in ("project_id", "location", "job_id")]
    if all(isinstance(part, str) and part for part in parts):
        return f"{parts[0]}:{parts[1]}.{parts[2]}"
    query = response.get("query_id") or response.get("job_id")
    return query if isinstance(query, str) and query and query.lower() != "n/a" else None


def _began(attempt: Attempt) -> datetime:
    return attempt.started_at or attempt.triggered_at or attempt.finished_at or _BEGINNING


def _span(results: list[NodeResult], attempt: Attempt, step: Step) -> tuple[datetime, datetime]:
    """From the first execution to the last one's end; the step's own times where dbt gives none, as for a failure."""
    starts = [result.started_at for result in results if result.started_at is not None]
    ends = [result.completed_at for result in results if result.completed_at is not None]
    began = min(starts) if starts else step.started_at or _began(attempt)
    spent = timedelta(seconds=max((result.execution_seconds for result in results), default=0.0))
    return began, max(max(ends) if ends else began + spent, began)
