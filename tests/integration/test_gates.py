"""`fail-on` and sources, from the input to outputs, log, summary and exit status: whole steps on told runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from standins.runner_log import read_stream
from tests.support.loop import PlayedStep
from tests.support.told_cloud import build, command, node, play, row, told

A, T = "model.shop.a", "test.shop.t"
SHA, OTHER = "a" * 40, "b" * 40
SUCCESS, ERROR = 10, 20
EVERY = "no-nodes, stale-sources, source-warnings, warnings, other-commit"


def sources(**statuses: str) -> dict[str, Any]:
    """A `sources.json` with these sources of the group `raw`."""
    metadata = {"generated_at": "2099-01-01T00:00:00Z", "invocation_id": "freshness"}
    rows = [
        {"unique_id": f"source.shop.raw.{name}", "status": status, "max_loaded_at_time_ago_in_s": 90000.0}
        for name, status in statuses.items()
    ]
    return {"metadata": metadata, "results": rows}


def freshness(status: int = SUCCESS, **statuses: str) -> dict[str, Any]:
    return command("dbt source freshness", status, files={"sources.json": sources(**statuses)})


def built(**rows: str) -> dict[str, Any]:
    statuses = rows or {A: "success"}
    return build([row(name, status, f"{status}.") for name, status in statuses.items()], [node(A), node(T, A)])


def messages(step: PlayedStep, kind: str) -> list[str]:
    return [found.data for found in read_stream(step.log).named(kind)]


def plain(markdown: str) -> str:
    """The text without the characters that keep markdown from acting on it."""
    return markdown.replace("\\", "").replace("\u200b", "").replace("&#8203;", "")


def assert_failed(step: PlayedStep, gate: str, *names: str) -> None:
    """The step failed for this condition alone: outputs, one error, headline, log, exit status; and no retry."""
    assert (step.outputs["status"], step.outputs["failure-kind"]) == ("error", gate), step.log
    assert step.outputs["gates-failed"] == f'["{gate}"]'
    assert (step.status, step.outputs["attempts"]) == (1, "1")
    (error,) = [text for text in messages(step, "error") if "fail-on" in text]
    head = plain(step.summary.split("\n####")[0])
    for text in (error, head, step.log):
        assert f"(fail-on: {gate})" in text
        assert all(name in text for name in names)


def test_nothing_selected(tmp_path: Path) -> None:
    run = told(SUCCESS, build([], words="dbt build --select tag:none"))
    assert_failed(play(tmp_path, [run], fail_on=EVERY), "no-nodes", "dbt build --select tag:none")


def test_nothing_selected_without_the_condition_is_one_warning_that_names_the_command(tmp_path: Path) -> None:
    step = play(tmp_path, [told(SUCCESS, build([], words="dbt build --select tag:none"))])
    assert (step.status, step.outputs["status"], step.outputs["gates-failed"]) == (0, "success", "[]")
    sentence = "Nothing was selected by `dbt build --select tag:none`, so no node was executed."
    assert messages(step, "warning") == [sentence]
    assert "⚠️ Nothing was selected by" in step.summary


def test_a_selection_by_state_that_selects_nothing_is_a_line(tmp_path: Path) -> None:
    words = "dbt build --select state:modified+ --state target"
    step = play(tmp_path, [told(SUCCESS, build([], words=words))])
    assert (step.status, messages(step, "warning")) == (0, [])
    assert f"Nothing was selected by `{words}`, so no node was executed." in step.log
    assert "Nothing was selected by" in step.summary


def test_a_stale_source_of_a_run_that_dbt_cloud_calls_a_success(tmp_path: Path) -> None:
    """The checkbox of the job: its step fails, and the run does not."""
    run = told(SUCCESS, freshness(ERROR, orders="error", payments="runtime error", users="pass"), built())
    checkbox = {"execute_steps": ["dbt build"], "run_generate_sources": True}
    for name in ("with", "without"):
        (tmp_path / name).mkdir()
    step = play(tmp_path / "with", [run], job=checkbox, fail_on="stale-sources")
    assert_failed(step, "stale-sources", "raw.orders", "raw.payments")
    assert (step.outputs["sources-failed"], step.outputs["sources-warned"]) == ("2", "0")
    assert "**2 sources stale**" in step.summary
    assert "3 sources checked: 1 fresh, 2 stale" in step.log
    assert "Failures (2)" in step.summary
    without = play(tmp_path / "without", [run], job=checkbox)
    assert (without.status, without.outputs["status"], without.outputs["sources-failed"]) == (0, "success", "2")
    assert "**2 sources stale**" in without.summary
    assert "Failures" not in without.summary


def test_the_condition_has_an_annotation_however_many_sources_are_stale(tmp_path: Path) -> None:
    run = told(SUCCESS, freshness(ERROR, **{f"s{number}": "error" for number in range(15)}), built())
    step = play(tmp_path, [run], fail_on="stale-sources")
    assert_failed(step, "stale-sources", "15 sources", "raw.s0", "and 5 more")
    assert len(messages(step, "error")) == 10


def test_a_source_with_a_warning(tmp_path: Path) -> None:
    step = play(tmp_path, [told(SUCCESS, freshness(orders="warn"), built())], fail_on=EVERY, git_sha=SHA)
    assert_failed(step, "source-warnings", "raw.orders")
    assert (step.outputs["sources-failed"], step.outputs["sources-warned"]) == ("0", "1")
    assert "1 source past `warn_after`" in step.summary


def test_a_node_with_a_warning(tmp_path: Path) -> None:
    run = told(SUCCESS, freshness(orders="pass"), built(**{A: "success", T: "warn"}))
    assert_failed(play(tmp_path, [run], fail_on=EVERY, git_sha=SHA), "warnings", T)


PUSH = ("push", {"after": SHA, "repository": {"full_name": "acme/shop"}})


def test_another_commit_than_the_events(tmp_path: Path) -> None:
    run = told(SUCCESS, built(), git_sha=OTHER)
    step = play(tmp_path, [run], fail_on="other-commit", event=PUSH, variables={"GITHUB_SHA": SHA})
    assert_failed(step, "other-commit", SHA, OTHER)


def test_another_commit_than_the_one_that_was_asked_for(tmp_path: Path) -> None:
    step = play(tmp_path, [told(SUCCESS, built(), git_sha=OTHER)], fail_on="other-commit", git_sha=SHA)
    assert (step.status, step.outputs["failure-kind"]) == (1, "other-commit")
    assert step.outputs["gates-failed"] == '["other-commit"]'


def test_a_commit_that_was_asked_for_wins_over_the_events(tmp_path: Path) -> None:
    run = told(SUCCESS, built(), git_sha=OTHER)
    given = {"fail_on": "other-commit", "git_sha": OTHER}
    step = play(tmp_path, [run], event=PUSH, variables={"GITHUB_SHA": SHA}, **given)
    assert (step.status, step.outputs["gates-failed"]) == (0, "[]"), step.log


def test_several_conditions_are_all_named_and_the_first_is_the_kind(tmp_path: Path) -> None:
    run = told(SUCCESS, freshness(orders="warn"), built(**{A: "success", T: "warn"}), git_sha=OTHER)
    step = play(tmp_path, [run], fail_on="other-commit\n- warnings\n- source-warnings", event=PUSH)
    assert (step.status, step.outputs["failure-kind"]) == (1, "source-warnings")
    assert step.outputs["gates-failed"] == '["source-warnings","warnings","other-commit"]'
    (error,) = [text for text in messages(step, "error") if "fail-on" in text]
    assert [error.index(f"(fail-on: {gate})") for gate in ("source-warnings", "warnings", "other-commit")] == sorted(
        error.index(f"(fail-on: {gate})") for gate in ("source-warnings", "warnings", "other-commit")
    )


def test_fail_on_error_false_leaves_the_step_green(tmp_path: Path) -> None:
    run = told(SUCCESS, built(**{A: "success", T: "warn"}))
    step = play(tmp_path, [run], fail_on="warnings", fail_on_error="false")
    assert (step.status, step.outputs["status"], step.outputs["failure-kind"]) == (0, "error", "warnings")


@pytest.mark.parametrize("content", [None, b"{oops"], ids=["missing", "unreadable"])
def test_results_that_could_not_be_read_fail_a_condition_that_needs_them(content: bytes | None, tmp_path: Path) -> None:
    files = {} if content is None else {"run_results.json": content}
    run = told(SUCCESS, command("dbt build", SUCCESS, "Done. PASS=1", files))
    step = play(tmp_path, [run], fail_on="warnings")
    assert_failed(step, "warnings", "not known")
    assert step.outputs["nodes-total"] == ""


@pytest.mark.parametrize("content", [None, b"{oops"], ids=["missing", "unreadable"])
def test_freshness_that_could_not_be_read_fails_its_condition_and_leaves_the_counts(
    content: bytes | None, tmp_path: Path
) -> None:
    files = {} if content is None else {"sources.json": content}
    run = told(SUCCESS, command("dbt source freshness", SUCCESS, "Done.", files), built())
    step = play(tmp_path, [run], fail_on="stale-sources")
    assert_failed(step, "stale-sources", "not known")
    assert (step.outputs["sources-failed"], step.outputs["sources-warned"]) == ("", "")
    assert step.outputs["nodes-total"] == "1"


def test_a_condition_that_has_nothing_to_judge_is_a_warning(tmp_path: Path) -> None:
    step = play(tmp_path, [told(SUCCESS, built())], fail_on="stale-sources")
    assert (step.status, step.outputs["gates-failed"]) == (0, "[]")
    assert messages(step, "warning") == [
        "fail-on: stale-sources has nothing to check: no step of the run checked the freshness of sources."
    ]


def test_a_run_that_failed_keeps_its_kind_and_names_the_conditions_that_held(tmp_path: Path) -> None:
    nodes = [node(A), node(T, A)]
    broken = build([row(A, "error", "Syntax error"), row(T, "warn")], nodes, status=ERROR)
    step = play(tmp_path, [told(ERROR, broken)], fail_on="warnings, no-nodes", targeted_retries="0")
    assert (step.status, step.outputs["failure-kind"]) == (1, "nodes")
    assert step.outputs["gates-failed"] == '["warnings"]'
    assert "(fail-on: warnings)" in plain(step.summary)


def test_without_waiting_no_condition_is_judged(tmp_path: Path) -> None:
    step = play(tmp_path, [told(1, built())], fail_on=EVERY, wait="false")
    assert (step.status, step.outputs["status"], step.outputs["gates-failed"]) == (0, "queued", "[]")
