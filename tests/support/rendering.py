"""Markdown as GitHub renders it, for assertions about what a reader sees: tables, bare links and raw HTML on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

from markdown_it import MarkdownIt

HAIR_SPACE = "\u200a"
VOID = {"br", "img", "hr", "input", "wbr"}

# What GitHub's filters look for in the text of the rendered page, outside of code.
MENTION = re.compile(r"(?<![\w`])@[A-Za-z0-9]", re.ASCII)
REFERENCE = re.compile(r"#\d|\bGH-\d", re.IGNORECASE | re.ASCII)
BARE_LINK = re.compile(r"(?:https?|ftp)://\S|\bwww\.\w|[\w.+-]+@[\w-]+\.\w", re.IGNORECASE | re.ASCII)
EMOJI = re.compile(r":(?:[a-z0-9_+-]*[a-z][a-z0-9_+-]*|[+-]1|100|1234):", re.IGNORECASE | re.ASCII)


@dataclass
class Page(HTMLParser):
    """A rendered page: its elements in order, its text, and the text outside of code, one entry a text node."""

    tags: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str, str | None]] = field(default_factory=list)
    nodes: list[tuple[str, bool]] = field(default_factory=list)  # text, whether it is in code
    open: list[str] = field(default_factory=list)
    misnested: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend((tag, name, value) for name, value in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.misnested.append(tag)

    def handle_comment(self, data: str) -> None:
        self.tags.append(f"!{data}")

    def handle_data(self, data: str) -> None:
        self.nodes.append((data, bool({"code", "pre"} & set(self.open))))

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.nodes)

    def links(self) -> list[str]:
        return [value or "" for tag, name, value in self.attributes if (tag, name) == ("a", "href")]

    def filtered(self) -> list[str]:
        """What GitHub's own filters would turn into something else; empty is good."""
        patterns = (MENTION, REFERENCE, BARE_LINK, EMOJI)
        return [
            found.group()
            for text, in_code in self.nodes
            if not in_code
            for pattern in patterns
            for found in pattern.finditer(text)
        ]


def render(markdown: str) -> Page:
    """The page that this markdown becomes."""
    renderer = MarkdownIt("commonmark", {"html": True, "linkify": True}).enable(["table", "strikethrough", "linkify"])
    if renderer.linkify is not None:
        renderer.linkify.set({"fuzzy_link": False})  # `a.ax` is none on GitHub; BARE_LINK sees `www.`
    page = Page()
    page.feed(renderer.render(markdown))
    page.close()
    return page
