"""Properties of the escaping, against a real markdown renderer and the shape of what Mermaid reads."""

from __future__ import annotations

import html as html_module
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.rendering import HAIR_SPACE, render

from dbt_cloud_run.report.markdown import escape

TRICKS = [
    "a | b",
    "a \\| b",
    "\\",
    "`",
    "``` x",
    "~~~",
    "|",
    "\\|",
    "<b>",
    "</details>",
    "<!-- ",
    "-->",
    "&lt;",
    "&#64;x",
    "@octocat",
    "@org/team",
    "#12",
    "GH-3",
    "octo/repo#4",
    "a@b.example",
    "https://evil.example/x",
    "www.evil.example",
    "[x](https://evil.example)",
    "![x](https://evil.example/y.png)",
    "[x]: https://evil.example",
    "<https://evil.example>",
    "# title",
    "- item",
    "1. one",
    "2) two",
    "+ x",
    "> quote",
    "***",
    "_x_",
    "__x__",
    "a_b_c",
    "~~x~~",
    "$x$",
    "$$",
    ":tada:",
    ":+1:",
    "12:100:30",
    "| - |",
    "---",
    "===",
    ":-:",
    "- [ ] task",
    "[^1]",
    "line\nbreak",
    "cr\rlf\r\n",
    "\u2028",
    "\u202eevil",
    "\x1b[31mred\x1b[0m",
    "\x1b]8;;https://evil.example\x07x",
    "\x00",
    "\ud800",
    "\ufeff",
    '" onclick="x',
    "';--",
    "%%{init: {}}%%",
    'x"] --> y["z',
    "end",
    "click n0 href",
    ";",
    ":",
    "~~~mermaid",
    "\t",
    "    code",
    "mailto:a@b.example",
]
untrusted = st.lists(st.one_of(st.sampled_from(TRICKS), st.text(max_size=12)), max_size=6).map("".join)
many = settings(max_examples=250, deadline=None)


def shown(value: str) -> str:
    return escape.one_line(value)


def seen(page_text: str) -> str:
    return page_text.replace(HAIR_SPACE, "").strip()


@many
@given(untrusted)
@example("".join(TRICKS))
def test_plain_text_is_encodable_and_has_no_controls(value: str) -> None:
    result = escape.plain(value)
    result.encode()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2066]", result)


@many
@given(untrusted)
@example("".join(TRICKS))
@example("A.A")
def test_text_shows_itself_wherever_it_stands(value: str) -> None:
    for before, after, tags in (
        ("", "", {"p", "span"}),
        ("word ", " word", {"p", "span"}),
        ("- ", "", {"ul", "li", "span"}),
        ("### ", "", {"h3", "span"}),
        ("**", "x**", {"p", "strong", "span"}),
    ):
        page = render(before + escape.text(value) + after)
        assert set(page.tags) <= tags
        assert not page.attributes
        assert not page.misnested
        assert not page.filtered()
        marks = {"- ": "", "### ": "", "**": ""}.get(before, before)
        end = after.replace("*", "")
        assert seen(page.text) == (marks + shown(value).replace(HAIR_SPACE, "") + end).strip()


@many
@given(st.lists(st.tuples(untrusted, untrusted), min_size=1, max_size=3))
@example([(trick, trick) for trick in TRICKS])
def test_cells_keep_the_shape_of_a_table(rows: list[tuple[str, str]]) -> None:
    cells = [f"| {escape.text(a)} | {escape.code(b)}{escape.narrow_code(a, 99)} |" for a, b in rows]
    lines = ["| a | b |", "| --- | ---: |", *cells]
    page = render("\n".join(lines) + "\n\nafter\n")
    assert page.tags.count("table") == 1
    assert page.tags.count("tr") == len(rows) + 1
    assert page.tags.count("td") == 2 * len(rows)
    assert set(page.tags) <= {"table", "thead", "tbody", "tr", "th", "td", "code", "span", "p", "wbr"}
    assert page.tags[-1] == "p"
    assert not page.filtered()
    assert not page.misnested


