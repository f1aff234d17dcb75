"""What the attempts have put into the warehouse, and what the manifest says of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.support.attempts import attempt, step
from tests.support.values import replace

from dbt_cloud_run.assets.asset import Asset
from dbt_cloud_run.assets.assets import asset_key, materializations
from dbt_cloud_run.assets.nodes import Repository, display_name, owners_of
from dbt_cloud_run.assets.nodes import tested_nodes as nodes_tested_by
from dbt_cloud_run.dbt.artifacts import Manifest, ManifestNode
from dbt_cloud_run.dbt.manifests import Manifests, share
from dbt_cloud_run.ledger.ledger import build_ledger
from dbt_cloud_run.model import Attempt, RunState

WEB = "https://github.com/acme/shop"


def node(unique_id: str, **more: Any) -> dict[str, Any]:
    resource_type, package, name = unique_id.split(".")[:3]
    relation = f'"db"."s"."{name}"' if resource_type in ("model", "seed", "snapshot", "source") else None
    config = {"materialized": {"model": "table"}.get(resource_type, resource_type)} | more.pop("config", {})
    usual = {
        "unique_id": unique_id,
        "name": name,
        "resource_type": resource_type,
        "package_name": package,
        "relation_name": relation,
        "original_file_path": f"{resource_type}s/{name}.sql",
        "config": config,
        "depends_on": {"nodes": more.pop("on", [])},
    }
    return usual | more


def manifest(*nodes: dict[str, Any], adapter: str | None = "duckdb", **more: Any) -> Manifest:
    kinds: dict[str, dict[str, Any]] = {"nodes": {}, "sources": {}, "unit_tests": {}}
    for one in nodes:
        kind = {"source": "sources", "unit_test": "unit_tests"}.get(one["resource_type"], "nodes")
        kinds[kind][one["unique_id"]] = one
    return msgspec.convert({"metadata": {"adapter_type": adapter, "project_name": "p"}, **kinds, **more}, Manifest)


def repository(**more: Any) -> Repository:
    return Repository(**{"project_directory": ".", "exists": lambda _: True, "web_url": WEB, "sha": "abc", **more})


def assets(rows: dict[str, str] | list[Attempt], made: Manifest | None, **more: Any) -> tuple[Asset, ...]:
    attempts = rows if isinstance(rows, list) else [attempt(1, step(4, "dbt build", rows, state=RunState.SUCCESS))]
    return materializations(build_ledger(attempts), made, repository(**more))


# -- keys


@pytest.mark.parametrize(
    ("adapter", "relation", "key"),
    [
        ("duckdb", '"shop"."analytics"."orders"', "duckdb://shop/analytics/orders"),
        ("bigquery", "`project-1`.`dataset`.`orders`", "bigquery://project-1/dataset/orders"),
        ("snowflake", "DB.SCHEMA.ORDERS", "snowflake://DB/SCHEMA/ORDERS"),
        ("sqlserver", "[db].[dbo].[orders]", "sqlserver://db/dbo/orders"),
        ("databricks", "`cat`.`s`.`my orders`", "databricks://cat/s/myorders"),
        ("spark", "s.orders", "spark://s/orders"),
        ("duckdb", '"a"."b"."o%r?d#e&r\ns"', "duckdb://a/b/orders"),
    ],
)
def test_a_key_is_the_relation_without_quotes(adapter: str, relation: str, key: str) -> None:
    assert asset_key(adapter, relation) == key


def test_a_key_has_a_limit() -> None:
    assert len(asset_key("duckdb", "x" * 2000)) == 512


# -- which


def test_there_are_none_without_a_manifest_or_an_adapter() -> None:
    assert assets({"model.p.a": "success"}, None) == ()
    assert assets({"model.p.a": "success"}, manifest(node("model.p.a"), adapter=None)) == ()


def test_what_was_built_and_has_a_relation_is_one() -> None:
    made = manifest(
        node("model.p.a"),
        node("model.p.view", config={"materialized": "view"}),
        node("model.p.warned"),
        node("model.p.eph", config={"materialized": "ephemeral"}),
        node("model.p.bare", relation_name=None),
        node("model.p.reused"),
        node("model.p.failed"),
        node("model.p.half"),
        node("seed.p.s"),
        node("snapshot.p.sn"),
        node("test.p.t"),
        node("operation.p.o"),
    )
    rows = dict.fromkeys(made.nodes, "success") | {
        "model.p.warned": "warn",
        "model.p.reused": "reused",
        "model.p.failed": "error",
        "model.p.half": "partial success",
        "test.p.t": "pass",
        "model.other.unknown": "success",
    }
    assert [asset.name for asset in assets(rows, made)] == ["a", "view", "warned", "s", "sn"]


def test_a_relation_that_only_the_results_know_counts() -> None:
    made = attempt(1, step(4, "dbt run", {"model.p.a": "success"}))
    [only] = made.steps
    assert only.results is not None
    row = replace(only.results.nodes[0], relation_name="db.s.a_v2")
    known = replace(only, results=replace(only.results, nodes=(row,)))
    [asset] = assets([replace(made, steps=(known,))], manifest(node("model.p.a", relation_name=None)))
    assert (asset.key, asset.relation_name) == ("duckdb://db/s/a_v2", "db.s.a_v2")


def test_an_asset_is_of_the_attempt_that_built_it_last() -> None:
    attempts = [
        attempt(1, step(4, "dbt build", {"model.p.a": "success", "model.p.b": "error"})),
        attempt(2, step(5, "dbt build", {"model.p.b": "success", "model.p.a": "skipped"})),
    ]
    a, b = assets(attempts, manifest(node("model.p.a"), node("model.p.b")))
    assert (a.attempt, a.run_id, a.step, a.status) == (1, 101, 4, "success")
    assert (b.attempt, b.run_id, b.step, b.status) == (2, 102, 5, "success")


# -- what is told of it


def test_upstream_is_traced_through_ephemeral_models_and_to_sources() -> None:
    made = manifest(
        node("source.p.raw"),
        node("seed.p.s"),
        node("model.p.eph1", on=["source.p.raw", "seed.p.s"], config={"materialized": "ephemeral"}, relation_name=None),
        node("model.p.eph2", on=["model.p.eph1"], config={"materialized": "ephemeral"}, relation_name=None),
        node("model.p.a", on=["model.p.eph2", "seed.p.s", "macro.p.m", "model.p.gone", "test.p.t"]),
    )
    [asset] = assets({"model.p.a": "success"}, made)
    assert asset.upstream == ("duckdb://db/s/raw", "duckdb://db/s/s")


def test_a_circle_ends() -> None:
    ephemeral = {"config": {"materialized": "ephemeral"}, "relation_name": None}
    made = manifest(
        node("model.p.x", on=["model.p.y"], **ephemeral),
        node("model.p.y", on=["model.p.x"], **ephemeral),
        node("model.p.a", on=["model.p.x"]),
    )
    assert assets({"model.p.a": "success"}, made)[0].upstream == ()


def test_a_long_chain_of_ephemeral_models_is_traced() -> None:
    """Longer than Python's stack is deep."""
    ephemeral = {"config": {"materialized": "ephemeral"}, "relation_name": None}
    chain = [node(f"model.p.e{n}", on=[f"model.p.e{n - 1}" if n else "seed.p.s"], **ephemeral) for n in range(3000)]
    made = manifest(node("seed.p.s"), *chain, node("model.p.a", on=["model.p.e2999"]))
    assert assets({"model.p.a": "success"}, made)[0].upstream == ("duckdb://db/s/s",)


