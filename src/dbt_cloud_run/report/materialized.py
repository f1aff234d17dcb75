"""The assets: what is now in the warehouse.

Grouped by the folder that a person knows the layer by (`models/marts`). The layers that build on the others come first,
as the lineage says, not the folder's name: so marts before intermediate before staging before seeds, whatever they are
called. Within a folder those with failed or warned tests come first, then by name.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from dbt_cloud_run.dbt.statuses import Kind, kind
from dbt_cloud_run.report import escape
from dbt_cloud_run.report.layout import Block, Section
from dbt_cloud_run.report.wording import ICONS, RECOVERED_ICON, UNKNOWN, duration, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dbt_cloud_run.model import Asset
    from dbt_cloud_run.report.detail import Detail
    from dbt_cloud_run.report.facts import Facts

_ORDER_NOTE = (
    "Grouped by folder, layers that build on the others first; "
    "within a folder what has failed or warned tests first, then by name."
)
_COLUMNS = "| Asset | Relation | Built as | Rows affected | Seconds | Tests | Owners |"
_ALIGN = "| --- | --- | --- | ---: | ---: | --- | --- |"
_WORST = {Kind.FAILED: 0, Kind.WARNED: 1, Kind.SKIPPED: 2, Kind.SUCCEEDED: 3}


def materialized(facts: Facts, detail: Detail) -> Section | None:
    """The tables of the assets, one a folder; None when nothing was built."""
    assets = facts.data.assets
    if not assets:
        return None
    several = len(facts.data.outcome.attempts) > 1
    recovered = {found.unique_id for found in facts.recovered}
    blocks: list[Block] = [Block([f"{_ORDER_NOTE}\n\n"], noun="note")] if len(assets) > 1 else []
    shown = 0
    for folder, group in _groups(facts, assets):
        is_open = shown + len(group) <= detail.open_rows or not shown
        shown += len(group)
        rows = [_row(asset, several=several, recovered=asset.unique_id in recovered) for asset in group]
        blocks.append(Block(rows, _head(folder, group, is_open=is_open, several=several), "\n</details>\n\n", "asset"))
    return Section("Assets", blocks, importance=3, title=f"#### Assets materialized ({len(assets):,})\n\n")


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
    parts = PurePosixPath(path).parts
    return "/".join(parts[: min(2, len(parts) - 1)]) or asset.resource_type + "s"


def _worst_test(asset: Asset) -> int:
    return min((_WORST[kind(status)] for status in asset.tests), default=_WORST[Kind.SUCCEEDED])


def _head(folder: str, group: Sequence[Asset], *, is_open: bool, several: bool) -> str:
    counted = [asset.rows_affected for asset in group if asset.rows_affected is not None]
    bits = [
        f"<b>{escape.html(folder, 120)}</b>",
        plural(len(group), "asset"),
        plural(sum(counted), "row") if counted else "",
        duration(sum(asset.execution_seconds for asset in group)),
    ]
    title = " · ".join(bit for bit in bits if bit)
    more = (" Attempt |", " ---: |") if several else ("", "")
    opening = "<details open>" if is_open else "<details>"
    return f"{opening}<summary>{title}</summary>\n\n{_COLUMNS}{more[0]}\n{_ALIGN}{more[1]}\n"


def _row(asset: Asset, *, several: bool, recovered: bool) -> str:
    icon = RECOVERED_ICON if recovered else ICONS[kind(asset.status)]
    cells = [
        f"{icon} {escape.link(escape.code(asset.name, 120), asset.url)}",
        escape.code(asset.key.partition("://")[2].replace("/", ".") or asset.relation_name, 160),
        escape.text(asset.materialization or asset.resource_type, 40),
        f"{asset.rows_affected:,}" if asset.rows_affected is not None else UNKNOWN,
        f"{asset.execution_seconds:,.1f}",
        _tests(asset),
        ", ".join(escape.text(owner, 80) for owner in asset.owners) or UNKNOWN,
    ]
    if several:
        cells.append(str(asset.attempt))
    return f"| {' | '.join(cells)} |\n"


def _tests(asset: Asset) -> str:
    counts: defaultdict[Kind, int] = defaultdict(int)
    for status, count in asset.tests.items():
        counts[kind(status)] += count
    return " ".join(f"{ICONS[judged]} {counts[judged]}" for judged in _WORST if counts[judged]) or UNKNOWN
