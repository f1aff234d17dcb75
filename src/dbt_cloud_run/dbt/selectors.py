"""A selector of `selectors.yml`, as the manifest holds it, written as the terms of `--select` and `--exclude`. Pure.

The rules are dbt's (`dbt/graph/cli.py`, 1.11). A definition that the options cannot say, such as a difference inside a
union, has no terms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbt_cloud_run.dbt.commands import Selection
from dbt_cloud_run.dbt.criteria import UndecidableError

_EXCLUDE = "exclude"
_BLANKS = frozenset(" ,\t\n")


def default_selector(selectors: Mapping[str, Any]) -> str | None:
    """The name of the selector that applies where a command selects nothing."""
    return next((name for name, body in selectors.items() if isinstance(body, dict) and body.get("default")), None)


def selection_of(name: str, selectors: Mapping[str, Any], *, indirect: str) -> Selection:
    """The selection that this selector stands for; raises `UndecidableError` where it cannot be written as terms."""
    body = selectors.get(name)
    definition = body.get("definition") if isinstance(body, dict) else None
    try:
        select, exclude = _difference(definition)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UndecidableError(f"the selector `{name}` of selectors.yml cannot be written as `--select`") from error
    return Selection(select, exclude, None, indirect)


def _difference(definition: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A definition at the root: terms to select, and terms to exclude."""
    if isinstance(definition, dict) and "union" in definition:
        parts = definition["union"]
        excluded = [part[_EXCLUDE] for part in parts if isinstance(part, dict) and set(part) == {_EXCLUDE}]
        kept = [part for part in parts if not (isinstance(part, dict) and set(part) == {_EXCLUDE})]
        return tuple(_term(part) for part in kept), tuple(_term(part) for group in excluded for part in group)
    if isinstance(definition, dict) and isinstance(definition.get(_EXCLUDE), list):
        rest = {key: value for key, value in definition.items() if key != _EXCLUDE}
        return (_term(rest),), tuple(_term(part) for part in definition[_EXCLUDE])
    return (_term(definition),), ()


def _term(part: Any) -> str:
    if isinstance(part, str):
        return part
    if "intersection" in part:
        if any(isinstance(one, dict) and not _is_criterion(one) for one in part["intersection"]):
            raise ValueError("a set inside an intersection")
        return ",".join(_term(one) for one in part["intersection"])
    if not _is_criterion(part):
        raise ValueError("a set inside a set")
    value = str(part["value"]).lower() if isinstance(part["value"], bool) else str(part["value"])
    if not value or not _BLANKS.isdisjoint(value) or part.get("indirect_selection"):
        raise ValueError("a value that is no term")
    before = "@" if _is_on(part, "childrens_parents") else _depth(part, "parents") + "+" * _is_on(part, "parents")
    after = "+" * _is_on(part, "children") + _depth(part, "children")
    return f"{before}{part['method']}:{value}{after}"


def _is_criterion(part: Mapping[str, Any]) -> bool:
    return "method" in part and "value" in part and _EXCLUDE not in part


def _is_on(part: Mapping[str, Any], key: str) -> bool:
    return str(part.get(key, False)).lower() == "true"


def _depth(part: Mapping[str, Any], key: str) -> str:
    depth = part.get(f"{key}_depth")
    return str(int(depth)) if depth is not None and _is_on(part, key) else ""
