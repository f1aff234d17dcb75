"""What DuckDB itself says in this version, as dbt hands it on, and how it is judged."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from dbt_cloud_run.dbt.failures import explain, explain_log
from dbt_cloud_run.planned import Retryability

HEAD = "Runtime Error in model orders (models/orders.sql)\n  "
REFUSED = [
    "select read_timeout from (select 1 as id)",
    "select * from connection_reset",
    "select from from x",
    "select cast('n/a' as integer)",
    "select 1000000::integer * 1000000::integer",
    "create table t (id integer primary key); insert into t values (1), (1)",
    "create table t (id integer not null); insert into t values (null)",
    "create table t (id integer check (id > 0)); insert into t values (0)",
    "create table t (id integer); create view v as select nope from t",
    "select * from read_parquet('missing_*.parquet')",
    "select * from read_csv('missing.csv')",
    "select nope_function(1)",
    "select sum(id) from (select 1 as id, 2 as x) group by x having y > 1",
    "select 1 union select 1, 2",
    "select strptime('x', '%Y-%m-%d')",
    "drop schema nope",
    "create table t (id integer); insert into t values (1, 2)",
    "select id from (select 1 as id) a, (select 2 as id) b",
]


def _error(connection: duckdb.DuckDBPyConnection, statements: str) -> str:
    with pytest.raises(duckdb.Error) as caught:
        connection.execute(statements).fetchall()
    return HEAD + str(caught.value).replace("\n", "\n  ")


@pytest.mark.parametrize("statements", REFUSED)
def test_what_duckdb_refuses_every_time(statements: str) -> None:
    message = _error(duckdb.connect(), statements)
    for judgement in (
        explain("error", message, adapter_type="duckdb"),
        explain("error", message),
        explain_log(message),
    ):
        assert judgement.retryability is Retryability.DETERMINISTIC, message


def test_conflict_of_two_transactions_passes(tmp_path: Path) -> None:
    first = duckdb.connect(tmp_path / "shop.duckdb")
    first.execute("create table t as select 1 as id")
    second = first.cursor()
    first.execute("begin; update t set id = 2")
    second.execute("begin")
    message = _error(second, "update t set id = 3")
    assert explain("error", message, adapter_type="duckdb").retryability is Retryability.TRANSIENT, message


def test_object_that_another_statement_made_meanwhile_passes() -> None:
    message = _error(duckdb.connect(), "create table t (id integer); create table t (id integer)")
    assert explain("error", message, adapter_type="duckdb").retryability is Retryability.TRANSIENT, message
