"""Datasets are named as OpenLineage's own helpers name them, and columns are read from whatever file has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from openlineage.client.naming import dataset as naming

from dbt_cloud_run.dbt.columns import Column, read_columns
from dbt_cloud_run.emit.lineage.datasets import VARIABLE, dataset_name, namespace_of
from dbt_cloud_run.emit.sink import NotSentError


@pytest.mark.parametrize(
    ("adapter", "relation", "given", "known"),
    [
        ("bigquery", "`p`.`d`.`t`", "", naming.BigQuery("p", "d", "t")),
        ("snowflake", "DB.SCH.T", "snowflake://org-acc", naming.Snowflake("org", "acc", "DB", "SCH", "T")),
        ("postgres", '"db"."sch"."t"', "postgres://h:5432", naming.Postgres("h", "5432", "db", "sch", "t")),
        ("redshift", '"db"."sch"."t"', "redshift://c.r:5439/", naming.Redshift("c", "r", "5439", "db", "sch", "t")),
        ("trino", '"cat"."sch"."t"', "trino://h:8080", naming.Trino("h", "8080", "cat", "sch", "t")),
        (
            "athena",
            '"awsdatacatalog"."sch"."t"',
            "awsathena://athena.eu-west-1.amazonaws.com",
            naming.Athena("eu-west-1", "awsdatacatalog", "sch", "t"),
        ),
    ],
)
def test_names_are_those_of_the_standard(adapter: str, relation: str, given: str, known: naming.DatasetNaming) -> None:
    assert namespace_of(adapter, {VARIABLE: given}) == known.get_namespace()
    assert dataset_name(relation) == known.get_name()


def test_a_table_of_sql_server_has_no_brackets() -> None:
    assert dataset_name("[db].[dbo].[t]") == "db.dbo.t"


@pytest.mark.parametrize("adapter", ["snowflake", "an-adapter-of-next-year"])
def test_an_address_that_nothing_says_is_not_made_up(adapter: str) -> None:
    with pytest.raises(NotSentError, match=rf"{VARIABLE} is not set.*For {adapter} it has the form {adapter}://<"):
        namespace_of(adapter, {})


def test_columns_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    manifest, catalog = tmp_path / "manifest.json", tmp_path / "catalog.json"
    described = {"id": {"name": "id", "data_type": "int", "description": "The key"}, "odd": None}
    manifest.write_text(json.dumps({"nodes": {"model.p.a": {"columns": described}, "model.p.b": None}}))
    catalog.write_text("{")
    expected = {"model.p.a": (Column("id", "int", "The key"),)}
    assert read_columns(manifest, catalog) == expected
    assert read_columns(manifest, None) == expected
    assert read_columns(None, tmp_path / "none.json") == {}
    odd = {"ID": {"name": "ID", "type": "NUMBER", "index": "1"}, "N": {"name": "N", "type": None, "index": 2}}
    catalog.write_text(json.dumps({"nodes": {"model.p.a": {"columns": odd}}, "sources": []}))
    assert read_columns(manifest, catalog) == {
        "model.p.a": (Column("ID", "NUMBER", "The key"), Column("N", None, None))
    }
