"""Annotations: which level, which file, and a line only where the message means that file."""

from __future__ import annotations

import time

import pytest
from tests.support import report_scenarios as scenarios
from tests.support.report_data import attempt, shop, shop_results, step
from tests.support.values import replace

from dbt_cloud_run.endings import Ending, FailureKind
from dbt_cloud_run.model import FreshnessResult, RunState, Step
from dbt_cloud_run.report.annotations import MESSAGE_LIMIT, Annotation, AnnotationKind, annotate
from dbt_cloud_run.report.report import Report

SOURCE = "select\n    id,\n    country_nmae,\n    1 as one\nfrom customers\n-- country of birth\n"


def found(data: Report, *, files: dict[str, str] | None = None, project: str = ".") -> list[Annotation]:
    texts = files if files is not None else {"models/marts/dim_customers.sql": SOURCE}
    return annotate(data, project_directory=project, exists=texts.__contains__, read=texts.get)


def failing(message: str, files: dict[str, str] | None = None) -> Annotation:
    results = shop_results(failing={"dim_customers": ("error", message)})
    data = shop(attempt(1, step(4, "dbt build", results)), ending=Ending.ERROR)
    (annotation,) = found(data, files=files)
    return annotation


def test_an_error_for_each_failed_node_and_a_warning_for_each_warned() -> None:
    errors = found(scenarios.failed())
    assert [(one.kind, one.file, one.title) for one in errors] == [
        (AnnotationKind.ERROR, "models/marts/dim_customers.sql", "model dim_customers: error"),
        (AnnotationKind.ERROR, "models/marts/schema.yml", "data test unique_fct_orders_order_id: fail (attempt 2)"),
    ]
    warned = found(scenarios.green())
    assert [(one.kind, one.title) for one in warned] == [
        (AnnotationKind.WARNING, "data test accepted_values_stg_orders_status: warn"),
        (AnnotationKind.WARNING, "source raw.payments: freshness warn"),
    ]
    assert found(scenarios.recovered()) == []


def test_a_file_that_is_not_in_the_repository_is_not_named() -> None:
    data = scenarios.failed()
    nodes = {uid: replace(info, file=None, url=None) for uid, info in data.nodes.items()}
    assert {one.file for one in found(replace(data, nodes=nodes))} == {None}


HEADER = "Compilation Error in model dim_customers (models/marts/dim_customers.sql)"


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (f"{HEADER}\n  unexpected '}}'\n    line 12\n      {{ x }}", 12),
        ("dbt1005: unknown column\n  --> models/marts/dim_customers.sql:7:3 (target/compiled/x.sql:9:3)", 7),
        ("error at models/marts/dim_customers.sql:4", 4),
        ("error --> models/other.sql:4", None),
        (scenarios.MISSING_COLUMN, 3),  # the database quotes the line, and the file has it once
        ("Database Error\n  LINE 2:     id", None),  # too short to be looked for
        ("Database Error\n  LINE 9:     country", None),  # twice in the file
        ("Database Error\n  001003 (42000): error line 5 at position 7", None),  # of what was sent to Snowflake
        ("Database Error\n  Syntax error: Expected end of input at [12:5]", None),  # of what was sent to BigQuery
        ("Database Error in model dim_customers (models/marts/dim_customers.sql)\n  line 12", None),
    ],
)
def test_the_line_is_one_of_the_file_itself(message: str, line: int | None) -> None:
    assert failing(message).line == line


def test_a_compilation_error_in_a_macro_points_at_the_macro() -> None:
    message = "Compilation Error in macro cents (macros/cents.sql)\n  unexpected 'end'\n    line 2\n      {% end %}"
    annotation = failing(message, {"macros/cents.sql": "", "models/marts/dim_customers.sql": ""})
    assert (annotation.file, annotation.line) == ("macros/cents.sql", 2)
    elsewhere = failing(message, {"models/marts/dim_customers.sql": ""})
    assert (elsewhere.file, elsewhere.line) == ("models/marts/dim_customers.sql", None)


def test_a_step_that_could_not_compile_points_at_the_file_below_the_project_directory() -> None:
    log = f"06:00:00  Running with dbt=1.11\n06:00:02  Encountered an error:\n{HEADER}\n  oops\n    line 3\n      x\n"
    broken = Step(index=4, name="Invoke dbt with `dbt build`", command="dbt build", state=RunState.ERROR, log=log)
    data = shop(attempt(1, broken), ending=Ending.ERROR, failure_kind=FailureKind.COMPILE)
    (annotation,) = found(data, files={"warehouse/models/marts/dim_customers.sql": ""}, project="./warehouse")
    assert (annotation.file, annotation.line) == ("warehouse/models/marts/dim_customers.sql", 3)
    assert annotation.message.startswith("Compilation Error in model dim_customers")
    outside = replace(broken, log=log.replace("(models/", "(../../models/"))
    (annotation,) = found(shop(attempt(1, outside), ending=Ending.ERROR), files={})
    assert annotation.file is None


def test_a_stale_source_is_an_error_on_its_file() -> None:
    stale = FreshnessResult(unique_id="source.shop.raw.orders", status="error", age_seconds=200_000.0)
    check = step(3, "dbt source freshness", (), results=None, state=RunState.ERROR, freshness=(stale,))
    data = shop(attempt(1, check), ending=Ending.ERROR)
    nodes = dict(data.nodes)
    source = nodes["source.shop.raw.orders"]
    path = "models/sources.yml"
    nodes[source.unique_id] = replace(source, original_file_path=path, file=path)
    (annotation,) = found(replace(data, nodes=nodes), files={path: ""})
    assert (annotation.kind, annotation.file) == (AnnotationKind.ERROR, path)
    nodes = nodes | {source.unique_id: replace(source, original_file_path=path, package_name="installed")}
    (annotation,) = found(replace(data, nodes=nodes), files={path: ""})
    assert annotation.file is None, "a package has a file of this name, too"
    assert annotation.message == "last loaded 55h 33m ago"


def test_long_messages_fit_and_say_that_they_were_cut() -> None:
    annotation = failing("Database Error\n" + "\n".join("x" * 300 for _ in range(900)))
    assert len(annotation.message) <= MESSAGE_LIMIT
    assert annotation.message.endswith("see the summary.")
    one_word = failing("y" * 20_000)
    assert len(one_word.message) <= MESSAGE_LIMIT


@pytest.mark.parametrize(
    "message",
    [
        "at " * 40_000,
        "Database Error in model a " * 4_000,
        "A Error in a " * 8_000,
        "A" * 100_000,
        f"{HEADER}\n  line {'9' * 5_000}",
        f"error at models/marts/dim_customers.sql:{'9' * 5_000}",
    ],
)
def test_no_message_takes_long_or_fails(message: str) -> None:
    began = time.monotonic()
    assert failing(message).line is None
    broken = Step(index=4, name="dbt build", command="dbt build", state=RunState.ERROR, log=message)
    assert len(found(shop(attempt(1, broken), ending=Ending.ERROR), files={})) == 1
    assert time.monotonic() - began < 5