def test_tests_are_counted_by_what_they_cover() -> None:
    made = manifest(
        node("model.p.a"),
        node("model.p.b"),
        node("test.p.generic", attached_node="model.p.a", on=["model.p.a", "model.p.b"]),
        node("test.p.singular", on=["model.p.a", "model.p.b"]),
        node("unit_test.p.u", on=["model.p.b"]),
    )
    rows = {"model.p.a": "success", "model.p.b": "success"}
    rows |= {"test.p.generic": "pass", "test.p.singular": "fail", "unit_test.p.u": "pass"}
    a, b = assets(rows, made)
    assert (a.tests, b.tests) == ({"fail": 1, "pass": 1}, {"fail": 1, "pass": 1})


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        (7, 7),
        ("7", 7),
        (7.0, 7),
        (0, 0),
        (-1, None),
        (None, None),
        (True, None),
        ("many", None),
        ([7], None),
        ("nan", None),
    ],
)
def test_rows_affected_is_a_number_or_nothing(rows: object, count: int | None) -> None:
    made = attempt(1, step(4, "dbt run", {"model.p.a": "success"}))
    [only] = made.steps
    assert only.results is not None
    row = replace(only.results.nodes[0], adapter_response={"rows_affected": rows})
    known = replace(only, results=replace(only.results, nodes=(row,)))
    [asset] = assets([replace(made, steps=(known,))], manifest(node("model.p.a")))
    assert asset.rows_affected == count
    assert asset.adapter_response == {"rows_affected": rows}


