"""Every warning can be looked up, and nothing is explained that is never written."""

from __future__ import annotations

import re

import pytest
from tools.docs import DOCS
from tools.warning_texts import ANY, MAKERS, made, warning_texts, written


def explained() -> list[str]:
    """The words in the first columns of the tables."""
    page = (DOCS / "troubleshooting.md").read_text()
    part = page.split("\n## Warnings\n", 1)[1].split("\n## ", 1)[0]
    cells = [line.split(" | ")[0] for line in part.splitlines() if line.startswith("| `")]
    return [phrase for cell in cells for phrase in re.findall(r"`([^`]+)`", cell)]


def pattern(phrase: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, phrase.split(ANY))), re.DOTALL)


@pytest.mark.parametrize("text", warning_texts())
def test_a_warning_is_on_the_page_that_people_search(text: str) -> None:
    assert [phrase for phrase in explained() if pattern(phrase).search(text)], "docs/troubleshooting.md"


def test_the_page_explains_what_is_written_and_nothing_else() -> None:
    texts = warning_texts()
    assert len(texts) > 50
    assert [phrase for phrase in explained() if not any(pattern(phrase).search(text) for text in texts)] == []


def test_it_is_known_who_makes_what_is_passed_on() -> None:
    assert {one.place for one in written() if not one.text} == set(MAKERS), "tools/warning_texts.py"
    makers = {maker for makers in MAKERS.values() for maker in makers}
    assert [maker for maker in makers if not made(maker)] == []
