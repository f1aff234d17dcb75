"""The results of tests as OpenLineage has them: assertions about a dataset, and runs of single tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from openlineage.client.facet_v2 import data_quality_assertions_dataset, test_run

from dbt_cloud_run.assets.nodes import tested_nodes
from dbt_cloud_run.dbt.artifacts import Manifest, ManifestNode
from dbt_cloud_run.dbt.statuses import Kind, kind
from dbt_cloud_run.node_results import NodeResult

Assertion = data_quality_assertions_dataset.Assertion


def find_test(manifest: Manifest, unique_id: str) -> ManifestNode | None:
    """The test or unit test with this unique id."""
    node = manifest.nodes.get(unique_id) or manifest.unit_tests.get(unique_id)
    return node if node is not None and node.resource_type in ("test", "unit_test") else None


def results_by_tested_node(
    results: Iterable[NodeResult], manifest: Manifest
) -> Mapping[str, list[tuple[ManifestNode, NodeResult]]]:
    """The tests that were executed, by the unique id of each node that they cover."""
    found: dict[str, list[tuple[ManifestNode, NodeResult]]] = {}
    for result in results:
        test = find_test(manifest, result.unique_id)
        if test is None or kind(result.status) is Kind.SKIPPED:
            continue
        for covered in tested_nodes(test):
            found.setdefault(covered, []).append((test, result))
    return found


def assertions(
    tests: Iterable[tuple[ManifestNode, NodeResult]],
) -> data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet:
    """The facet of a dataset with what these tests say of it."""
    made = [_assertion(test, result) for test, result in tests]
    return data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(assertions=made)


def test_facet(test: ManifestNode, result: NodeResult) -> test_run.TestRunFacet:
    """The facet of a run that is the execution of this test alone."""
    has_passed = kind(result.status) is Kind.SUCCEEDED
    execution = test_run.TestExecution(
        name=test.unique_id,
        status="pass" if has_passed else "fail",
        severity=_severity(test),
        description=test.description or None,
        actual=_actual(result),
    )
    return test_run.TestRunFacet(tests=[execution])


def is_singular(test: ManifestNode) -> bool:
    """Whether it is a test of its own, with SQL of its own, which is of no single dataset."""
    return test.resource_type == "test" and test.test_metadata is None


def _assertion(test: ManifestNode, result: NodeResult) -> Assertion:
    metadata = test.test_metadata
    generic = metadata.name if metadata is not None else ""
    return Assertion(
        assertion=generic or ("unit_test" if test.resource_type == "unit_test" else test.name),
        # Whether it found something, whatever dbt makes of that: a warning is no success.
        success=kind(result.status) is Kind.SUCCEEDED,
        column=_column(metadata.kwargs if metadata is not None else None),
        severity=_severity(test),
        name=test.name or None,
        description=test.description or None,
        actual=_actual(result),
    )


def _column(kwargs: Any) -> str | None:
    column = kwargs.get("column_name") if isinstance(kwargs, dict) else None
    return column if isinstance(column, str) and column else None


def _severity(test: ManifestNode) -> str | None:
    severity = test.config.severity
    return severity.lower() if isinstance(severity, str) and severity else None


def _actual(result: NodeResult) -> str | None:
    return None if result.failures is None else str(result.failures)
