"""Bodies and query parameters: no wrong type, and nothing unknown but what released clients send.

Source: the official OpenAPI description (v2). It does not forbid further fields in a body; `account_id` is sent in the
query of lists by dagster-dbt, and further fields in the trigger's body by dbt-cloud-cli.
"""

from __future__ import annotations

import ast
import json
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr, ValidationError

from dbt_cloud_emulator.errors import bad_request
from dbt_cloud_emulator.timing import parse_timestamp

CAUSE_LENGTH = 255
LISTED_RUN_RELATED = frozenset({"trigger", "job", "audit", "debug_logs"})
RUN_RELATED = LISTED_RUN_RELATED | {
    "environment",
    "repository",
    "run_steps",
    "run_retries",
    "used_repo_cache",
    "repo_cache_restore",
}
JOB_RELATED = frozenset(
    {"environment", "custom_environment_variables", "most_recent_run", "most_recent_completed_run", "fusion_readiness"}
)

Text = Annotated[StrictStr, Field(min_length=1)]
Model = TypeVar("Model", bound=BaseModel)


class TriggerBody(BaseModel):
    """`TriggerRunRequestRequest`."""

    model_config = ConfigDict(extra="forbid")

    cause: Annotated[StrictStr, Field(min_length=1, max_length=CAUSE_LENGTH)]
    git_sha: Text | None = None
    git_branch: Text | None = None
    azure_pull_request_id: StrictInt | None = None
    github_pull_request_id: StrictInt | None = None
    gitlab_merge_request_id: StrictInt | None = None
    non_native_pull_request_id: StrictInt | None = None
    schema_override: Text | None = None
    dbt_version_override: Text | None = None
    threads_override: StrictInt | None = None
    target_name_override: Text | None = None
    generate_docs_override: StrictBool | None = None
    timeout_seconds_override: StrictInt | None = None
    steps_override: list[Text] | None = None


def _items(value: Any) -> Any:
    """`[1,2]` in JSON or as Python writes it, or `1,2`; or the parameter given once for each item."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text.startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    try:
        return json.loads(text)
    except ValueError:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError) as error:
            raise ValueError("not a list") from error


def _moments(value: Any) -> Any:
    return [parse_timestamp(item) if isinstance(item, str) else item for item in _items(value)]


Names = Annotated[list[str], BeforeValidator(_items)]
Ints = Annotated[list[int], BeforeValidator(_items)]
Range = Annotated[list[datetime], BeforeValidator(_moments), Field(min_length=2, max_length=2)]
State = Literal["active", "deleted", "all", "1", "2"]


class NoQuery(BaseModel):
    """What the writes take: no parameter."""

    model_config = ConfigDict(extra="forbid")


class RelatedQuery(NoQuery):
    """What every read takes."""

    include_related: Names = Field(default_factory=list)

    def related(self, known: frozenset[str]) -> frozenset[str]:
        """What was asked for; ApiError 400 for a name that is not known."""
        unknown = sorted(set(self.include_related) - known)
        if unknown:
            raise bad_request(f"include_related: {unknown[0]!r} is not one of {sorted(known)}")
        return frozenset(self.include_related)


class PageQuery(RelatedQuery):
    limit: int = Field(100, ge=1, le=100)
    offset: int = Field(0, ge=0)
    order_by: str = "id"


class ArtifactQuery(RelatedQuery):
    step: int | None = Field(None, ge=1)


class RunsQuery(PageQuery):
    created_at__range: Range | None = None
    dbt_version: str | None = None
    dbt_version__in: Names | None = None
    deferring_run_id: int | None = None
    environment_id: int | None = None
    finished_at__range: Range | None = None
    has_docs_generated: bool | None = None
    has_sources_generated: bool | None = None
    id__gt: int | None = None
    job_definition_id: int | None = None
    order_by: Literal["id", "-id", "created_at", "-created_at", "finished_at", "-finished_at"] = "id"
    pk: int | None = None
    pk__in: Ints | None = None
    project_id: int | None = None
    project_id__in: Ints | None = None
    state: State = "all"
    status: int | None = None
    status__in: Ints | None = None


class JobsQuery(PageQuery):
    dbt_version__in: Names | None = None
    environment_id: int | None = None
    is_fusion_ready: bool | None = None
    is_system: bool | None = None
    name__icontains: str | None = None
    order_by: Literal["id", "-id", "name", "-name", "project_id", "-project_id"] = "id"
    pk: int | None = None
    project_id: int | None = None
    project_id__in: Ints | None = None
    state: State = "active"
    triggers_schedule: bool | None = None


TOLERATED_QUERIES = frozenset({"account_id"})
"""What is taken in any query and has no effect, unless the emulator is strict."""


class ProjectsQuery(PageQuery):
    """v2 and v3."""

    name__icontains: str | None = None
    name: str | None = None
    order_by: Literal["id", "-id", "name", "-name"] = "id"
    pk: int | None = None
    pk__gt: int | None = None
    pk__in: Ints | None = None
    state: State = "active"


class EnvironmentsQuery(ProjectsQuery):
    project_id: int | None = None
    project_id__in: Ints | None = None
    type: str | None = None
    deployment_type: str | None = None
    deployment_type__in: Names | None = None
    dbt_version: str | None = None
    dbt_version__in: Names | None = None
    credentials_id: int | None = None
    id__gt: int | None = None


LISTS = frozenset({"created_at__range", "dbt_version__in", "finished_at__range", "pk__in"}) | {
    "deployment_type__in",
    "project_id__in",
    "status__in",
}
"""The parameters that are arrays: by the description's default style, they may be given once for each item."""


def known(model: type[Model], values: dict[str, Any]) -> dict[str, Any]:
    """The values that a model has fields for."""
    return {name: value for name, value in values.items() if name in model.model_fields}


def parse(model: type[Model], values: Any) -> Model:
    """Values as a model. Raises ApiError 400, with the detail in `data` in the platform's words."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise bad_request(_detail(error)) from error


def _detail(error: ValidationError) -> Any:
    problems = error.errors()
    extra = [f"'{problem['loc'][0]}'" for problem in problems if problem["type"] == "extra_forbidden"]
    if extra:
        verb = "was" if len(extra) == 1 else "were"
        return f"Additional properties are not allowed ({', '.join(extra)} {verb} unexpected)"
    missing = [str(problem["loc"][0]) for problem in problems if problem["type"] == "missing"]
    if missing:
        return f"'{missing[0]}' is a required property"
    found: dict[str, list[str]] = {}
    for problem in problems:
        name = str(problem["loc"][0]) if problem["loc"] else "body"
        found.setdefault(name, []).append(f"{problem['input']!r} is not valid: {problem['msg']}")
    return found
