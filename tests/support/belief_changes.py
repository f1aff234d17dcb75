"""One change of the server for each belief, and more where a belief says more: each has to fail the belief's check.

A change looks at every answer, and returns it as it is or changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.support.conversation import Answer, Change

JOB, RUN, RUNS, JOBS = r"jobs/7/", r"runs/\d+/", r"runs/", r"jobs/"
TRIGGER, CANCEL, RETRY = r"jobs/\d+/run/?", r"runs/\d+/cancel/", r"runs/\d+/retry/"
ARTIFACT = r"runs/\d+/artifacts/.+"


def where(path: str, change: Change, *, method: str = "GET", status: int | None = None, **query: str | None) -> Change:
    """Change the answers to this path, with this status, and with these values in the query (None: not there)."""

    def changed(answer: Answer) -> Answer:
        is_meant = answer.method == method and re.fullmatch(path, answer.path) is not None
        is_meant &= all(answer.query.get(name) == value for name, value in query.items())
        return change(answer) if is_meant and status in (None, answer.status) else answer

    return changed


def answered(status: int, words: str = "", *, data: Any = None) -> Change:
    """Another status, in the API's own form."""
    state = {"code": status, "is_success": status < 300, "user_message": words, "developer_message": ""}
    return lambda answer: replace(answer.with_body({"data": data, "status": state}), status=status)


def status_alone(status: int) -> Change:
    return lambda answer: replace(answer, status=status)


def body(change: Callable[[Any], Any]) -> Change:
    def changed(answer: Answer) -> Answer:
        found = answer.body
        new = change(found)
        return answer.with_body(found if new is None else new)

    return changed


def data(change: Callable[[Any], Any]) -> Change:
    """`change` returns other data, or None for the same that it has changed in place."""

    def changed(found: Any) -> Any:
        new = change(found["data"])
        return found if new is None else found | {"data": new}

    return body(changed)


def each(change: Callable[[Any], Any]) -> Change:
    """Of a list's items, or of the one object."""
    return data(lambda found: [change(item) for item in (found if isinstance(found, list) else [found])] and None)


def fields(**values: Any) -> Change:
    return each(lambda item: item.update(values))


def without(name: str) -> Change:
    return each(lambda item: item.pop(name, None))


def steps(change: Callable[[Any], Any]) -> Change:
    return data(lambda run: [change(step) for step in run.get("run_steps") or []] and None)


def header(name: str, text: str) -> Change:
    return lambda answer: replace(answer, headers=answer.headers | {name: text})


def of_trigger(**values: Any) -> Change:
    return each(lambda item: item["trigger"].update(values) if item.get("trigger") else None)


def _newest_at_the_end(runs: list[Any]) -> list[Any]:
    return runs[::-1]


def _less(found: Any, part: str, name: str) -> Any:
    return found | {part: {key: value for key, value in found[part].items() if key != name}}


def _times_turned_round(runs: list[Any]) -> list[Any]:
    times = [run["created_at"] for run in runs]
    return [run | {"created_at": time} for run, time in zip(runs, reversed(times), strict=True)]


def asked_with(name: str, change: Change) -> Change:
    """Change the answers to requests that have `name` in the query."""
    return lambda answer: change(answer) if name in answer.query else answer


def _results_of_another(found: Any) -> Any:
    found["metadata"]["env"]["DBT_CLOUD_RUN_ID"] = "5"


