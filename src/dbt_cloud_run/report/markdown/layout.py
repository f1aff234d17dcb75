"""Sections made of blocks made of rows, and how they are cut to a number of bytes without breaking anything.

A row is a finished piece of markdown (a table's row, a failure with its fence): it is kept or left out as a whole, and
so is the head and tail of a block (a table's head, `<details>` and its end). So whatever is cut, all is closed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dbt_cloud_run.report.wording import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

_MORE_BYTES = 120  # room for the line that says what was left out of a section
_CUT_SHARE = 2  # a section takes at most one in this many parts of what is left, until all have had their turn


@dataclass(frozen=True, slots=True)
class Block:
    """`head`, rows, `tail`, each ending in a newline. `noun` is what one row shows."""

    rows: Sequence[str]
    head: str = ""
    tail: str = ""
    noun: str = "row"

    def whole(self) -> str:
        return self.head + "".join(self.rows) + self.tail


@dataclass(frozen=True, slots=True)
class Section:
    """A title and blocks. `importance`: the lower, the earlier it gets room; the order on the page is another."""

    name: str
    blocks: Sequence[Block]
    importance: int
    title: str = ""

    def whole(self) -> str:
        return self.title + "".join(block.whole() for block in self.blocks)


@dataclass(slots=True)
class LeftOut:
    """What a page does not show: sections as a whole, and rows by noun."""

    sections: list[str] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        return bool(self.sections or self.rows)

    def words(self) -> str:
        """For people: `312 assets, the section “Time”`."""
        rows = [plural(count, noun) for noun, count in self.rows.items()]
        return ", ".join([*rows, *(f"the section “{name}”" for name in self.sections)])


def size(text: str) -> int:
    """Bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def fit(sections: Sequence[Section], budget: int) -> tuple[str, LeftOut]:
    """The sections in their order within `budget` bytes, and what was left out.

    Room is given in order of importance. A section too long takes no more than half of what is left, so that thousands
    of failures do not push out everything else; what no section needs goes to the sections that were cut.
    """
    wholes = [section.whole() for section in sections]
    sizes = [size(whole) for whole in wholes]
    left_out = LeftOut()
    if sum(sizes) <= budget:
        return "".join(wholes), left_out
    order = sorted(range(len(sections)), key=lambda position: sections[position].importance)
    grants = [0] * len(sections)
    room = max(budget, 0)
    for position in order:
        grants[position] = sizes[position] if position == order[0] else min(sizes[position], room // _CUT_SHARE)
        grants[position] = min(grants[position], room)
        room -= grants[position]
    for position in order:
        extra = min(sizes[position] - grants[position], room)
        grants[position] += extra
        room -= extra
    shown = [
        whole if grant >= needed else _cut(section, grant, left_out)
        for section, whole, needed, grant in zip(sections, wholes, sizes, grants, strict=True)
    ]
    return "".join(shown), left_out


def _cut(section: Section, room: int, left_out: LeftOut) -> str:
    room -= size(section.title) + _MORE_BYTES
    shown: list[str] = []
    missing: Counter[str] = Counter()
    for block in section.blocks:
        text, kept = ("", 0) if missing else _cut_block(block, room)
        room -= size(text)
        shown.append(text)
        if kept < len(block.rows):
            missing[block.noun] += len(block.rows) - kept
    if not any(shown):
        left_out.sections.append(section.name)
        return ""
    left_out.rows.update(missing)
    more = ", ".join(plural(count, noun) for noun, count in missing.items())
    return section.title + "".join(shown) + f"\n_Left out here: {more}._\n\n"


def _cut_block(block: Block, room: int) -> tuple[str, int]:
    room -= size(block.head) + size(block.tail)
    kept = 0
    for row in block.rows:
        room -= size(row)
        if room < 0:
            break
        kept += 1
    if kept == 0:
        return "", 0
    return block.head + "".join(block.rows[:kept]) + block.tail, kept
