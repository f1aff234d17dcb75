"""Accounts, projects, environments, jobs."""

from __future__ import annotations

from dbt_cloud_emulator.conformance import fields
from dbt_cloud_emulator.conformance.checks.answers import answered
from dbt_cloud_emulator.conformance.outcome import Seen, check
from dbt_cloud_emulator.conformance.scene import Scene


def described(what: str, value: object, of: fields.Fields) -> Seen:
    """Whether an object has all fields, with their types."""
    problems = fields.problems(what, value, of)
    return Seen(not problems, "; ".join(problems) or f"{len(of)} fields")


def _named(items: list[dict[str, object]]) -> Seen:
    is_so = bool(items) and all(type(item.get("id")) is int and isinstance(item.get("name"), str) for item in items)
    return Seen(is_so, f"{len(items)} with id and name" if is_so else f"{len(items)} items")


@check("account.fields")
def account(scene: Scene) -> Seen:
    answer = scene.session.data("GET", f"/api/v2/accounts/{scene.session.account_id}/")
    return described("an account", answer, fields.ACCOUNT)


@check("projects.v3")
def projects(scene: Scene) -> Seen:
    return _named(scene.session.many("projects/", version=3))


@check("environments.v3")
def environments(scene: Scene) -> Seen:
    return _named(scene.session.many("environments/", version=3))


@check("environments.queries")
def environment_queries(scene: Scene) -> Seen:
    return answered(scene.session.ask("GET", "environments/", {"dbt_version__in": '["1.5.0"]'}), 200)


@check("job.fields")
def job(scene: Scene) -> Seen:
    return described("a job", scene.job, fields.JOB)


@check("job.nested")
def job_nested(scene: Scene) -> Seen:
    problems = [
        f"{name}: {problem}"
        for name, of in fields.WITHIN_A_JOB.items()
        for problem in fields.problems("a part of a job", scene.job[name], of)
    ]
    return Seen(not problems, "; ".join(problems) or f"{len(fields.WITHIN_A_JOB)} parts")


@check("job.deactivated")
def deactivated(scene: Scene) -> Seen:
    found = scene.job.get("deactivated", "not there")
    return Seen(isinstance(found, bool), f"{found}")


@check("job.is_system")
def is_system(scene: Scene) -> Seen:
    found = scene.job.get("is_system", "not there")
    return Seen(found is False, f"{found}")


@check("job.id")
def job_id(scene: Scene) -> Seen:
    return Seen(scene.job["id"] == scene.job_id, "the same id" if scene.job["id"] == scene.job_id else "another id")


@check("job.related")
def job_related(scene: Scene) -> Seen:
    bare = scene.session.one(f"jobs/{scene.job_id}/")["environment"]
    asked = scene.job["environment"]
    is_so = bare is None and isinstance(asked, dict) and type(asked["id"]) is int and isinstance(asked["name"], str)
    return Seen(is_so, f"not asked for: {'null' if bare is None else 'there'}, asked for: {type(asked).__name__}")


@check("jobs.order")
def jobs_order(scene: Scene) -> Seen:
    ids = [item["id"] for item in scene.session.many("jobs/", {"order_by": "id", "limit": "100"})]
    return Seen(bool(ids) and ids == sorted(ids), f"{len(ids)} jobs, sorted: {ids == sorted(ids)}")


@check("jobs.name")
def jobs_name(scene: Scene) -> Seen:
    part = str(scene.job["name"])[1:].swapcase() or str(scene.job["name"])
    ids = [item["id"] for item in scene.session.many("jobs/", {"name__icontains": part})]
    return Seen(scene.job_id in ids, f"found among {len(ids)}" if scene.job_id in ids else f"not among {len(ids)}")


@check("jobs.offset")
def jobs_offset(scene: Scene) -> Seen:
    found = scene.session.many("jobs/", {"offset": "100000", "limit": "10"})
    return Seen(found == [], f"{len(found)} jobs")


@check("jobs.system")
def jobs_system(scene: Scene) -> Seen:
    ids = [item["id"] for item in scene.session.many("jobs/", {"is_system": "true"})]
    return Seen(scene.job_id not in ids, f"{len(ids)} system jobs, this one among them: {scene.job_id in ids}")
