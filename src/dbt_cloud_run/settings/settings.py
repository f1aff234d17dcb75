"""`INPUT_*` and `GITHUB_*` as one typed, immutable value; every mistake is reported at once, before any request."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from dbt_cloud_run.errors import InputProblem, InvalidInputsError
from dbt_cloud_run.gates import Gate
from dbt_cloud_run.github.context import GitHubContext
from dbt_cloud_run.github.events import MergeGroup, PullRequest, Unreadable
from dbt_cloud_run.model import TriggerOverrides
from dbt_cloud_run.redaction import Secret
from dbt_cloud_run.settings.commands import odd_commands
from dbt_cloud_run.settings.entry import PREFIX
from dbt_cloud_run.settings.inputs import DEFAULTS, INPUTS, PLATFORM_INPUTS, Input
from dbt_cloud_run.settings.parsing import BadValueError, shown
from dbt_cloud_run.settings.paths import OutsideWorkspaceError, resolve_inside, workspace_relative
from dbt_cloud_run.settings.words import IN_WORKFLOW, Words

COMMENT_INPUTS = frozenset(
    {"account-id", "host", "job-id", "job-name", "project-name", "environment-name", "steps-override"}
    | {"target-name-override", "comment-key", "pr-comment", "github-token"}
)
"""The inputs that a comment on the pull request is found and written by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user asked for. `None` and `()` mean: not given, and nothing stands for it."""

    api_token: Secret | None  # None only with on_missing_token == "skip"; the ids may then be missing, too
    on_missing_token: Literal["fail", "skip"]
    account_id: int  # 0 only where api_token is None
    base_url: str  # https://host[:port]
    job_id: int | None
    job_name: str | None
    project_name: str | None
    environment_name: str | None
    when_busy: Literal["queue", "fail", "skip"]
    run_id: int | None
    dry_run: bool
    reuse: Literal["never", "same-commit"]
    resume: Literal["unfinished", "all", "off"]
    cause: str
    overrides: TriggerOverrides
    pull_request: Literal["auto", "on", "off"]
    targeted_retries: int
    retry_on: Literal["transient", "any"]
    retry_strategy: Literal["nodes", "native"]
    retry_delay: float  # seconds
    wait: bool
    timeout_minutes: float  # 0: none
    queue_timeout_minutes: float  # 0: none
    poll_interval: float | None  # seconds; None: auto
    cancel_run: bool
    fail_on_error: bool
    fail_on: tuple[Gate, ...]  # in the order in which they name the failure
    artifacts: tuple[str, ...]
    step_artifacts: Literal["results", "all", "none"]
    artifacts_path: str | None  # relative to the workspace; None: dbt-cloud/<job-id>
    upload_artifact: bool
    artifact_name: str | None
    artifact_retention_days: int | None
    summary: bool
    annotations: bool
    project_directory: str  # relative to the workspace
    pr_comment: Literal["false", "true", "on-failure"]
    github_token: Secret | None
    emit: tuple[str, ...] | None  # the names of modules in `emit/`
    comment_key: str | None
    strategy_job_index: str | None
    github: GitHubContext
    given: frozenset[str] = frozenset()  # the names of the inputs whose value is not the default's
    warnings: tuple[str, ...] = ()  # what is unexpected, but stops nothing

    @property
    def host(self) -> str:
        """The host, with the port if there is one."""
        return urlsplit(self.base_url).netloc

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], words: Words = IN_WORKFLOW) -> Settings:
        """Read and check every input. Raises `InvalidInputsError` with all problems, and nothing else."""
        github = GitHubContext.from_environ(environ)
        reader = _Reader(environ, github, words)
        values = reader.values()
        if reader.problems:
            raise InvalidInputsError(tuple(reader.problems))
        overrides = {name: values.pop(name) for name in TriggerOverrides.__slots__}
        overrides["steps_override"] = overrides["steps_override"] or ()
        return cls(
            **values,
            overrides=TriggerOverrides(**overrides),
            github=github,
            given=frozenset(name for name, text in reader.given.items() if text != DEFAULTS[name]),
            warnings=(*reader.warnings(values), *odd_commands(overrides["steps_override"])),
        )

    @classmethod
    def without(cls, environ: Mapping[str, str], refused: Collection[str]) -> Settings | None:
        """The settings as if the inputs that are refused were not given, for what a comment is found by.

        None where it is found by one of these. They are not for starting a run: even the token may be missing.
        """
        if COMMENT_INPUTS.intersection(refused):
            return None
        entries = [entry for entry in INPUTS if entry.name in refused]
        dropped = {name for entry in entries for name in entry.handed_over}
        dropped |= {entry.variable for entry in entries if entry.variable}
        left = {name: text for name, text in environ.items() if name not in dropped}
        try:
            return cls.from_environ(left | {"INPUT_ON-MISSING-TOKEN": "skip"})
        except InvalidInputsError:
            return None


class _Reader:
    """One reading of the environment; collects the problems."""

    def __init__(self, environ: Mapping[str, str], github: GitHubContext, words: Words) -> None:
        self.github = github
        self.words = words
        self.problems: list[InputProblem] = []
        self.given = {entry.name: text for entry in INPUTS if (text := entry.given(environ))}
        self._variables = {
            entry.name: text
            for entry in INPUTS
            if entry.variable and entry.name not in self.given and (text := environ.get(entry.variable, "").strip())
        }
        if self.given.keys() & {"job-name", "run-id"}:
            self._variables.pop("job-id", None)  # what the step itself says wins over the environment
        known = {entry.name.upper() for entry in INPUTS} | {entry.field.upper() for entry in INPUTS}
        known |= {name.upper() for name in PLATFORM_INPUTS}
        names = (name.removeprefix(PREFIX) for name in environ if name.startswith(PREFIX))
        self.unknown = tuple(sorted(shown(name.lower()).strip("'") for name in names if name not in known))

    def values(self) -> dict[str, Any]:
        """Every field of `Settings` that an input stands for; only to be used when there are no problems."""
        values = {entry.field: self._value(entry) for entry in INPUTS}
        self._check_token(values)
        self._check_which_run(values)
        self._check_when_busy(values)
        values["base_url"] = values.pop("host")
        values["cause"] = values["cause"] or self._cause()
        values["fail_on"] = values["fail_on"] or ()
        for name in ("artifacts-path", "project-directory"):
            field = name.replace("-", "_")
            if values[field] is not None:
                values[field] = self._path(name, values[field])
        return values

    def warnings(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        found = []
        if self.unknown:
            found.append(f"There is no input named {', '.join(self.unknown)}; it is ignored.")
        if values["pr_comment"] != "false" and values["github_token"] is None:
            found.append("pr-comment needs github-token, which is empty; there will be no comment.")
        if values["fail_on"] and values["wait"] is False:
            found.append("wait is false, so fail-on is judged only where the step attaches to a run that has ended.")
        directory = values["project_directory"]
        if "project-directory" in self.given and not (self.github.workspace / directory).is_dir():
            found.append(
                f"project-directory: there is no folder {shown(directory)} in the workspace, so files are neither "
                f"linked nor annotated. {self.words.no_directory}"
            )
        found += self._masked_ids(values)
        return tuple(found)

    def _masked_ids(self, values: Mapping[str, Any]) -> Iterator[str]:
        """A secret that is also an id: every output and address that holds it would be blanked out by the runner."""
        for name in ("api-token", "github-token"):
            secret = values[name.replace("-", "_")]
            text = secret.reveal() if secret else ""
            hidden = [other for other in ("account-id", "job-id", "run-id") if text and text in self._text(other)]
            if hidden:
                yield (
                    f"{name} is also the value of {' and '.join(hidden)}. It is a secret, so the runner shows *** in "
                    "its place in the log, the addresses and the outputs. Set the token itself, and ids from `vars`."
                )

    def _text(self, name: str) -> str:
        return self.given.get(name) or self._variables.get(name) or ""

    def _value(self, entry: Input) -> Any:
        text = self.given.get(entry.name) or self._variables.get(entry.name) or entry.default
        if not text:
            return None
        try:
            text.encode()  # a byte that is no UTF-8 would only fail later, in a request or a file
            value = entry.parse(text)
        except UnicodeEncodeError:
            self._problem(entry.name, "must be valid UTF-8.")
        except BadValueError as error:
            holds_password = entry.name == "host" and "@" in text
            what = "" if entry.secret or holds_password else f"; {shown(text)} was given"
            source = f" (in {entry.variable})" if entry.name in self._variables else ""
            self._problem(entry.name, f"{error}{what}{source}.")
        else:
            return Secret(value) if entry.secret else value
        return None

    def _check_token(self, values: dict[str, Any]) -> None:
        if self._has("api-token"):
            if not self._has("account-id"):
                self._problem("account-id", self.words.missing["account-id"])
        elif self._must_have_token(values):
            self._problem("api-token", self.words.missing["api-token"])
            if not self._has("account-id"):
                self._problem("account-id", "is missing.")
        values["account_id"] = values["account_id"] or 0

    def _check_which_run(self, values: Mapping[str, Any]) -> None:
        chosen = [name for name in ("job-id", "job-name", "run-id") if self._has(name)]
        if not chosen and (self._has("api-token") or self._must_have_token(values)):
            self._problem("job-id", "is missing. Set job-id, or job-name, or run-id to attach to an existing run.")
        if "job-name" in chosen and len(chosen) > 1:
            self._problem(
                "job-name", f"cannot be given together with {' and '.join(sorted({*chosen} - {'job-name'}))}."
            )
        for name in ("project-name", "environment-name"):
            if self._has(name) and "job-name" not in chosen:
                self._problem(name, "limits the search for job-name, but job-name is not given.")

    def _check_when_busy(self, values: Mapping[str, Any]) -> None:
        """A skipped step is green, and on a pull request that would be taken for a check that has passed."""
        subject = self.github.subject
        is_about_one = isinstance(subject, PullRequest | MergeGroup) and subject.is_open
        is_check = is_about_one or (isinstance(subject, Unreadable) and subject.is_check)
        if values["when_busy"] == "skip" and values["run_id"] is None and is_check:
            self._problem(
                "when-busy",
                f"cannot be skip on the event {self.github.event_name}, which is about a pull request: a skipped step "
                "would be a green check of what was never built. Use queue or fail.",
            )

    def _path(self, name: str, text: str) -> str | None:
        try:
            relative = workspace_relative(text, self.github.workspace)
            resolve_inside(relative, self.github.workspace)
        except OutsideWorkspaceError as error:
            self._problem(name, f"must be a folder inside the workspace, but {shown(text)} {error}.")
            return None
        return relative

    def _cause(self) -> str:
        github = self.github
        number = f"#{github.run_number}" if github.run_number else ""
        actor = f"by {github.actor}" if github.actor else ""
        words = " ".join(word for word in (github.repository, github.workflow, number, actor) if word)
        return " ".join("".join(c if c.isprintable() else " " for c in words).split()) or self.words.cause

    def _must_have_token(self, values: Mapping[str, Any]) -> bool:
        on_missing: str | None = values["on_missing_token"]
        return on_missing != "skip"

    def _has(self, name: str) -> bool:
        return name in self.given or name in self._variables

    def _problem(self, name: str, message: str) -> None:
        self.problems.append(InputProblem(name, message))
