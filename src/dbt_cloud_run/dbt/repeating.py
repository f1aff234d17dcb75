"""Which nodes may be executed a second time without leaving other data behind than the first time. Pure."""

from __future__ import annotations

from dbt_cloud_run.dbt.artifacts import ManifestNode

_REBUILT = frozenset({"view", "table", "ephemeral", "materialized_view", "dynamic_table"})
_REPLACING = frozenset({"insert_overwrite", "microbatch"})
"""Incremental strategies that replace what they write, whatever the key."""


def may_repeat(node: ManifestNode, *, full_refresh: bool) -> bool:
    """Whether a node that succeeded may run once more.

    An incremental model without a key appends its rows a second time, and a materialization of the project's own may
    do anything. `full_refresh`: the command rebuilds incremental models.
    """
    if node.resource_type == "operation":
        return False
    if node.resource_type != "model":
        return True
    materialized = node.config.materialized or "view"
    if materialized in _REBUILT:
        return True
    if materialized != "incremental":
        return False
    if is_full_refresh(node, full_refresh=full_refresh):
        return True
    strategy = node.config.incremental_strategy
    return strategy in _REPLACING or (bool(node.config.unique_key) and strategy != "append")


def is_full_refresh(node: ManifestNode, *, full_refresh: bool) -> bool:
    """Whether the model is rebuilt from its beginning; its own setting is stronger than the command's."""
    own = node.config.full_refresh
    return own if isinstance(own, bool) else full_refresh