@many
@given(untrusted)
@example("`")
@example("a ` | b")
def test_code_shows_itself(value: str) -> None:
    page = render(f"x {escape.code(value)} y")
    assert set(page.tags) <= {"p", "code"}
    assert seen(page.text).split() == f"x {shown(value)} y".replace(HAIR_SPACE, "").split()
    assert page.tags.count("code") == (1 if shown(value) else 0)


@many
@given(untrusted)
@example("a\n```\n<details>\n````\n")
@example("~~~\n```")
def test_a_fence_holds_everything(value: str) -> None:
    page = render(f"before\n\n{escape.fence(value)}\n\nafter\n")
    assert page.tags == ["p", "pre", "code", "p"]
    assert page.text.strip().endswith("after")
    assert escape.plain(value).strip("\n").split() == page.text.strip().split()[1:-1]


@many
@given(untrusted)
def test_html_shows_itself_in_text_and_attribute(value: str) -> None:
    page = render(f"<details><summary>{escape.html(value)}</summary>\n\ninside\n\n</details>\n\nafter\n")
    assert page.tags == ["details", "summary", "p", "p"]
    assert not page.misnested
    assert not page.filtered()
    assert seen(page.text.split("\n")[0].split("inside")[0]) == shown(value).replace(HAIR_SPACE, "").strip()
    titled = render(f'x <span title="{escape.html(value)}">y</span>')
    assert titled.tags == ["p", "span"]
    assert [name for _, name, _ in titled.attributes] == ["title"]


@many
@given(untrusted, untrusted)
def test_a_link_has_one_destination_and_it_is_ours(label: str, tail: str) -> None:
    page = render(f"x {escape.link(escape.text(label), 'https://cloud.example/' + tail)} y")
    assert page.tags.count("a") <= 1
    assert set(page.tags) <= {"p", "a", "span"}
    assert all(link.startswith("https://cloud.example/") for link in page.links())


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "data:text/html,x", "//evil.example", "/relative", "", "https://", "https://cloud.example@evil.example/",
     "https://x\u202e.example", "https://[bad", "https://a.example/\n)", None],
)  # fmt: skip
def test_other_addresses_are_no_links(address: str | None) -> None:
    target = escape.url(address)
    assert target is None or target == "https://a.example/%0A%29"
    assert "](" not in escape.link("label", address) or target


def test_an_address_keeps_its_meaning() -> None:
    page = render(escape.link("x", "https://github.com/o/r/blob/abc/models/a%20b (1).sql?x=1&copy=2#L3"))
    assert page.links() == ["https://github.com/o/r/blob/abc/models/a%20b%20%281%29.sql?x=1&copy=2#L3"]


@many
@given(untrusted)
@example('x"] --> evil["y')
@example("%%{init: {'theme': 'x'}}%%")
@example("1. list")
def test_a_mermaid_label_is_words_and_character_codes(value: str) -> None:
    label = escape.mermaid(value)
    assert re.fullmatch(r"(?:[^\W]|[ /,.\-]|#\d+;)+", label)
    assert not re.match(r"[-+]|\d+\. ", label)
    decoded = html_module.unescape(re.sub(r"#(\d+);", r"&#\1;", label))
    expected = escape.one_line(value, 60)
    assert decoded == expected or not expected
    assert len(decoded) <= 60


def test_ordinary_names_stay_readable() -> None:
    assert escape.text("Nightly build (prod)") == "Nightly build (prod)"
    assert escape.text("fct_orders") == "fct_orders"
    assert escape.code("model.shop.fct_orders") == "`model.shop.fct_orders`"
    assert escape.mermaid("stg_orders.v2") == "stg_orders.v2"
    assert escape.text("ask @octocat about #12") == "ask @&#8202;octocat about \\#&#8202;12"


def test_long_lines_are_cut_with_an_ellipsis() -> None:
    assert escape.text("x" * 50, 10) == "x" * 9 + "…"
    assert len(escape.one_line("y" * 50, 10)) == 10