CHANGES: dict[str, list[Change]] = {
    "envelope.one": [where(JOB, body(lambda found: _less(found, "status", "developer_message")))],
    "envelope.list": [where(RUNS, body(lambda found: _less(found, "extra", "filters")))],
    "envelope.counts": [
        where(RUNS, body(lambda found: found["extra"]["pagination"].update(count=7))),
        where(RUNS, body(lambda found: found["extra"]["pagination"].update(total_count=0))),
    ],
    "host.root": [where("/", answered(200))],
    "headers.names": [where(JOB, header("x-ratelimit-limit", "5000"))],
    "auth.token": [where(JOB, answered(403))],
    "auth.bearer": [lambda a: answered(401)(a) if a.asked_by.startswith("Bearer") else a],
    "auth.wrong": [where(JOB, answered(401, "Go away."), status=401), where(JOB, status_alone(403), status=401)],
    "auth.none": [where(JOB, status_alone(403), status=401)],
    "auth.whoami": [where("/api/v2/whoami/", answered(404))],
    "refusal.run": [where(RUN, answered(404, "Nothing."), status=404), where(RUN, status_alone(403), status=404)],
    "refusal.job": [where(r"jobs/9\d+/", status_alone(403))],
    "refusal.account": [where(r"/api/v2/accounts/9\d+/jobs/7/", status_alone(403))],
    "refusal.query": [where(RUNS, answered(400, "No."), status=400), where(RUNS, answered(200, data=[]), status=400)],
    "refusal.related": [where(JOB, answered(200, data={}), include_related="no_such_name")],
    "refusal.limit": [where(RUNS, answered(200, data=[]), limit="101")],
    "refusal.json": [where(RUN, lambda a: replace(a, content=b"<html>"), status=404)],
    "query.account": [where(RUNS, answered(400), account_id="1")],
    "query.repeated": [where(RUN, without("trigger"))],
    "query.list_forms": [where(RUN, fields(job=None))],
    "path.no_slash": [where("jobs/7", status_alone(200))],
    "account.fields": [
        where("/api/v2/accounts/1/", without("queue_limit")),
        where("/api/v2/accounts/1/", fields(run_slots="5")),
        where("/api/v2/accounts/1/", fields(name=None)),
    ],
    "projects.v3": [where("projects/", fields(name=None)), where("projects/", answered(404))],
    "environments.v3": [where("environments/", fields(id="20"))],
    "environments.queries": [where("environments/", answered(400), dbt_version__in='["1.5.0"]')],
    "job.fields": [where(JOB, without("run_lint")), where(JOB, fields(execute_steps=None))],
    "job.nested": [where(JOB, each(lambda job: job["settings"].pop("threads"))), where(JOB, fields(triggers=None))],
    "job.deactivated": [where(JOB, without("deactivated"))],
    "job.is_system": [where(JOB, fields(is_system=True)), where(JOB, without("is_system"))],
    "job.id": [where(JOB, fields(id=8))],
    "job.related": [
        where(JOB, fields(environment={"id": 20, "name": "x"}), include_related=None),
        where(JOB, fields(environment=None)),
        where(JOB, fields(environment={"id": 20})),
    ],
    "jobs.order": [where(JOBS, data(lambda jobs: [*jobs, {"id": 6}]), order_by="id")],
    "jobs.name": [where(JOBS, data(lambda _: []))],
    "jobs.offset": [where(JOBS, data(lambda _: [{"id": 7}]), offset="100000")],
    "jobs.system": [where(JOBS, data(lambda _: [{"id": 7}]), is_system="true"), where(JOBS, answered(400))],
    "runs.job": [
        where(RUNS, fields(job_definition_id=8)),
        where(RUNS, data(lambda runs: [*runs, runs[0] | {"job_definition_id": 8}])),
    ],
    "runs.order": [where(RUNS, data(_newest_at_the_end)), where(RUNS, data(_times_turned_round))],
    "runs.limit": [where(RUNS, data(lambda runs: runs * 2), limit="1")],
    "runs.offset": [where(RUNS, data(lambda runs: [runs[0] | {"id": runs[0]["id"] + 1}]), offset="1")],
    "runs.id_gt": [
        asked_with("id__gt", data(lambda runs: runs * 2)),
        asked_with("id__gt", data(lambda _: [])),
    ],
    "runs.status_in": [
        where(RUNS, fields(status=30), status__in="[10,20]"),
        where(RUNS, data(lambda runs: runs[1:]), status__in="[10,20]"),
    ],
    "runs.range": [
        asked_with("created_at__range", answered(400)),
        # The values are taken, and nothing is made of them.
        asked_with("created_at__range", data(lambda runs: runs or [{"id": 5}])),
    ],
    "runs.related": [where(RUNS, fields(trigger=None)), where(RUNS, of_trigger(cause=""))],
    "runs.no_steps": [where(RUNS, fields(run_steps=[{"index": 1}]))],
    "run.id": [where(RUN, fields(id=5)), where(RUN, fields(id="5"))],
    "run.fields": [
        where(RUN, without("used_repo_cache")),
        where(RUN, fields(created_at=None)),
        where(RUN, fields(blocked_by=["7"])),
        where(RUN, fields(is_success="yes")),
    ],
    "run.status": [where(RUNS, fields(status=41)), where(RUN, fields(status=11))],
    "run.flags": [where(RUNS, fields(is_error=None)), where(RUN, fields(is_complete=False))],
    "run.times": [
        where(RUN, fields(created_at="yesterday")),
        where(RUN, fields(started_at="2026-11-01 12:00:00+01:00")),
        where(RUN, fields(created_at=None)),
    ],
    "run.durations": [where(RUN, fields(run_duration=7)), where(RUN, fields(duration=None))],
    "run.href": [where(RUN, fields(href=None)), where(RUN, fields(href="https://dbt.example/runs/5/"))],
    "run.bare": [where(RUN, fields(environment={"id": 1}), include_related=None)],
    "run.related": [where(RUN, fields(job=None)), where(RUN, fields(run_steps=[]))],
    "run.trigger": [
        where(RUN, each(lambda run: run["trigger"].pop("git_sha") and None)),
        where(RUN, of_trigger(steps_override="dbt build")),
        where(RUN, of_trigger(cause=None)),
    ],
    "run.audit": [where(RUN, fields(audit=None))],
    "run.message": [where(RUN, fields(status_message="None"))],
    "run.sha": [where(RUN, fields(git_sha=None)), where(RUN, fields(git_sha="main"))],
    "steps.fields": [
        where(RUN, steps(lambda step: step.pop("log_path"))),
        where(RUN, steps(lambda s: s.update(name=None))),
    ],
    "steps.more": [where(RUN, steps(lambda step: step.pop("id"))), where(RUN, steps(lambda s: s.update(duration=1.5)))],
    "steps.index": [
        where(RUN, steps(lambda step: step.update(index=step["index"] - 1))),
        where(RUN, data(lambda run: run.update(run_steps=run["run_steps"][1:]) if run.get("run_steps") else None)),
    ],
    "steps.setup": [where(RUN, steps(lambda step: step.update(name="Prepare")))],
    "steps.command": [where(RUN, steps(lambda step: step.update(name=step["name"].replace("`", "'"))))],
    "steps.ended": [where(RUN, steps(lambda step: step.update(status=3)))],
    "steps.logs": [where(RUN, steps(lambda step: step.update(logs="")))],
    "steps.skipped": [
        where(RUN, steps(lambda s: s.update(status_humanized="Cancelled") if s["status"] == 30 else None)),
        where(RUN, steps(lambda s: s.update(status=40) if s["status"] == 30 else None)),
    ],
    "steps.one": [
        where(r"steps/\d+/", without("finished_at")),
        where(r"steps/\d+/", fields(id=5)),
        where(r"steps/\d+/", answered(404)),
    ],
    "steps.debug": [where(RUN, steps(lambda s: s.update(debug_logs="")), include_related="run_steps,debug_logs")],
    "artifacts.list": [where(r"runs/\d+/artifacts/", data(lambda _: [{"path": "manifest.json"}]))],
    "artifacts.saved": [where(RUN, fields(artifacts_saved=False))],
    "artifacts.step": [
        where(ARTIFACT, body(lambda found: found["args"].update(which="show"))),
        # The last step's, whatever is asked for.
        lambda a: (
            body(lambda f: f["args"].update(which="generate"))(a) if "/run_results" in a.path and a.status == 200 else a
        ),
    ],
    "artifacts.last": [where(ARTIFACT, lambda a: replace(a, content=b"{}"), step=None)],
    "artifacts.missing": [where(ARTIFACT, answered(200), status=404)],
    "artifacts.setup": [where(ARTIFACT, answered(200), step="1")],
    "artifacts.env": [where(ARTIFACT, body(_results_of_another), status=200)],
    "artifacts.inline": [where(ARTIFACT, status_alone(302), status=200), where(ARTIFACT, status_alone(500))],
    "artifacts.gzip": [where(ARTIFACT, header("content-encoding", "gzip"))],
    "retry.reason": [where(RUN, fields(can_retry=True)), where(RUN, fields(retry_not_supported_reason=None))],
    "retry.known": [
        where(RUNS, fields(retry_not_supported_reason="RETRY_TOO_LATE")),
        where(RUNS, fields(can_retry=False, retry_not_supported_reason=None)),
    ],
    "retry.details": [
        where(RETRY, data(lambda d: d.update(skipped_steps=None))),
        where(RETRY, answered(404), status=200),
    ],
    "retry.details_older": [where(RETRY, answered(400), status=200)],
    "retry.details_refused": [where(RETRY, answered(200), status=400)],
    "retry.chain": [where(RUN, fields(job_definition_id=8)), where(RUN, fields(retrying_run_id=70_471_823_999_999))],
    "retry.sha": [where(RUN, each(lambda run: run.update(git_sha=f"{run['id']:040x}")))],
    "retry.overrides": [
        where(
            RUN,
            each(
                lambda r: (
                    r["trigger"].update(threads_override=None)
                    if r.get("retrying_run_id") and r.get("trigger")
                    else None
                )
            ),
        )
    ],
    "retry.category": [where(RUN, of_trigger(cause_category="api"))],
    "retry.step": [where(RUN, steps(lambda step: step.update(name=step["name"].replace("dbt retry", "dbt build"))))],
    "write.trigger": [
        where(TRIGGER, status_alone(201), method="POST", status=200),
        where(TRIGGER, fields(status=10), method="POST", status=200),
        where(TRIGGER, fields(id="5"), method="POST", status=200),
    ],
    "write.queued": [where(TRIGGER, fields(status=3), method="POST", status=200)],
    "write.cause": [where(RUN, of_trigger(cause="Conformance check"))],
    "write.overrides": [where(RUN, of_trigger(threads_override=None)), where(RUN, of_trigger(steps_override=[]))],
    "write.extra": [where(TRIGGER, answered(400, "account_id"), method="POST")],
    "write.newest": [where(RUNS, data(lambda runs: runs[1:]), limit="1"), where(RUNS, fields(id=5), limit="1")],
    "write.statuses": [where(TRIGGER, fields(status=3), method="POST", status=200), where(RUN, fields(status=0))],
    "write.steps_appear": [where(RUN, data(lambda r: r.update(run_steps=[{}] * 99) if r["status"] < 10 else None))],
    "write.steps_there": [where(RUN, fields(run_steps=[])), where(RUN, steps(lambda step: step.update(status=3)))],
    "write.logs_there": [where(RUN, steps(lambda step: step.update(logs=None)))],
    "write.saved_there": [where(RUN, fields(artifacts_saved=False))],
    "write.commands": [
        where(RUN, steps(lambda step: step.update(name=step["name"].replace("'", '"')))),
        where(RUN, steps(lambda step: step.update(status=20) if "@another" in step["name"] else None)),
    ],
    "write.cancel": [
        where(CANCEL, status_alone(202), method="POST"),
        where(CANCEL, fields(id=5), method="POST"),
        where(CANCEL, answered(404), method="POST"),
    ],
    "write.cancelled": [where(RUN, each(lambda run: run.update(status=10) if run["status"] == 30 else None))],
    "write.canceller": [where(RUN, fields(audit=None)), where(RUN, fields(audit={"cancellation": None}))],
    "write.cancel_twice": [where(CANCEL, answered(400), method="POST")],
    "write.failed": [
        where(RUN, each(lambda run: run.update(status=10) if run["status"] == 20 else None)),
        where(RUN, steps(lambda step: step.update(status=30) if step["status"] == 20 else None)),
    ],
    "write.stops": [where(RUN, steps(lambda step: step.update(status=10) if step["status"] == 30 else None))],
    "write.retry": [
        where(RETRY, status_alone(201), method="POST", status=200),
        where(RETRY, answered(400), method="POST"),
        where(RETRY, fields(retrying_run_id=None, id=1), method="POST", status=200),
    ],
    "write.retry_refused": [
        where(RETRY, answered(400, "No."), method="POST"),
        where(RETRY, status_alone(409), method="POST", status=400),
    ],
    "write.long_cause": [where(TRIGGER, status_alone(500), method="POST", status=400)],
    "write.types": [where(TRIGGER, answered(400, "No."), method="POST", status=400)],
    "write.no_cause": [where(TRIGGER, status_alone(422), method="POST", status=400)],
    "write.unknown_job": [where(TRIGGER, status_alone(403), method="POST", status=404)],
    "write.no_slash": [where("jobs/7/run", status_alone(301), method="POST")],
    "client.reads": [where(RUNS, fields(id=None)), where(RUNS, data(lambda runs: {"runs": runs}))],
}