def test_a_file_is_linked_where_it_is_in_the_repository() -> None:
    made = manifest(node("model.p.a", original_file_path="models/näme a.sql"), node("model.package.b"))
    a, b = assets({"model.p.a": "success", "model.package.b": "success"}, made, project_directory="dbt/shop")
    assert a.file == "dbt/shop/models/näme a.sql"
    assert a.url == f"{WEB}/blob/abc/dbt/shop/models/n%C3%A4me%20a.sql"
    assert (b.file, b.url) == (None, None), "another package's file is not in this repository"


@pytest.mark.parametrize("path", ["../a.sql", "/etc/passwd", "models/../../a.sql", "..\\a.sql"])
def test_a_file_outside_of_the_repository_is_none(path: str) -> None:
    [asset] = assets({"model.p.a": "success"}, manifest(node("model.p.a", original_file_path=path)))
    assert (asset.file, asset.url) == (None, None)


def test_no_link_without_a_repository_a_commit_or_the_file() -> None:
    made = manifest(node("model.p.a"))
    for lacking in ({"web_url": None}, {"sha": None}, {"exists": lambda _: False}):
        assert assets({"model.p.a": "success"}, made, **lacking)[0].url is None


# -- owners and names


def one(made: Manifest) -> ManifestNode:
    return next(iter(made))


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        ({"name": "Team", "email": "t@e.com"}, ("Team",)),
        ({"email": "t@e.com"}, ("t@e.com",)),
        ({"name": "", "email": ["a@e.com", "b@e.com"]}, ("a@e.com", "b@e.com")),
        ("Ann", ("Ann",)),
        (["Ann", {"name": "Bob"}, "Ann"], ("Ann", "Bob")),
        (7, ()),
        (None, ()),
        ("  ", ()),
    ],
)
def test_owners_come_in_many_shapes(owner: object, names: tuple[str, ...]) -> None:
    made = manifest(node("model.p.a", config={"meta": {"owner": owner}}))
    assert owners_of(one(made), made) == names


def test_the_groups_owner_comes_first_and_none_twice() -> None:
    groups = {
        "group.p.finance": {"name": "finance", "package_name": "p", "owner": {"name": "Finance"}},
        "group.q.finance": {"name": "finance", "package_name": "q", "owner": {"name": "Others"}},
    }
    made = manifest(
        node("model.p.a", config={"group": "finance", "meta": {"owner": ["Ann", "Finance"]}}), groups=groups
    )
    assert owners_of(one(made), made) == ("Finance", "Ann")
    unknown = manifest(node("model.p.a", config={"group": "unknown"}), groups=groups)
    assert owners_of(one(unknown), unknown) == ()


