"""The documents: generated parts are up to date, links lead somewhere, and every error can be looked up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools.docs import DOCS, EXAMPLES, ROOT, anchors, broken_links, documents, error_classes, examples, filled

from dbt_cloud_run.cloud.errors import Forbidden
from dbt_cloud_run.errors import InputProblem, InvalidInputsError
from dbt_cloud_run.model import FailureKind


@pytest.mark.parametrize("path", examples(), ids=lambda path: path.name)
def test_examples_name_the_version_that_has_what_they_use(path: Path) -> None:
    assert filled(path.read_text()) == path.read_text(), "run python -m tools.docs"


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_generated_parts_are_up_to_date_and_links_lead_somewhere(path: Path) -> None:
    assert filled(path.read_text()) == path.read_text(), "run python -m tools.docs"
    assert list(broken_links(path)) == []


OTHER_PAGES = ("benchmarks", "requirements", "schemas", "tests", "src/dbt_cloud_emulator/conformance")


@pytest.mark.parametrize("folder", OTHER_PAGES)
def test_links_of_the_pages_for_developers_lead_somewhere(folder: str) -> None:
    for path in (ROOT / folder).glob("*.md"):
        assert list(broken_links(path)) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One `two` three\n\n[a](#one-two-three) [b](#four) [c](none.md) ![d](https://example.com/d.png)\n"
    )
    assert list(broken_links(page)) == [
        "#four: there is no such heading",
        "none.md: there is no such file",
    ]


def test_every_example_stands_on_a_page_or_is_linked_from_one() -> None:
    pages = "".join(path.read_text() for path in documents())
    shown = set(re.findall(r"<!-- begin: ([\w./-]+\.\w+) -->", pages))
    shown |= set(re.findall(r"\]\(examples/([\w./-]+\.\w+)\)", pages))
    assert shown == {str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*") if path.is_file()}


def test_every_error_has_a_code_of_its_own_and_says_what_to_do() -> None:
    classes = error_classes()
    assert len({one.code for one in classes}) == len(classes)
    for one in classes:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", one.code), one
        assert one.remedy.endswith("."), one


def test_every_error_is_on_the_page_that_people_search() -> None:
    assert {one.code for one in error_classes()} <= anchors(DOCS / "troubleshooting.md")


def test_every_kind_of_failure_is_explained() -> None:
    part = (DOCS / "troubleshooting.md").read_text().split("\n## Failed runs\n")[1].split("\n## ")[0]
    cells = [line.split(" | ")[0] for line in part.splitlines() if line.startswith("| `")][1:]
    assert re.findall(r"`([a-z-]+)`", " ".join(cells)) == [kind.value for kind in FailureKind if kind.value]


def test_the_code_stands_in_the_message() -> None:
    assert str(Forbidden("dbt Cloud answered 403.", "Ask.")) == "dbt Cloud answered 403. [forbidden] Ask."
    problems = (InputProblem("job-id", "must be a number"), InputProblem("wait", "must be true or false"))
    assert str(InvalidInputsError(problems)) == (
        "2 inputs are not valid [invalid-inputs]:\njob-id: must be a number\nwait: must be true or false"
    )
