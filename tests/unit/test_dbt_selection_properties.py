"""Selections over random projects, each evaluated by dbt-core's own node selector and by ours."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.support.dbt_graphs import DbtItself, manifest_of, node, ours
from tests.support.dbt_projects import NAMES, projects

from dbt_cloud_run.dbt.blocking import blocked_by
from dbt_cloud_run.dbt.commands import Selection, parse_command
from dbt_cloud_run.dbt.criteria import UndecidableError
from dbt_cloud_run.dbt.naming import name_exactly, narrow_exactly
from dbt_cloud_run.dbt.selection import Selector, executed, executed_types, is_ephemeral, model_of
from dbt_cloud_run.retry import commands

VERBS = ("build", "run", "test", "seed", "snapshot")


def _failed_set(draw: st.DataObject, selector: Selector, verb: str) -> frozenset[str]:
    command = parse_command(f"dbt {verb}")
    assert command is not None
    possible = sorted(
        unique_id
        for unique_id in selector.of_types(executed_types(command))
        if not is_ephemeral(selector.nodes[unique_id])
    )
    if not possible:
        return frozenset()
    failed = set(draw.draw(st.lists(st.sampled_from(possible), min_size=1, max_size=6, unique=True)))
    if verb == "build":  # a unit test that fails keeps its model from running
        carriers = {model_of(selector, name) for name in failed if name.startswith("unit_test.")} - {None}
        failed |= {name for name in carriers if name is not None and not is_ephemeral(selector.nodes[name])}
    return frozenset(failed)


@settings(max_examples=60)
@given(content=projects(), verb=st.sampled_from(VERBS), mode=st.sampled_from(["empty", "cautious"]), data=st.data())
def test_a_failed_set_is_named_exactly_for_dbt_itself(
    content: dict[str, Any], verb: str, mode: str, data: st.DataObject
) -> None:
    selector = Selector(ours(content))
    failed = _failed_set(data, selector, verb)
    command = parse_command(f"dbt {verb} --select tag:daily --vars '{{x: 1}}'")
    assert command is not None
    exact = name_exactly(selector, failed, command, indirect=mode)
    if not failed:
        assert exact is None
        return
    if exact is None:
        assert mode != "empty"
        return
    line = command.with_selection(exact.select, exact.exclude, indirect=mode).render()
    assert DbtItself(content).executes(line) == failed, line


@settings(max_examples=40)
@given(content=projects(), verb=st.sampled_from(VERBS), limit=st.integers(90, 180), data=st.data())
def test_a_divided_command_runs_each_node_once_and_none_before_what_it_waits_for(
    content: dict[str, Any], verb: str, limit: int, data: st.DataObject
) -> None:
    selector = Selector(ours(content))
    failed = _failed_set(data, selector, verb)
    command = parse_command(f"dbt {verb} --select state:modified")
    assert command is not None
    if not failed:
        return
    with patch.object(commands, "MAX_COMMAND_LENGTH", limit):
        lines = commands.rewrite(selector, command, failed, may_divide=True).commands
    event(f"{min(len(lines), 3)} commands")
    dbt = DbtItself(content)
    parts = [dbt.executes(line) for line in lines]
    assert not lines or sorted(one for part in parts for one in part) == sorted(failed)
    for number, part in enumerate(parts):
        held = blocked_by(selector, part, verb)
        assert not held & frozenset().union(*parts[:number])


ATOMS = st.one_of(
    st.sampled_from(
        [
            "orders",
            "staging",
            "shop.orders",
            "shop",
            "*",
            "sta*",
            "orders.v1",
            "orders_v1",
            "fqn:lib.staging",
            "fqn:*",
            "tag:daily",
            "tag:*ly",
            "package:lib",
            "package:this",
            "resource_type:model",
            "resource_type:test",
            "resource_type:unit_test",
            "test_type:unit",
            "test_type:generic",
            "test_type:singular",
            "test_type:data",
            "test_name:not_null",
            "unit_test:orders",
            "unit_test:shop.*",
            "exposure:*",
            "source:staging",
            "source:shop.staging.orders",
            "config.materialized:view",
            "config.enabled:true",
            "config.tags:daily",
            "version:latest",
            "version:none",
            "file:orders.sql",
            "orders.sql",
            "path:models/staging",
            "path:models/*.sql",
            "path:models/**/orders*",
            "models/orders.sql",
            "path:seeds",
            "file:staging*",
            "access:protected",
        ]
    ),
    st.sampled_from([name for name in NAMES if not set(name) & set(" ,+")]),
)


@st.composite
def terms(draw: st.DrawFn) -> str:
    atom = draw(ATOMS)
    before = draw(st.sampled_from(["", "", "", "+", "1+", "2+", "@"]))
    after = draw(st.sampled_from(["", "", "", "+", "+1", "+2"])) if before != "@" else ""
    return f"{before}{atom}{after}"


selections = st.lists(st.lists(terms(), min_size=1, max_size=2).map(",".join), max_size=3)


@settings(max_examples=80)
@given(
    content=projects(),
    select=selections,
    exclude=selections,
    indirect=st.sampled_from(["eager", "cautious", "buildable", "empty"]),
)
def test_a_selection_means_what_dbt_makes_of_it(
    content: dict[str, Any], select: list[str], exclude: list[str], indirect: str
) -> None:
    try:
        found = Selector(ours(content)).select(Selection(tuple(select), tuple(exclude), None, indirect))
    except UndecidableError:
        assert any("path:" in term or "/" in term for term in (*select, *exclude))
        return
    expected = DbtItself(content).select(select, exclude, indirect)
    assert found == expected, sorted(found ^ expected)


@settings(max_examples=40)
@given(content=projects(), verb=st.sampled_from(["build", "test", "run"]), select=selections, data=st.data())
def test_an_old_selection_is_narrowed_exactly(
    content: dict[str, Any], verb: str, select: list[str], data: st.DataObject
) -> None:
    selector = Selector(ours(content))
    command = parse_command(f"dbt {verb}")
    assert command is not None
    if select:
        command = command.with_selection(select)
    try:
        does = executed(selector, selector.select(command.selection), command)
    except UndecidableError:
        assert narrow_exactly(selector, frozenset(selector.nodes), command) is None
        return
    if not does:
        return
    failed = set(data.draw(st.lists(st.sampled_from(sorted(does)), min_size=1, unique=True)))
    if verb == "build":
        failed |= {model for name in failed if (model := model_of(selector, name)) in does and "unit" in name}
    narrowed = narrow_exactly(selector, frozenset(failed), command)
    event("narrowed" if narrowed else "not narrowed")
    if narrowed is not None:
        mode = narrowed.indirect if verb != "run" else None
        line = command.with_selection(narrowed.select, narrowed.exclude, indirect=mode).render()
        assert DbtItself(content).executes(line) == failed, line


@pytest.mark.parametrize(("longest", "is_found"), [(None, True), (60, True), (20, False)])
def test_exclusions_that_no_command_holds_are_given_up(longest: int | None, is_found: bool) -> None:
    selector = Selector(ours(manifest_of([node("model", "shop", [], name) for name in ("a", "orders", "payments")])))
    command = parse_command("dbt run")
    assert command is not None
    (wanted,) = (one for one in selector.nodes if one.endswith(".a"))
    narrowed = narrow_exactly(selector, frozenset({wanted}), command, longest=longest)
    assert (narrowed is not None) is is_found


@pytest.mark.parametrize(
    "term", ["state:modified+", "result:error", "source_status:fresher+", "nonsense:x", "@x+", "path:../x"]
)
def test_what_a_manifest_cannot_decide_is_said(term: str) -> None:
    selector = Selector(ours(manifest_of([node("model", "shop", [], "orders")])))
    with pytest.raises(UndecidableError):
        selector.select(Selection(select=(term,)))
