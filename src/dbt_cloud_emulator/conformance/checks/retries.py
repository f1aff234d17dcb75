"""dbt Cloud's own retry, as far as it can be read."""

from __future__ import annotations

from dbt_cloud_emulator.conformance.checks.answers import answered
from dbt_cloud_emulator.conformance.fields import TRIGGER
from dbt_cloud_emulator.conformance.outcome import Seen, check
from dbt_cloud_emulator.conformance.scene import ERROR, NotCheckedError, Scene, command_of, steps_of

REASONS = ("UNSUPPORTED_CMD", "UNSUPPORTED_VERSION", "NOT_LATEST_RUN", "NOT_FAILED_RUN", "NO_RUN_RESULTS")
OWN = ("cause", "cause_category", "git_sha", "git_branch", "job_definition_id")


@check("retry.reason")
def reason(scene: Scene) -> Seen:
    run = scene.successful
    found = (run["can_retry"], run["retry_not_supported_reason"])
    return Seen(found == (False, "RETRY_NOT_FAILED_RUN"), f"can_retry {found[0]}, reason {found[1]}")


@check("retry.known")
def known(scene: Scene) -> Seen:
    found = {(run["can_retry"], run["retry_not_supported_reason"]) for run in scene.listed}
    words = {f"RETRY_{word}" for word in REASONS}
    is_so = all((why is None) if can else (why in words) for can, why in found)
    return Seen(is_so, f"{sorted(found, key=str)}")


@check("retry.details")
def details(scene: Scene) -> Seen:
    found = scene.session.data("GET", f"runs/{scene.failed['id']}/retry/")
    is_so = isinstance(found["failed_step"], str) and isinstance(found["skipped_steps"], list)
    return Seen(is_so, f"{sorted(found)}, {len(found['skipped_steps'])} skipped")


@check("retry.details_older")
def details_older(scene: Scene) -> Seen:
    older = [run for run in scene.list(status__in=f"[{ERROR}]") if run["id"] != scene.listed[0]["id"]]
    if not older:
        raise NotCheckedError("the job has no older failed run")
    return answered(scene.session.ask("GET", f"runs/{older[0]['id']}/retry/"), 200)


@check("retry.details_refused")
def details_refused(scene: Scene) -> Seen:
    return answered(scene.session.ask("GET", f"runs/{scene.successful['id']}/retry/"), 400)


@check("retry.chain")
def chain(scene: Scene) -> Seen:
    retried = scene.run(scene.retry["retrying_run_id"], "")
    is_so = retried["id"] < scene.retry["id"] and retried["job_definition_id"] == scene.job_id
    return Seen(is_so, f"of the same job: {retried['job_definition_id'] == scene.job_id}")


@check("retry.sha")
def sha(scene: Scene) -> Seen:
    retried = scene.run(scene.retry["retrying_run_id"], "")
    return Seen(
        retried["git_sha"] == scene.retry["git_sha"], f"the same: {retried['git_sha'] == scene.retry['git_sha']}"
    )


@check("retry.overrides")
def overrides(scene: Scene) -> Seen:
    retried = scene.run(scene.retry["retrying_run_id"], "trigger")["trigger"]
    names = [name for name in TRIGGER if name not in OWN]
    if not any(retried.get(name) for name in names):
        raise NotCheckedError("the run that was retried had no overrides")
    other = [name for name in names if retried.get(name) != scene.retry["trigger"].get(name)]
    return Seen(not other, f"not inherited: {other}")


@check("retry.category")
def category(scene: Scene) -> Seen:
    found = scene.retry["trigger"]["cause_category"]
    return Seen(found == "rerun", f"{found}")


@check("retry.step")
def step(scene: Scene) -> Seen:
    commands = [text for step in steps_of(scene.retry) if (text := command_of(step)) and text != "dbt deps"]
    return Seen(commands[:1] == ["dbt retry"], f"{' '.join((commands or ['none'])[0].split()[:2])}")
