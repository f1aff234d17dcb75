"""What is sent, reported and refused on each event, stated cell by cell; and the page that prints it.

A cell is written as: `H` the head, its number and a schema are sent, and a comment is written; `h` the same without a
comment; `B` the job's own branch is built; `w` with a warning or a notice for each; `R` and a letter: refused, for the
type of the job (t), the fork (f), the payload (p), or a head that could not be looked up (h).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tools.events import COLUMNS, SCENARIOS, Cell, cell, page

ROOT = Path(__file__).resolve().parents[2]

#                                                 ci    other ci    other ci    other
#                                                 auto  auto  on    on    off   off
WITH_TOKEN = """
`pull_request`                                  | H   | Rt  | H   | H   | Bww | Bw
`pull_request`, from a fork                     | Rf  | Rt  | Rf  | Rf  | Bww | Bw
`pull_request_review`                           | H   | Rt  | H   | H   | Bww | Bw
`pull_request_review`, from a fork              | Rf  | Rt  | Rf  | Rf  | Bww | Bw
`pull_request_review_comment`                   | H   | Rt  | H   | H   | Bww | Bw
`pull_request_review_comment`, from a fork      | Rf  | Rt  | Rf  | Rf  | Bww | Bw
`pull_request_target`                           | H   | Rt  | H   | H   | Bww | Bw
`pull_request_target`, from a fork              | Rf  | Rt  | Rf  | Rf  | Bww | Bw
`pull_request`, closed                          | Bw  | B   | Bw  | B   | Bw  | B
`pull_request`, payload not readable            | Rp  | Rp  | Rp  | Rp  | Bww | Bw
`issue_comment` on a pull request               | H   | Bw  | H   | H   | Bw  | B
`issue_comment` on a pull request from a fork   | Rf  | Bw  | Rf  | Rf  | Bw  | B
`issue_comment` on a pull request that cannot be looked up | Rh | Bw | Rh | Rh | Bw | B
`issue_comment` on a pull request that is closed | Bw | B   | Bw  | B   | Bw  | B
`issue_comment` on an issue                     | Bw  | B   | Bw  | B   | Bw  | B
`issue_comment`, payload not readable           | Bwww | Bww | Bwww | Bww | Bww | Bw
`workflow_run` after `pull_request`             | H   | Bww | H   | H   | Bww | Bw
`workflow_run` after `pull_request`, from a fork | Rf | Bww | Rf  | Rf  | Bww | Bw
`workflow_run` after `pull_request`, none or several listed | Bw | B | Bw | B | Bw | B
`workflow_run` after `push`                     | Bw  | B   | Bw  | B   | Bw  | B
`merge_group`                                   | hw  | Rt  | hw  | hw  | Bww | Bw
`merge_group`, destroyed                        | Bww | Bw  | Bww | Bw  | Bww | Bw
`merge_group`, payload not readable             | Rp  | Rp  | Rp  | Rp  | Bww | Bw
`push`                                          | Bww | Bw  | Bww | Bw  | Bww | Bw
`release`                                       | Bww | Bw  | Bww | Bw  | Bww | Bw
`deployment`                                    | Bww | Bw  | Bww | Bw  | Bww | Bw
`schedule`                                      | Bw  | B   | Bw  | B   | Bw  | B
`workflow_dispatch`                             | Bw  | B   | Bw  | B   | Bw  | B
`repository_dispatch`                           | Bw  | B   | Bw  | B   | Bw  | B
"""
# Without a token no comment is written, and no head is looked up; all else is the same.
WITHOUT_TOKEN = {
    "`issue_comment` on a pull request": "Rh | Bw | Rh | Rh | Bw | B",
    "`issue_comment` on a pull request from a fork": "Rh | Bw | Rh | Rh | Bw | B",
}
REASONS = {
    "t": "of the type scheduled, not ci",
    "f": "cannot check out a fork",
    "p": "cannot be used",
    "h": "without its head",
}


def stated(has_token: bool) -> dict[str, list[str]]:
    rows = {line.split("|")[0].strip(): line.partition("|")[2] for line in WITH_TOKEN.strip().splitlines()}
    if not has_token:
        rows = {title: codes.replace("H ", "hw ") for title, codes in rows.items()} | WITHOUT_TOKEN
    return {title: [code.strip() for code in codes.split("|")] for title, codes in rows.items()}


def code(what: Cell) -> str:
    if what.refused:
        (reason,) = [letter for letter, words in REASONS.items() if words in what.refused]
        return f"R{reason}"
    is_filled = re.fullmatch(r"head, #42, `dbt_cloud_pr_7_42(_merge_group)?`", what.sent)
    assert is_filled or what.sent == "the job's branch"
    letter = ("H" if what.reported else "h") if is_filled else "B"
    assert is_filled or not what.reported
    return letter + "w" * len(what.notices)


@pytest.mark.parametrize("has_token", [True, False], ids=["token", "no token"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.title)
def test_each_cell(scenario: object, has_token: bool) -> None:
    codes = stated(has_token)[scenario.title]  # type: ignore[attr-defined]
    found = [code(cell(scenario, kind, mode, has_token=has_token)) for kind, mode in COLUMNS]  # type: ignore[arg-type]
    assert found == codes


def test_every_event_is_stated_once() -> None:
    titles = [scenario.title for scenario in SCENARIOS]
    assert titles == list(stated(has_token=True))
    assert len(set(titles)) == len(titles)


def test_the_page_is_what_the_rules_say() -> None:
    assert (ROOT / "docs/events.md").read_text() == page(), "tools/events.py > docs/events.md"
