"""dbt's relations as OpenLineage's datasets, named by its rules (`spec/Naming.md`), with what is known of them.

A dataset's name is the relation's. Its namespace is the address of the warehouse, which no artifact of dbt holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    DatasetFacet,
    InputDatasetFacet,
    OutputDatasetFacet,
    datasource_dataset,
    documentation_dataset,
    output_statistics_output_dataset,
    ownership_dataset,
    schema_dataset,
)

from dbt_cloud_run.assets.assets import relation_of, rows_affected
from dbt_cloud_run.assets.nodes import owners_of
from dbt_cloud_run.dbt.artifacts import Manifest, ManifestNode
from dbt_cloud_run.dbt.columns import Column
from dbt_cloud_run.dbt.statuses import BUILDABLE
from dbt_cloud_run.emit.sink import NotSentError
from dbt_cloud_run.node_results import NodeResult

VARIABLE: Final = "OPENLINEAGE_DATASET_NAMESPACE"
"""Our own variable: where OpenLineage runs beside dbt it reads the profile, which dbt Cloud keeps to itself."""

_NAMESPACES: Final[Mapping[str, str]] = {
    "athena": "awsathena://athena.<region>.amazonaws.com",
    "bigquery": "bigquery",
    "clickhouse": "clickhouse://<host>:<port>",
    "databricks": "databricks://<host>",
    "duckdb": "duckdb://<path>",
    "fabric": "fabric-warehouse://<server>",
    "postgres": "postgres://<host>:<port>",
    "redshift": "redshift://<cluster>.<region>:<port>",
    "snowflake": "snowflake://<organization>-<account>",
    "spark": "spark://<host>:<port>",
    "sqlserver": "mssql://<host>:<port>",
    "trino": "trino://<host>:<port>",
}
_UNQUOTED: Final = str.maketrans("", "", '"`[]')


def namespace_of(adapter: str, environ: Mapping[str, str]) -> str:
    """The namespace of the datasets. Raises `NotSentError` where it is not set: a guess would name others."""
    if given := environ.get(VARIABLE, "").strip().rstrip("/"):
        return given
    form = _NAMESPACES.get(adapter, f"{adapter}://<host>:<port>")
    if "<" not in form:
        return form
    raise NotSentError(
        f"{VARIABLE} is not set. OpenLineage names a dataset by the address of its warehouse, which dbt's artifacts do "
        f"not hold: set it in the environment of this step. For {adapter} it has the form {form}."
    )


def dataset_name(relation_name: str) -> str:
    """`database.schema.table`, or as many of these as the warehouse has, without quotes."""
    return relation_name.translate(_UNQUOTED)


@dataclass(frozen=True, slots=True)
class Datasets:
    """The datasets of one manifest."""

    namespace: str
    manifest: Manifest
    columns: Mapping[str, tuple[Column, ...]]  # by unique id

    def output(self, node: ManifestNode, result: NodeResult) -> OutputDataset | None:
        """What a node builds; None where it has no relation."""
        relation = relation_of(node) or result.relation_name
        if not relation:
            return None
        statistics: dict[str, OutputDatasetFacet] = {}
        if (rows := rows_affected(result.adapter_response)) is not None:
            statistics["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                rowCount=rows
            )
        return OutputDataset(
            namespace=self.namespace,
            name=dataset_name(relation),
            facets=self._facets(node),
            outputFacets=statistics,
        )

    def inputs(self, node: ManifestNode) -> list[InputDataset]:
        """What a node reads: the relations that it depends on, traced through ephemeral models; each once."""
        return [self._input(parent, {}) for parent in self._parents(node)]

    def tested(self, node: ManifestNode, facets: Mapping[str, InputDatasetFacet]) -> InputDataset | None:
        """A node that a test has read; None where it has no relation."""
        return self._input(node, facets) if relation_of(node) else None

    def _input(self, node: ManifestNode, facets: Mapping[str, InputDatasetFacet]) -> InputDataset:
        return InputDataset(
            namespace=self.namespace,
            name=dataset_name(relation_of(node) or ""),
            facets=self._facets(node),
            inputFacets=dict(facets),
        )

    def _parents(self, node: ManifestNode) -> Iterator[ManifestNode]:
        waiting, seen = list(reversed(node.depends_on.nodes)), set[str]()
        while waiting:
            unique_id = waiting.pop()
            parent = self.manifest.nodes.get(unique_id) or self.manifest.sources.get(unique_id)
            if parent is None or unique_id in seen or parent.resource_type not in (*BUILDABLE, "source"):
                continue
            seen.add(unique_id)
            if parent.config.materialized == "ephemeral":
                waiting += reversed(parent.depends_on.nodes)
            elif relation_of(parent):
                yield parent

    def _facets(self, node: ManifestNode) -> dict[str, DatasetFacet]:
        facets: dict[str, DatasetFacet] = {
            "dataSource": datasource_dataset.DatasourceDatasetFacet(name=self.namespace, uri=self.namespace)
        }
        if node.description:
            facets["documentation"] = documentation_dataset.DocumentationDatasetFacet(description=node.description)
        if owners := owners_of(node, self.manifest):
            facets["ownership"] = ownership_dataset.OwnershipDatasetFacet(
                owners=[ownership_dataset.Owner(name=name) for name in owners]
            )
        if columns := self.columns.get(node.unique_id):
            facets["schema"] = schema_dataset.SchemaDatasetFacet(
                fields=[
                    schema_dataset.SchemaDatasetFacetFields(
                        name=column.name, type=column.type, description=column.description
                    )
                    for column in columns
                ]
            )
        return facets
