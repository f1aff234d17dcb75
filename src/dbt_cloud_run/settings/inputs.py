"""The table of inputs: the one place that says which there are, what they default to, and how each is read.

`action.yml` and docs/reference.md repeat it for users; tests hold them together, and to `tests/contract.toml`.
"""

from __future__ import annotations

from collections.abc import Mapping

from dbt_cloud_run.gates import Gate
from dbt_cloud_run.settings import commands, parsing
from dbt_cloud_run.settings.entry import PREFIX
from dbt_cloud_run.settings.entry import Input as Input

# `with:` keys that the runner takes itself for every container action.
PLATFORM_INPUTS = frozenset({"entrypoint", "args"})

_WHICH_RUN = (
    Input(
        name="api-token",
        parse=parsing.token,
        required=True,
        secret=True,
        variable="DBT_CLOUD_API_TOKEN",
        description="Service token or personal access token, from a secret; if empty, `DBT_CLOUD_API_TOKEN` is read.",
        elsewhere="Service token or personal access token: a variable, or a file by --api-token-file.",
    ),
    Input(
        name="on-missing-token",
        parse=parsing.choice("fail", "skip"),
        default="fail",
        description="Without a token (a fork, Dependabot): `fail`, or `skip` to end green with `status: skipped`.",
        elsewhere="Without a token: `fail`, or `skip` to end with status 0.",
    ),
    Input(
        name="account-id",
        parse=parsing.integer(),
        required=True,
        variable="DBT_CLOUD_ACCOUNT_ID",
        description=(
            "Account id; best from `vars`, since GitHub replaces a secret with `***` in every link; "
            "if empty, `DBT_CLOUD_ACCOUNT_ID` is read."
        ),
        elsewhere="Account id, the first number in dbt Cloud's addresses; if empty, `DBT_CLOUD_ACCOUNT_ID` is read.",
    ),
    Input(
        name="host",
        parse=parsing.base_url,
        default="cloud.getdbt.com",
        variable="DBT_CLOUD_HOST",
        description="Host or access URL of the account; if empty, `DBT_CLOUD_HOST`, or else `cloud.getdbt.com`.",
    ),
    Input(
        name="job-id",
        parse=parsing.integer(),
        variable="DBT_CLOUD_JOB_ID",
        description="Id of the job; this, `job-name` or `run-id` is required; if empty, `DBT_CLOUD_JOB_ID` is read.",
    ),
    Input(
        name="job-name",
        parse=parsing.line,
        description="Exact name of the job, if `job-id` is not given; must be unique.",
    ),
    Input(
        name="project-name",
        parse=parsing.line,
        description="Exact name of the project in which to search for `job-name`.",
    ),
    Input(
        name="environment-name",
        parse=parsing.line,
        description="Exact name of the environment in which to search for `job-name`.",
    ),
    Input(
        name="when-busy",
        parse=parsing.choice("queue", "fail", "skip"),
        default="queue",
        description=(
            "When another active run of the job builds into the same schema (of a CI job: for the same pull "
            "request): `queue` behind it, `fail`, or `skip` (end green with `status: skipped`; not on pull requests)."
        ),
    ),
    Input(
        name="run-id",
        parse=parsing.integer(),
        description="Attach to this run instead of triggering one: wait, retry, publish.",
    ),
    Input(
        name="dry-run",
        parse=parsing.boolean,
        default="false",
        description=(
            "`true`: send GET requests only, and print the request that would be sent, or with `run-id` the retry that "
            "would be planned; nothing is started."
        ),
    ),
    Input(
        name="reuse",
        parse=parsing.choice("never", "same-commit"),
        default="never",
        description="`same-commit`: attach to an active or successful run of the job for this commit, if there is one.",
    ),
    Input(
        name="resume",
        parse=parsing.choice("unfinished", "all", "off"),
        default="unfinished",
        description=(
            "When the workflow run is re-run, continue with the dbt Cloud run that this step started before: "
            "`unfinished` unless it succeeded, `all` in any case, `off` never."
        ),
        only_in_workflow=True,
    ),
)

