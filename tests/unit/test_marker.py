"""By what a step finds its comment again, and that a release reads the markers of earlier ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dbt_cloud_run.github.marker import CommentKey, Marker, former_marker, read_marker

KEY = CommentKey(
    workflow_ref="acme/shop/.github/workflows/dbt.yml@refs/pull/42/merge",
    job="build",
    action="__org_dbt-cloud-run",
    matrix_index="0",
    account_id=1,
    host="cloud.getdbt.com",
    dbt_job=("7",),
    former="1/7/dbt/build/0",
)
ABOUT = Marker(workflow_run=1234, commit="f00d" * 10, is_good=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "__org_dbt-cloud-run_2"},
        {"job": "other"},
        {"workflow_ref": "acme/shop/.github/workflows/other.yml@refs/pull/42/merge"},
        {"matrix_index": "1"},
        {"comment_key": "second call"},
        {"account_id": 2},
        {"host": "ab123.us1.dbt.com"},
        {"dbt_job": ("8",)},
        {"dbt_job": ("Nightly", "shop", "prod")},
        {"steps_override": ("dbt build",)},
        {"steps_override": ("dbt", "build")},
        {"target_name_override": "ci"},
    ],
)
def test_what_tells_two_steps_apart(changes: dict[str, Any]) -> None:
    assert replace(KEY, **changes).digest != KEY.digest


@pytest.mark.parametrize(
    "changes",
    [
        {"workflow_ref": "acme/shop/.github/workflows/dbt.yml@refs/heads/feature/x@2"},
        {"workflow_ref": "acme/shop/.github/workflows/dbt.yml@0a1b2c3d"},
        {"workflow_ref": "acme/shop/.github/workflows/dbt.yml"},
        {"matrix_index": ""},
        {"former": "another"},
    ],
)
def test_what_differs_from_push_to_push_does_not_count(changes: dict[str, Any]) -> None:
    assert replace(KEY, **changes).digest == KEY.digest


def test_the_key_is_the_one_that_this_version_has_written_before() -> None:
    """Comments of earlier pushes are found by it: another value makes them all strangers."""
    assert (KEY.digest, KEY.former_digest) == ("6ace2885d7f84f9f38f5", "5da6fabf4e")


def test_a_marker_is_read_as_it_was_written() -> None:
    line = ABOUT.line(KEY)
    assert read_marker(f"{line}\nreport") == replace(ABOUT, key=KEY.digest, former=KEY.former_digest)
    assert read_marker(line.replace(" -->", " later=thing -->")) is not None
    assert read_marker(f"> {line}") is None
    assert read_marker(former_marker(KEY.former)) is None
    unknown = Marker(workflow_run=-5, commit="--> <b>", is_good=False)
    assert read_marker(unknown.line(KEY)) == Marker(
        workflow_run=0, commit="", is_good=False, key=KEY.digest, former=KEY.former_digest
    )


def test_nothing_of_a_former_key_can_end_the_marker() -> None:
    assert former_marker("a --> <b>\n") == "<!-- dbt-cloud-run: a%20--%3E%20%3Cb%3E%0A -->"


def test_the_second_step_of_a_job_is_known_by_its_number() -> None:
    assert not KEY.is_repeated
    assert replace(KEY, action="__org_dbt-cloud-run_2").is_repeated
