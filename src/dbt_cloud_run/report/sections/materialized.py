"""The assets: what is now in the warehouse.

Grouped by the folder that a person knows the layer by (`models/marts`). The layers that build on the others come first,
as the lineage says, not the folder's name: so marts before intermediate before staging before seeds, whatever they are
called. Within a folder those with failed or warned tests come first, then by name.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from dbt_cloud_run.cost import total
from dbt_cloud_run.dbt.statuses import Kind, kind
from dbt_cloud_run.report.markdown import escape
from dbt_cloud_run.report.markdown.layout import Block, Section
from dbt_cloud_run.report.remembered import remembered
from dbt_cloud_run.report.wording import (
    ICONS,
    RECOVERED_ICON,
    UNKNOWN,
    data_size,
    duration,
    main_costs,
    plural,
    slot_time,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dbt_cloud_run.assets.asset import Asset
    from dbt_cloud_run.cost import Cost
    from dbt_cloud_run.report.detail import Detail
    from dbt_cloud_run.report.facts import Facts

_ORDER_NOTE = (
    "Grouped by folder, layers that build on the others first; "
    "within a folder what has failed or warned tests first, then by name. "
    "Rows are those that the adapter reports as affected."
)
_COLUMNS = ("", "Asset", "Built as", "Rows:", "Seconds:", "Tests", "Owner")  # a colon: numbers, to the right
_COST_AFTER = _COLUMNS.index("Seconds:") + 1
_MEASURES = {
    "bytes_billed": ("Billed", data_size),
    "bytes_processed": ("Processed", data_size),
    "slot_ms": ("Slot&nbsp;time", slot_time),
}
_LONGEST = 64  # characters of a name; the page has room for about 900 pixels of table
_WORST = {Kind.FAILED: 0, Kind.WARNED: 1, Kind.SKIPPED: 2, Kind.SUCCEEDED: 3}


def materialized(facts: Facts, detail: Detail) -> Section | None:
    """The assets in one table while a reader can take them in, else in one folded table a folder; None without any."""
    assets = facts.data.assets
    if not assets:
        return None
    groups = _groups_with_rows(facts)
    measures = _measures(assets)
    table_head = _head(measures)
    where = f"In {escape.code(home, 160)} unless stated otherwise." if (home := _home(facts)) else ""
    note = f"{where} {_ORDER_NOTE if len(assets) > 1 else ''}".strip()
    if facts.emptiness:
        note = f"⚠️ {escape.text(facts.emptiness, 500)} {note}".strip()
    blocks = [Block([f"{note}\n\n"], noun="note")] if note else []
    if len(assets) <= detail.open_rows:
        rows = [row for group in groups for row in _under_its_folder(*group, measures)]
        blocks.append(Block(rows, table_head, "\n", noun="asset"))
    else:
        for folder, group, rows in groups:
            title = " · ".join(_totals(f"<b>{escape.html(folder, 120)}</b>", group))
            head = f"<details><summary>{title}</summary>\n\n{table_head}"
            blocks.append(Block(rows, head, "\n</details>\n\n", noun="asset"))
    return Section("Assets", blocks, importance=3, title=f"#### Assets materialized ({len(assets):,})\n\n")


@remembered
def _groups_with_rows(facts: Facts) -> list[tuple[str, list[Asset], list[str]]]:
    recovered = {found.unique_id for found in facts.recovered}
    columns = _Columns(_home(facts), _measures(facts.data.assets), lru_cache(maxsize=512)(escape.text))
    return [
        (folder, group, [_row(facts, asset, columns, recovered=asset.unique_id in recovered) for asset in group])
        for folder, group in _groups(facts, facts.data.assets)
    ]


def _groups(facts: Facts, assets: Sequence[Asset]) -> list[tuple[str, list[Asset]]]:
    depths = layer_depths(assets)
    groups: defaultdict[str, list[Asset]] = defaultdict(list)
    for asset in assets:
        groups[_folder(facts, asset)].append(asset)
    for group in groups.values():
        group.sort(key=lambda asset: (_worst_test(asset), asset.name, asset.key))
    depth = {folder: sum(depths[asset.key] for asset in group) / len(group) for folder, group in groups.items()}
    return sorted(groups.items(), key=lambda item: (-depth[item[0]], item[0]))


def layer_depths(assets: Iterable[Asset]) -> Mapping[str, int]:
    """Asset key -> length of the longest path to it over the assets that it is made of; 0 builds on none of them."""
    upstream = {asset.key: asset.upstream for asset in assets}
    depths: dict[str, int] = {}
    for start in upstream:
        stack = [start]
        entered: set[str] = set()
        while stack:
            key = stack[-1]
            waiting = [] if key in entered else [up for up in upstream[key] if up in upstream and up not in depths]
            entered.add(key)
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()  # what is still unknown now is part of a circle, and counts as nothing
            depths[key] = max((depths.get(up, -1) + 1 for up in upstream[key] if up in upstream), default=0)
    return depths


def _folder(facts: Facts, asset: Asset) -> str:
    path = facts.info(asset.unique_id).original_file_path or asset.file
    if not path:
        return asset.resource_type + "s"
    return _layer(path.rpartition("/")[0]) or asset.resource_type + "s"


@lru_cache(maxsize=1024)
def _layer(directory: str) -> str:
    """The first two folders of a path."""
    return "/".join(PurePosixPath(directory).parts[:2])


def _worst_test(asset: Asset) -> int:
    return min((_WORST[kind(status)] for status in asset.tests), default=_WORST[Kind.SUCCEEDED])


def _totals(name: str, group: Sequence[Asset]) -> list[str]:
    counted = [asset.rows_affected for asset in group if asset.rows_affected is not None]
    bits = [name, plural(len(group), "asset"), plural(sum(counted), "row") if counted else ""]
    bits += [duration(sum(asset.execution_seconds for asset in group)), *main_costs(_cost(group))]
    return [bit for bit in bits if bit]


def _cost(group: Iterable[Asset]) -> Cost:
    return total(asset.cost for asset in group if asset.cost is not None)


def _measures(assets: Iterable[Asset]) -> tuple[str, ...]:
    """What the column of costs shows: bytes billed, or else processed, and slot time; nothing where none is known."""
    whole = _cost(assets)
    there = [name for name in _MEASURES if getattr(whole, name) is not None]
    return tuple(name for name in there if name != "bytes_processed" or "bytes_billed" not in there)


def _head(measures: Sequence[str]) -> str:
    names = list(_COLUMNS)
    if measures:
        names.insert(_COST_AFTER, "<br>".join(_MEASURES[name][0] for name in measures) + ":")
    titles = " | ".join(name.rstrip(":") for name in names)
    return f"| {titles} |\n| {' | '.join('---:' if name.endswith(':') else '---' for name in names)} |\n"


def _cost_cell(cost: Cost | None, measures: Sequence[str]) -> str:
    values = [(getattr(cost, name), _MEASURES[name][1]) for name in measures if cost is not None]
    # A number and its unit stay on one line, however narrow the column is.
    return "<br>".join(words(value).replace(" ", "&nbsp;") for value, words in values if value is not None)


def _under_its_folder(folder: str, group: Sequence[Asset], rows: Sequence[str], measures: Sequence[str]) -> list[str]:
    """The rows, with a line for the folder before the first; that line and the first row stay together."""
    counted = [asset.rows_affected for asset in group if asset.rows_affected is not None]
    seconds = sum(asset.execution_seconds for asset in group)
    rows_affected = f"**{sum(counted):,}**" if counted else ""
    cells = ["", f"**{escape.text(folder, _LONGEST)}**", "", rows_affected, f"**{seconds:,.1f}**", "", ""]
    if measures:
        cost = _cost_cell(_cost(group), measures)
        cells.insert(_COST_AFTER, cost and f"**{cost}**".replace("<br>", "**<br>**"))
    return [f"| {' | '.join(cells)} |\n{rows[0]}", *rows[1:]]


@dataclass(frozen=True, slots=True)
class _Columns:
    """What all rows share. `text` is `escape.text` that remembers: owners and materializations come again."""

    home: str
    measures: tuple[str, ...]
    text: Callable[[str, int], str]


def _row(facts: Facts, asset: Asset, columns: _Columns, *, recovered: bool) -> str:
    (schema, identifier), home, text = _place(asset), columns.home, columns.text
    name = facts.shown_name(asset.unique_id, asset.name)
    shown = escape.link(escape.narrow_code(name, _LONGEST), asset.url)
    if (schema, identifier) != (home, asset.name):
        elsewhere = [schema] if identifier == asset.name else [identifier] if schema == home else [schema, identifier]
        shown += f"<br>{escape.narrow_code('.'.join(part for part in elsewhere if part), _LONGEST)}"
    owner = text(asset.owners[0], 28) if asset.owners else UNKNOWN
    cells = [
        RECOVERED_ICON if recovered else ICONS[kind(asset.status)],
        shown,
        text(asset.materialization or asset.resource_type, 24)
        + (f" in attempt {asset.attempt}" if asset.attempt > 1 else ""),
        f"{asset.rows_affected:,}" if asset.rows_affected is not None else UNKNOWN,
        f"{asset.execution_seconds:,.1f}",
        _tests(asset),
        f"{owner} +{len(asset.owners) - 1}" if len(asset.owners) > 1 else owner,
    ]
    if columns.measures:
        cells.insert(_COST_AFTER, _cost_cell(asset.cost, columns.measures) or UNKNOWN)
    return f"| {' | '.join(cells)} |\n"


def _place(asset: Asset) -> tuple[str, str]:
    """Database and schema, and the identifier in it."""
    path = asset.key.partition("://")[2]
    named = f"/{asset.name.replace('.', '/')}"  # in a key, a dot of the name cannot be told from one between its parts
    if path.endswith(named):
        return path.removesuffix(named).replace("/", "."), asset.name
    schema, _, identifier = path.rpartition("/")
    return schema.replace("/", ".").strip("."), identifier


@remembered
def _home(facts: Facts) -> str:
    """The schema that most assets are in: it is said once."""
    return Counter(_place(asset)[0] for asset in facts.data.assets).most_common(1)[0][0]


def _tests(asset: Asset) -> str:
    counts: defaultdict[Kind, int] = defaultdict(int)
    for status, count in asset.tests.items():
        counts[kind(status)] += count
    return " ".join(f"{ICONS[judged]}\u00a0{counts[judged]}" for judged in _WORST if counts[judged]) or UNKNOWN