_TRIGGER = (
    Input(
        name="cause",
        parse=parsing.free_text,
        computed="repository, workflow, run number, actor",
        description="Text shown in dbt Cloud as the cause of the run.",
        elsewhere="Text shown in dbt Cloud as the cause of the run; else it names this command.",
    ),
    Input(name="git-sha", parse=parsing.line, description="Override: the commit to check out."),
    Input(name="git-branch", parse=parsing.line, description="Override: the branch to check out."),
    Input(name="schema-override", parse=parsing.line, description="Override: the target schema."),
    Input(name="target-name-override", parse=parsing.line, description="Override: `target.name`."),
    Input(name="dbt-version-override", parse=parsing.line, description="Override: the dbt version."),
    Input(name="threads-override", parse=parsing.integer(), description="Override: the number of threads."),
    Input(
        name="timeout-seconds-override",
        parse=parsing.integer(0),
        description="Override: dbt Cloud's own time limit for the run.",
    ),
    Input(
        name="github-pull-request-id",
        parse=parsing.integer(),
        description="Override: the number of the GitHub pull request that the run is for.",
    ),
    Input(
        name="azure-pull-request-id",
        parse=parsing.integer(),
        description="Override: the number of the Azure DevOps pull request that the run is for.",
    ),
    Input(
        name="gitlab-merge-request-id",
        parse=parsing.integer(),
        description="Override: the number of the GitLab merge request that the run is for.",
    ),
    Input(
        name="non-native-pull-request-id",
        parse=parsing.integer(),
        description="Override: the number of the pull request of another Git provider that the run is for.",
    ),
    Input(name="generate-docs-override", parse=parsing.boolean, description="Override: whether docs are generated."),
    Input(
        name="steps-override",
        parse=commands.commands,
        description="Override: the commands to run, one dbt command per line, or a list in YAML or JSON.",
    ),
    Input(
        name="pull-request",
        parse=parsing.choice("auto", "on", "off"),
        default="auto",
        description=(
            "On a pull request or in a merge queue, fill in commit, pull request and schema that are not given: "
            "`auto` for CI jobs, `on` for any job, `off` never."
        ),
        only_in_workflow=True,
    ),
)

_RETRIES = (
    Input(
        name="targeted-retries",
        parse=parsing.integer(0, 100),
        default="3",
        description="How often the nodes that did not succeed are re-run; `0` turns retries off.",
    ),
    Input(
        name="retry-on",
        parse=parsing.choice("transient", "any"),
        default="transient",
        description="`transient`: all failures but those known to be deterministic; `any`: every failure.",
    ),
    Input(
        name="retry-strategy",
        parse=parsing.choice("nodes", "native"),
        default="nodes",
        description="`nodes`: a new run of exactly what did not succeed; `native`: dbt Cloud's own retry of the run.",
    ),
    Input(
        name="retry-delay",
        parse=parsing.decimal(86_400, "seconds"),
        default="30",
        description="Seconds between the end of a failed run and the first retry, doubled for each next one.",
    ),
    Input(
        name="wait",
        parse=parsing.boolean,
        default="true",
        description="`false`: trigger, set the outputs that are known, and end green.",
        elsewhere="`false`: trigger, write what is known, and end with status 0.",
    ),
    Input(
        name="timeout-minutes",
        parse=parsing.decimal(525_600, "minutes"),
        default="0",
        description="Limit in minutes over all attempts, at which the run is cancelled; `0`: none.",
    ),
    Input(
        name="queue-timeout-minutes",
        parse=parsing.decimal(525_600, "minutes"),
        default="0",
        description="Limit in minutes for each attempt in dbt Cloud's queue; `0`: none.",
    ),
    Input(
        name="poll-interval",
        parse=parsing.poll_interval,
        default="auto",
        description="Seconds between two status requests, or `auto`.",
    ),
    Input(
        name="cancel-run",
        parse=parsing.boolean,
        default="true",
        description="Cancel the dbt Cloud run when this step is cancelled, killed or out of time.",
        elsewhere="Cancel the dbt Cloud run on Ctrl-C, SIGTERM and SIGHUP, and when it is out of time.",
    ),
    Input(
        name="fail-on-error",
        parse=parsing.boolean,
        default="true",
        description="`false`: a failed dbt run leaves the step green; check the outputs.",
        elsewhere="`false`: a failed dbt run ends with status 0; check `result.json`.",
    ),
    Input(
        name="fail-on",
        parse=parsing.words(*Gate),
        description=(
            "Conditions that fail a run that succeeded: any of `no-nodes`, `stale-sources`, `source-warnings`, "
            "`warnings`, `other-commit`, separated by commas or line ends."
        ),
    ),
)