def test_names_are_those_of_dbts_log() -> None:
    def name(unique_id: str, **more: Any) -> str:
        return display_name(one(manifest(node(unique_id, **more))))

    assert name("model.p.a") == "a"
    assert name("model.p.a", version=2) == "a.v2"
    assert name("source.p.t", source_name="raw") == "raw.t"
    assert name("model.p.a", name="") == "model.p.a"


def test_what_a_test_covers() -> None:
    def covered(unique_id: str, **more: Any) -> tuple[str, ...]:
        return nodes_tested_by(one(manifest(node(unique_id, **more))))

    assert covered("test.p.t", attached_node="model.p.a", on=["model.p.a", "model.p.b"]) == ("model.p.a",)
    assert covered("test.p.t", on=["model.p.a", "model.p.a"]) == ("model.p.a",)
    assert covered("model.p.a", on=["model.p.b"]) == ()


# -- manifests of single steps


def test_each_steps_own_manifest_decides_what_it_built() -> None:
    """Two builds, with `--vars 'mode: a'` and `--vars 'mode: b'`, which enable other models."""
    first = manifest(node("model.p.a1"), node("model.p.a2", relation_name='"db"."old"."a2"'))
    second = manifest(node("model.p.b1", on=["model.p.b2"]), node("model.p.b2"))
    run = attempt(
        1,
        step(4, "dbt build --vars 'mode: a'", {"model.p.a1": "success", "model.p.a2": "success"}),
        step(5, "dbt build --vars 'mode: b'", {"model.p.b1": "success", "model.p.b2": "success"}),
    )
    ledger = build_ledger([run])
    known = Manifests().with_run(run.run_id, second, {4: first, 5: second})
    found = materializations(ledger, known, repository())
    assert [asset.key for asset in found] == [
        "duckdb://db/s/a1",
        "duckdb://db/old/a2",
        "duckdb://db/s/b1",
        "duckdb://db/s/b2",
    ]
    assert found[2].upstream == ("duckdb://db/s/b2",)
    assert [asset.unique_id for asset in materializations(ledger, second, repository())] == ["model.p.b1", "model.p.b2"]


def test_a_step_without_a_manifest_of_its_own_is_described_by_the_newest() -> None:
    newest = manifest(node("model.p.a"))
    run = attempt(1, step(4, "dbt build", {"model.p.a": "success"}))
    assert [asset.name for asset in materializations(build_ledger([run]), Manifests(newest), repository())] == ["a"]


def test_manifests_of_one_project_are_kept_once() -> None:
    first = manifest(node("model.p.a"), node("model.p.b"), invocation="i1")
    again = manifest(node("model.p.a"), node("model.p.b", description="new"), invocation="i2")
    share(again, first)
    assert Manifests().with_run(1, again, {4: first, 5: again}).of(1, 4) is first
    assert again.nodes["model.p.a"] is first.nodes["model.p.a"]
    assert again.nodes["model.p.b"].description == "new"
    assert first.nodes["model.p.b"].description is None
    assert again.sources is first.sources


@pytest.mark.parametrize(
    ("kind", "more", "key"),
    [
        ("seed", {"database": "db", "schema": "raw"}, "duckdb://db/raw/x"),
        ("snapshot", {"database": "db", "schema": "hist", "alias": "y"}, "duckdb://db/hist/y"),
        ("seed", {"database": None, "schema": "raw"}, "duckdb://raw/x"),
        ("seed", {}, None),
        ("model", {"database": "db", "schema": "raw"}, None),
    ],
)
def test_seeds_and_snapshots_of_old_versions_have_their_relation_from_its_parts(
    kind: str, more: dict[str, Any], key: str | None
) -> None:
    """dbt 1.0 to 1.3 writes `relation_name: null` for them."""
    unique_id = f"{kind}.p.x"
    made = manifest(node(unique_id, relation_name=None, **more), node("model.p.child", on=[unique_id]))
    found = {asset.unique_id: asset for asset in assets({unique_id: "success", "model.p.child": "success"}, made)}
    assert (found[unique_id].key if unique_id in found else None) == key
    assert found["model.p.child"].upstream == ((key,) if key else ())
