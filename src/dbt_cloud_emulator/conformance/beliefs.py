"""The list: everything that action and emulator rely on or assume, with its source and how sure it is.

A belief that is `sure` or `likely` is asserted: the server holds it or does not. An `unsure` one is observed: what was
seen goes into the report, beside what the emulator does. A belief's check has the same id.

Sources: `description`: the official OpenAPI description (v2, and v3 where named); `docs`: dbt's documentation;
`clients`: what released clients send or read; `reports`: public reports, status pages and recorded answers;
`inferred`: what follows from the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Sureness = Literal["sure", "likely", "unsure"]


@dataclass(frozen=True, slots=True)
class Belief:
    """One belief. `id` is `subject.detail`; `says` is one sentence."""

    id: str
    says: str
    source: str
    sureness: Sureness


_ROWS: tuple[tuple[str, str, str, Sureness], ...] = (
    # -- how it answers
    (
        "envelope.one",
        "An answer has `data` and `status` with code, is_success and two messages.",
        "description",
        "sure",
    ),
    ("envelope.list", "A list also has `extra` with filters, order_by and pagination.", "description", "sure"),
    ("envelope.counts", "`pagination` has the items of the page and of all pages.", "description", "sure"),
    ("host.root", "The host itself answers with a page, not with the API's JSON.", "inferred", "unsure"),
    ("headers.names", "No header states a rate limit before it is reached.", "inferred", "unsure"),
    ("auth.token", "`Authorization: Token …` is accepted.", "docs", "sure"),
    ("auth.bearer", "`Authorization: Bearer …` is accepted.", "docs", "likely"),
    ("auth.wrong", "A wrong token is answered 401 with the message `Invalid token.`", "reports", "likely"),
    ("auth.none", "A request without a token is answered 401.", "inferred", "likely"),
    ("auth.whoami", "`GET /api/v2/whoami/` exists.", "clients", "unsure"),
    ("refusal.run", "An unknown run is answered 404, with words about permissions.", "clients", "sure"),
    ("refusal.job", "An unknown job is answered 404.", "clients", "sure"),
    ("refusal.account", "Another account is answered 404, not 403.", "clients", "unsure"),
    ("refusal.query", "A query value that is not described is answered 400, and `data` names it.", "reports", "likely"),
    ("refusal.related", "An unknown name in `include_related` is answered 400.", "inferred", "unsure"),
    ("refusal.limit", "A `limit` over 100 is answered 400.", "inferred", "unsure"),
    ("refusal.json", "A 404 of the API has a JSON body in the envelope's form.", "reports", "likely"),
    ("query.account", "`account_id` in the query of a list is accepted.", "clients", "likely"),
    ("query.repeated", "`include_related` may be given more than once; all names count.", "clients", "likely"),
    ("query.list_forms", "`include_related` may be a JSON list in one value.", "clients", "likely"),
    ("path.no_slash", "A GET without the last slash is redirected.", "clients", "unsure"),
    # -- accounts, projects, environments, jobs
    ("account.fields", "An account has the fields that are described, with the types stated.", "description", "likely"),
    ("projects.v3", "v3 lists projects with id and name.", "description v3", "sure"),
    ("environments.v3", "v3 lists environments with id and name.", "description v3", "sure"),
    ("environments.queries", "v2 environments may be filtered by `dbt_version__in`.", "description", "likely"),
    ("job.fields", "A job has the fields that are described, with the types stated.", "description", "sure"),
    ("job.nested", "Its execution, settings and triggers have the fields that are described.", "description", "sure"),
    ("job.deactivated", "A job also states whether dbt Cloud has deactivated it.", "clients", "likely"),
    ("job.is_system", "A job also states that it is no system job; dbt-jobs-as-code needs it.", "clients", "likely"),
    ("job.id", "The job that is asked for is the one that is answered.", "description", "sure"),
    ("job.related", "`environment` is null unless asked for, and then has id and name.", "description", "sure"),
    ("jobs.order", "`order_by=id` lists jobs in the order of their ids.", "description", "sure"),
    ("jobs.name", "`name__icontains` finds the job by a part of its name in any case.", "description", "sure"),
    ("jobs.offset", "`offset` beyond the end is an empty list.", "description", "likely"),
    ("jobs.system", "`is_system` is accepted; the job that is asked for is no system job.", "description", "unsure"),
    # -- lists of runs
    ("runs.job", "`job_definition_id` lists runs of that job alone.", "description", "sure"),
    ("runs.order", "`order_by=-id` lists the newest run first; ids grow with time.", "description", "sure"),
    ("runs.limit", "`limit` is obeyed.", "description", "sure"),
    ("runs.offset", "`offset` skips as many runs.", "description", "sure"),
    ("runs.id_gt", "`id__gt` lists runs with a higher id alone.", "description", "sure"),
    ("runs.status_in", "`status__in=[…]` lists runs with one of these statuses.", "clients", "sure"),
    ("runs.range", "`created_at__range` with two times in a JSON list is accepted.", "clients", "likely"),
    (
        "runs.related",
        "`include_related=trigger` puts the trigger with its cause into each listed run.",
        "description",
        "sure",
    ),
    ("runs.no_steps", "Listed runs have no steps.", "description", "likely"),
    # -- runs
    ("run.id", "A run's id is a positive integer; the run asked for is the one answered.", "description", "sure"),
    ("run.fields", "A run has the fields that are described, with the types stated.", "description", "likely"),
    ("run.status", "`status` is 1, 2, 3, 10, 20 or 30.", "description", "sure"),
    (
        "run.flags",
        "The flags is_complete, is_success, is_error, is_cancelled agree with `status`.",
        "description",
        "sure",
    ),
    (
        "run.times",
        "Times are ISO 8601, with a blank or a T, in UTC; a complete run has a created_at.",
        "reports",
        "likely",
    ),
    ("run.durations", "duration, queued_duration and run_duration are `HH:MM:SS`.", "reports", "likely"),
    ("run.href", "`href` is the run's address, and ends with its id.", "reports", "likely"),
    ("run.bare", "trigger, job and environment are null, and steps empty, unless asked for.", "description", "likely"),
    ("run.related", "trigger, job, environment and run_steps are there when asked for.", "description", "sure"),
    ("run.trigger", "A trigger has cause, cause_category and every override.", "description", "sure"),
    ("run.audit", "`audit` names the actor of the trigger when asked for.", "description", "unsure"),
    ("run.message", "A run that succeeded has no status_message.", "reports", "unsure"),
    ("run.sha", "A complete run states the commit that was built.", "description", "likely"),
    # -- steps
    ("steps.fields", "A step has the fields that are described, with the types stated.", "description", "likely"),
    (
        "steps.more",
        "Steps of a run also have an id, status_humanized, times, duration and command.",
        "clients",
        "likely",
    ),
    ("steps.index", "Indices count from 1 without gaps, set-up steps included.", "reports", "likely"),
    ("steps.setup", "The first step clones the repository, and carries no command.", "reports", "likely"),
    ("steps.command", "The command of a dbt step stands between back-ticks in its name.", "clients", "sure"),
    ("steps.ended", "The steps of a successful run have all ended.", "inferred", "likely"),
    ("steps.logs", "Steps that have run have logs.", "clients", "likely"),
    ("steps.skipped", "Steps after a failed one are listed with the word Skipped and number 30.", "clients", "unsure"),
    ("steps.one", "`GET /steps/{id}/` returns a step by its id, with start and end.", "description", "likely"),
    ("steps.debug", "debug_logs are longer when `debug_logs` is asked for.", "docs", "unsure"),
    # -- artifacts
    ("artifacts.list", "The list of artifacts holds paths, or is null.", "description", "sure"),
    ("artifacts.saved", "artifacts_saved is true for a run that has ended with success.", "description", "likely"),
    (
        "artifacts.step",
        "`step` serves the artifact of that very step: its `args.which` fits the command.",
        "docs",
        "sure",
    ),
    ("artifacts.last", "Without `step` the artifact of the last step is served.", "docs", "sure"),
    ("artifacts.missing", "An artifact that is not there is answered 404.", "clients", "likely"),
    ("artifacts.setup", "A step that clones the repository has no run results: 404.", "clients", "unsure"),
    ("artifacts.env", "run_results.json names the run in `metadata.env.DBT_CLOUD_RUN_ID`.", "clients", "likely"),
    ("artifacts.inline", "An artifact is answered 200 with its content, without a redirect.", "inferred", "likely"),
    ("artifacts.gzip", "Artifacts are not compressed on the wire.", "inferred", "unsure"),
    # -- dbt Cloud's own retry
    ("retry.reason", "A run that succeeded cannot be retried: RETRY_NOT_FAILED_RUN.", "description", "sure"),
    (
        "retry.known",
        "`retry_not_supported_reason` is one of five words, and null exactly where can_retry is true.",
        "description",
        "likely",
    ),
    (
        "retry.details",
        "`GET …/retry/` of a failed run names the failed and the skipped steps.",
        "description",
        "likely",
    ),
    ("retry.details_older", "… also where the failed run is not the latest any more.", "inferred", "unsure"),
    ("retry.details_refused", "`GET …/retry/` of a successful run is answered 400.", "inferred", "unsure"),
    ("retry.chain", "A retry names the run that it retries in `retrying_run_id`.", "description", "likely"),
    ("retry.sha", "A retry builds the commit of the run that it retries.", "docs", "likely"),
    ("retry.overrides", "A retry inherits the overrides of the run that it retries.", "inferred", "unsure"),
    ("retry.category", "A retry has the cause_category `rerun`.", "inferred", "unsure"),
    ("retry.step", "The first command of a retry is `dbt retry`.", "inferred", "unsure"),
    # -- what is written: only with --start-runs
    (
        "write.trigger",
        "A trigger with a cause is answered 200 with the new run, which has not ended.",
        "description",
        "sure",
    ),
    ("write.queued", "The new run has status 1.", "docs", "likely"),
    ("write.cause", "A cause of 255 characters is kept as it was sent, umlauts included.", "clients", "likely"),
    ("write.overrides", "Overrides come back in the run's trigger as they were sent.", "description", "sure"),
    ("write.extra", "Further fields in the trigger's body are accepted.", "clients", "likely"),
    ("write.newest", "The new run has the job's highest id, and is in the list at once.", "inferred", "likely"),
    ("write.statuses", "`status` only grows: queued, starting, running, ended.", "description", "sure"),
    ("write.steps_appear", "Steps are listed while the run goes on, in order.", "clients", "unsure"),
    ("write.steps_there", "The steps are there when the run has ended.", "reports", "unsure"),
    ("write.logs_there", "… and have their logs.", "clients", "unsure"),
    ("write.saved_there", "… and the artifacts are saved.", "docs", "unsure"),
    (
        "write.commands",
        "Each form of command line that a retry is planned with arrives as it was sent, and dbt takes it.",
        "clients",
        "likely",
    ),
    ("write.cancel", "A cancel is answered 200 with the run.", "description", "sure"),
    ("write.cancelled", "A cancelled run ends with status 30 within a minute.", "docs", "likely"),
    ("write.canceller", "The audit names who cancelled.", "description", "unsure"),
    (
        "write.cancel_twice",
        "A cancel of a run that has ended is answered 200 and changes nothing.",
        "inferred",
        "unsure",
    ),
    (
        "write.failed",
        "A run whose command fails ends with status 20, and its failed step with 20.",
        "description",
        "sure",
    ),
    ("write.stops", "A failed command stops those after it.", "docs", "sure"),
    ("write.retry", "A retry of a failed run is answered 200 with a new run.", "description", "likely"),
    (
        "write.retry_refused",
        "A retry of a run that did not fail is answered 400, and `data` holds the reason.",
        "inferred",
        "unsure",
    ),
    ("write.long_cause", "A cause of 256 characters is answered 400.", "clients", "likely"),
    ("write.types", "A number sent as text is answered 400, and `data` names the field.", "reports", "likely"),
    ("write.no_cause", "A trigger without a cause is answered 400.", "description", "sure"),
    ("write.unknown_job", "A trigger of an unknown job is answered 404.", "clients", "likely"),
    ("write.no_slash", "A trigger without the last slash is served.", "clients", "unsure"),
    # -- and the action's client
    (
        "client.reads",
        "The action's own client reads every recorded answer, and takes the same from it.",
        "inferred",
        "sure",
    ),
)

BELIEFS: dict[str, Belief] = {row[0]: Belief(*row) for row in _ROWS}
