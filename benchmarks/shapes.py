"""The nodes and rows of dbt's artifacts, field by field as dbt-core 1.11 writes them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import md5, sha256
from typing import Any

SHOP = "warehouse"
ADAPTER, DATABASE, SCHEMA = "postgres", "analytics", "prod"
NOW = datetime(2026, 5, 27, 4, 0, tzinfo=UTC)  # when the run's results were written
EXECUTED = "build"
Column = tuple[str, str, str]  # name, type, description


def invocation() -> str:
    return "6b2c1f0e-9d5a-4c7e-8a44-1f5d2e90c3b7"


def metadata(schema: str, *, is_manifest: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {
        "dbt_schema_version": f"https://schemas.getdbt.com/dbt/{schema}.json",
        "dbt_version": "1.11.2",
        "generated_at": as_time(NOW),
        "invocation_id": invocation(),
        "invocation_started_at": as_time(NOW - timedelta(minutes=30)),
        "env": {},
    }
    if is_manifest:
        found |= {
            "project_name": SHOP,
            "project_id": md5(SHOP.encode()).hexdigest(),  # noqa: S324 - as dbt makes it
            "user_id": None,
            "send_anonymous_usage_stats": False,
            "adapter_type": ADAPTER,
            "quoting": {"database": True, "schema": True, "identifier": True, "column": None},
            "run_started_at": as_time(NOW - timedelta(minutes=30)),
        }
    return found


def name_of(unique_id: str) -> str:
    return unique_id.split(".")[-1]


def relation_of(unique_id: str) -> str:
    if unique_id.startswith("source."):
        _, _, source, table = unique_id.split(".")
        return f'"{DATABASE}"."{source}"."{table}"'
    return f'"{DATABASE}"."{SCHEMA}"."{name_of(unique_id)}"'


def columns_of(columns: Sequence[Column]) -> dict[str, Any]:
    return {
        name: {
            "name": name,
            "description": description,
            "meta": {},
            "data_type": kind,
            "constraints": [],
            "quote": None,
            "config": {"meta": {}, "tags": []},
            "tags": [],
            "granularity": None,
            "doc_blocks": [],
        }
        for name, kind, description in columns
    }


def model_node(
    unique_id: str,
    folder: str,
    group: str,
    text: str,
    columns: Sequence[Column],
    parents: list[str],
    rng: random.Random,
) -> dict[str, Any]:
    name = name_of(unique_id)
    path = f"{folder}/{group}/{name}.sql"
    raw, compiled = _sql(parents, columns)
    meta = {"owner": f"{group}@{SHOP}.example", "tier": rng.choice(("gold", "silver", "bronze")), "pii": False}
    tags = [folder, rng.choice(("daily", "hourly", "weekly"))]
    materialized = {"staging": "view", "intermediate": "ephemeral" if rng.random() < 0.1 else "table"}.get(
        folder, "table"
    )
    return {
        **_head(unique_id, "model", path, f"models/{path}", [SHOP, folder, group, name]),
        "checksum": {"name": "sha256", "checksum": sha256(raw.encode()).hexdigest()},
        "config": {**_config(tags, meta, group), "materialized": materialized, **_MODEL_CONFIG},
        "tags": tags,
        "description": text,
        "columns": columns_of(columns),
        "meta": meta,
        "group": group,
        "docs": {"show": True, "node_color": None},
        "patch_path": f"{SHOP}://models/{folder}/{group}/_{group}.yml",
        "build_path": None,
        "unrendered_config": {"materialized": materialized, "tags": tags, "group": group, "meta": meta},
        "created_at": NOW.timestamp() - rng.random() * 60,
        "relation_name": None if materialized == "ephemeral" else relation_of(unique_id),
        "raw_code": raw,
        "doc_blocks": [],
        "language": "sql",
        "refs": [{"name": name_of(one), "package": None, "version": None} for one in parents if one[0] == "m"],
        "sources": [one.split(".")[2:] for one in parents if one[0] == "s"],
        "metrics": [],
        "functions": [],
        "depends_on": {"macros": [f"macro.{SHOP}.macro_{rng.randrange(500)}"], "nodes": parents},
        "compiled_path": f"target/compiled/{SHOP}/models/{path}",
        **_compiled(compiled),
        "access": "protected",
        "constraints": [],
        "version": None,
        "latest_version": None,
        "deprecation_date": None,
        "primary_key": [columns[0][0]],
        "time_spine": None,
    }


def test_node(unique_id: str, folder: str, group: str, column: str, rng: random.Random) -> dict[str, Any]:
    model, kind = name_of(unique_id), rng.choice(("not_null", "unique"))
    name = f"{kind}_{model}_{column}"
    number = md5(name.encode()).hexdigest()[:10]  # noqa: S324 - as dbt makes it
    test_id = f"test.{SHOP}.{name}.{number}"
    where = f"models/{folder}/{group}/_{group}.yml"
    compiled = f"\n\n\n\nselect {column}\nfrom {relation_of(unique_id)}\nwhere {column} is null\n\n\n"
    return {
        **_head(test_id, "test", f"{name}.sql", where, [SHOP, folder, group, name], name=name),
        "schema": f"{SCHEMA}_dbt_test__audit",
        "checksum": {"name": "none", "checksum": ""},
        "config": {**_config([], {}, None), **_TEST_CONFIG},
        "tags": [],
        "description": "",
        "columns": {},
        "meta": {},
        "group": group,
        "docs": {"show": True, "node_color": None},
        "patch_path": None,
        "build_path": None,
        "unrendered_config": {},
        "created_at": NOW.timestamp() - rng.random() * 60,
        "relation_name": None,
        "raw_code": f"{{{{ test_{kind}(**_dbt_generic_test_kwargs) }}}}",
        "doc_blocks": [],
        "language": "sql",
        "refs": [{"name": model, "package": None, "version": None}],
        "sources": [],
        "metrics": [],
        "functions": [],
        "depends_on": {"macros": [f"macro.dbt.test_{kind}"], "nodes": [unique_id]},
        "compiled_path": f"target/compiled/{SHOP}/{where}/{name}.sql",
        **_compiled(compiled),
        "column_name": column,
        "file_key_name": f"models.{model}",
        "attached_node": unique_id,
        "test_metadata": {
            "name": kind,
            "kwargs": {"column_name": column, "model": f"{{{{ get_where_subquery(ref('{model}')) }}}}"},
            "namespace": None,
        },
    }


def source_node(source: str, table: str, columns: Sequence[Column]) -> dict[str, Any]:
    unique_id, where = f"source.{SHOP}.{source}.{table}", f"models/staging/_{source}.yml"
    return {
        **_head(unique_id, "source", where, where, [SHOP, "staging", source, table], name=table, schema=source),
        "source_name": source,
        "source_description": f"What the loader brings into {source}.",
        "loader": "",
        "identifier": table,
        "quoting": {"database": None, "schema": None, "identifier": None, "column": None},
        "loaded_at_field": None,
        "loaded_at_query": None,
        "freshness": None,
        "external": None,
        "description": "",
        "columns": columns_of(columns),
        "meta": {},
        "source_meta": {},
        "tags": [],
        "config": {"enabled": True, "event_time": None, "freshness": None, "loaded_at_field": None,
                   "loaded_at_query": None, "meta": {}, "tags": []},
        "patch_path": None,
        "unrendered_config": {},
        "relation_name": relation_of(unique_id),
        "created_at": NOW.timestamp(),
        "unrendered_database": None,
        "unrendered_schema": None,
        "doc_blocks": [],
    }  # fmt: skip


def exposure_node(name: str, parents: list[str], text: str) -> dict[str, Any]:
    head = _head(
        f"exposure.{SHOP}.{name}", "exposure", "marts/_use.yml", "models/marts/_use.yml", [SHOP, "marts", name]
    )
    return {
        **{key: value for key, value in head.items() if key not in ("database", "schema", "alias")},
        "type": "dashboard",
        "owner": {"email": f"bi@{SHOP}.example", "name": "Business intelligence"},
        "description": text,
        "label": name.replace("_", " "),
        "maturity": "high",
        "meta": {},
        "tags": [],
        "config": {"enabled": True, "tags": [], "meta": {}},
        "unrendered_config": {},
        "url": f"https://bi.{SHOP}.example/dashboards/{name}",
        "depends_on": {"macros": [], "nodes": parents},
        "refs": [{"name": name_of(one), "package": None, "version": None} for one in parents],
        "sources": [],
        "metrics": [],
        "created_at": NOW.timestamp(),
    }


def group_node(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "resource_type": "group",
        "package_name": SHOP,
        "path": "_groups.yml",
        "original_file_path": "models/_groups.yml",
        "unique_id": f"group.{SHOP}.{name}",
        "owner": {"email": f"{name}@{SHOP}.example", "name": name.title()},
        "description": None,
        "config": {"meta": {}},
    }


def macro_node(words: str, number: int) -> dict[str, Any]:
    name = f"macro_{number}"
    body = "\n".join(
        f"  {{% set {words}_{n} = adapter.dispatch('{words}', 'dbt')(relation, {n}) %}}" for n in range(12)
    )
    return {
        "name": name,
        "resource_type": "macro",
        "package_name": SHOP,
        "path": f"macros/{name}.sql",
        "original_file_path": f"macros/{name}.sql",
        "unique_id": f"macro.{SHOP}.{name}",
        "macro_sql": f"{{% macro {name}(relation) %}}\n{body}\n{{% endmacro %}}",
        "depends_on": {"macros": []},
        "description": "",
        "meta": {},
        "docs": {"show": True, "node_color": None},
        "config": {"meta": {}, "docs": {"show": True, "node_color": None}},
        "patch_path": None,
        "arguments": [],
        "created_at": NOW.timestamp(),
        "supported_languages": None,
    }


def _compiled(code: str) -> dict[str, Any]:
    return {
        "compiled": True,
        "compiled_code": code,
        "extra_ctes_injected": True,
        "extra_ctes": [],
        "contract": {"enforced": False, "alias_types": True, "checksum": None},
    }


def _head(
    unique_id: str, kind: str, path: str, file: str, fqn: list[str], *, name: str | None = None, schema: str = SCHEMA
) -> dict[str, Any]:
    name = name or name_of(unique_id)
    found = {
        "database": DATABASE,
        "schema": schema,
        "name": name,
        "resource_type": kind,
        "package_name": SHOP,
        "path": path,
        "original_file_path": file,
        "unique_id": unique_id,
        "fqn": fqn,
    }
    return found if kind == "source" else {**found, "alias": name}


def _config(tags: list[str], meta: dict[str, Any], group: str | None) -> dict[str, Any]:
    return {
        "enabled": True,
        "alias": None,
        "schema": None,
        "database": None,
        "tags": tags,
        "meta": meta,
        "group": group,
    }


_TEST_CONFIG: dict[str, Any] = {
    "schema": "dbt_test__audit",
    "materialized": "test",
    "severity": "ERROR",
    "store_failures": None,
    "store_failures_as": None,
    "where": None,
    "limit": None,
    "fail_calc": "count(*)",
    "warn_if": "!= 0",
    "error_if": "!= 0",
}

_MODEL_CONFIG: dict[str, Any] = {
    "incremental_strategy": None,
    "batch_size": None,
    "lookback": 1,
    "begin": None,
    "persist_docs": {},
    "post-hook": [],
    "pre-hook": [],
    "quoting": {},
    "column_types": {},
    "full_refresh": None,
    "unique_key": None,
    "on_schema_change": "ignore",
    "on_configuration_change": "apply",
    "grants": {},
    "packages": [],
    "docs": {"show": True, "node_color": None},
    "contract": {"enforced": False, "alias_types": True},
    "event_time": None,
    "concurrent_batches": None,
    "access": "protected",
    "freshness": None,
}


def _sql(parents: Sequence[str], columns: Sequence[Column]) -> tuple[str, str]:
    """The model's SQL as it is written, and as dbt compiles it."""
    names = [name_of(parent) for parent in parents]
    asked = [
        f"ref('{name}')" if parent[0] == "m" else "source('{}', '{}')".format(*parent.split(".")[2:])
        for parent, name in zip(parents, names, strict=True)
    ]
    picked = ",\n".join(
        f"        coalesce({names[n % len(names)]}.{column}, null)::{kind} as {column}"
        for n, (column, kind, _) in enumerate(columns)
    )
    key = columns[0][0]
    joins = "\n".join(f"    left join {name} on {name}.{key} = {names[0]}.{key}" for name in names[1:])
    tail = f"\njoined as (\n    select\n{picked}\n    from {names[0]}\n{joins}\n)\n\nselect * from joined"
    raw = "with " + ",\n".join(
        f"{name} as (\n    select * from {{{{ {call} }}}}\n)" for name, call in zip(names, asked, strict=True)
    )
    compiled = "with " + ",\n".join(
        f"{name} as (\n    select * from {relation_of(parent)}\n)" for name, parent in zip(names, parents, strict=True)
    )
    return f"{raw},{tail}", f"{compiled},{tail}"


def as_time(moment: datetime) -> str:
    """As dbt writes a time."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
