"""The summary for a terminal: markdown without what only a page can show."""

from __future__ import annotations

import re
from typing import Final

_SECTION: Final = re.compile(r"^(?=#### )", re.MULTILINE)
_DIAGRAM: Final = "```mermaid\n"
_FOLDED: Final = re.compile(r"<details[^>]*>\s*<summary>(.*?)</summary>.*?</details>", re.DOTALL)
_TAG: Final = re.compile(r"</?[a-z][a-z0-9]*(?: [^<>]*)?/?>")
_BREAK: Final = re.compile(r"<br ?/?>|&#8203;|\u200b")
_BLANKS: Final = re.compile(r"\n{3,}")


def for_terminal(markdown: str) -> str:
    """The markdown without the sections that are diagrams, and with the title alone of what a page folds."""
    text = "".join(section for section in _SECTION.split(markdown) if _DIAGRAM not in section)
    text = _BREAK.sub(lambda found: " " if found[0].startswith("<") else "", text)
    text = _FOLDED.sub(lambda found: f"▸ {_TAG.sub('', found[1]).strip()}", text)
    return _BLANKS.sub("\n\n", _TAG.sub("", text)).strip() + "\n"