_PUBLISHED = (
    Input(
        name="artifacts",
        parse=parsing.artifact_paths,
        default="manifest.json\nrun_results.json\ncatalog.json\nsources.json",
        description=(
            "Artifacts to keep: paths under dbt's target folder, one per line, globs allowed; `none` keeps no files."
        ),
    ),
    Input(
        name="step-artifacts",
        parse=parsing.choice("results", "all", "none"),
        default="results",
        description="What is kept of each step of each attempt: `results` (run results and sources), `all`, `none`.",
    ),
    Input(
        name="artifacts-path",
        parse=str,
        computed="dbt-cloud/<job-id>",
        description="Folder in the workspace that receives the artifacts.",
        elsewhere="Folder in the working directory that receives the artifacts.",
    ),
    Input(
        name="upload-artifact",
        parse=parsing.boolean,
        default="true",
        description="Upload what this step wrote there as a workflow artifact.",
        only_in_workflow=True,
    ),
    Input(
        name="artifact-name",
        parse=parsing.artifact_name,
        computed="dbt-cloud-run-<job-id>-<run-id>",
        description="Name of the workflow artifact; `<run-id>` in the default is that of the first attempt.",
        only_in_workflow=True,
    ),
    Input(
        name="artifact-retention-days",
        parse=parsing.integer(1, 400),
        computed="the repository's",
        description="Days for which the workflow artifact is kept.",
        only_in_workflow=True,
    ),
    Input(
        name="summary",
        parse=parsing.boolean,
        default="true",
        description="Write the job summary.",
        elsewhere="Show the summary on a terminal, and write it to --summary-file.",
    ),
    Input(
        name="annotations",
        parse=parsing.boolean,
        default="true",
        description="Annotate the files of failed nodes.",
        elsewhere="Name the files of failed nodes in the log, with what dbt says of them.",
    ),
    Input(
        name="project-directory",
        parse=str,
        default=".",
        description="Where the dbt project lies in the repository, for links and annotations.",
        elsewhere="Where the dbt project lies in the working directory, for links and the names of files.",
    ),
    Input(
        name="pr-comment",
        parse=parsing.choice("false", "true", "on-failure"),
        default="false",
        description="Comment on the pull request, updated in place: `true`, `false`, `on-failure`; needs a token.",
        only_in_workflow=True,
    ),
    Input(
        name="github-token",
        parse=parsing.token,
        secret=True,
        expression="${{ github.token }}",
        description=(
            "Used for `pr-comment` (the job needs `pull-requests: write`), and to look up the head of a pull request "
            "that an event names without it."
        ),
        only_in_workflow=True,
    ),
    Input(
        name="emit",
        parse=parsing.words("prefect", "openlineage"),
        description=(
            "Send the materializations as events to `prefect`, `openlineage` or both, each configured by its own "
            "environment variables."
        ),
    ),
    Input(
        name="comment-key",
        parse=parsing.line,
        description="Distinguishes the comments of two steps of a workflow that are equal in everything else.",
        only_in_workflow=True,
    ),
    Input(
        name="strategy-job-index",
        parse=parsing.line,
        expression="${{ strategy.job-index }}",
        description="Internal: distinguishes the jobs of a matrix. Leave it as it is.",
        only_in_workflow=True,
    ),
)

GROUPS: dict[str, tuple[Input, ...]] = {
    "Which run": _WHICH_RUN,
    "What is triggered": _TRIGGER,
    "Retries, waiting, ending": _RETRIES,
    "What is published": _PUBLISHED,
}
"""The inputs under the headings that the README and `dbt-cloud-run --help` have for them."""

INPUTS: tuple[Input, ...] = tuple(entry for group in GROUPS.values() for entry in group)


def missing_inputs(known: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """The variables by which the runner would hand over these inputs, those alone that it hands over empty.

    `known` is by the inputs' names. A job that is named in another way needs no id.
    """
    given = {entry.name for entry in INPUTS if entry.given(environ)}
    if given & {"job-name", "run-id"}:
        given.add("job-id")
    return as_variables({name: text for name, text in known.items() if name not in given})


def as_variables(texts: Mapping[str, str]) -> dict[str, str]:
    """Inputs by their names, as the variables by which the runner hands them over."""
    return {f"{PREFIX}{name.upper()}": text for name, text in texts.items()}


DEFAULTS = {entry.name: entry.default for entry in INPUTS}
"""What the runner hands over for an input that the workflow leaves out, by name; expressions and variables apart."""
