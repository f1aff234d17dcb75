"""Runs: lists, fields, and what belongs to them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from dbt_cloud_emulator.conformance import fields
from dbt_cloud_emulator.conformance.checks.definitions import described
from dbt_cloud_emulator.conformance.outcome import Seen, check
from dbt_cloud_emulator.conformance.scene import CANCELLED, ERROR, SUCCESS, NotCheckedError, Scene
from dbt_cloud_emulator.timing import parse_timestamp

STATUSES = (1, 2, 3, SUCCESS, ERROR, CANCELLED)
FLAGS = {"is_success": SUCCESS, "is_error": ERROR, "is_cancelled": CANCELLED}
TIMES = ("created_at", "updated_at", "dequeued_at", "started_at", "finished_at")
CLOCKS = ("duration", "queued_duration", "run_duration")
RELATED = ("trigger", "job", "environment", "run_steps")


def _two(scene: Scene) -> list[dict[str, Any]]:
    if len(scene.listed) < 2:
        raise NotCheckedError("the job has fewer than two runs")
    return scene.listed


@check("runs.job")
def of_job(scene: Scene) -> Seen:
    others = [run for run in scene.listed if run["job_definition_id"] != scene.job_id]
    return Seen(not others, f"{len(scene.listed)} runs, {len(others)} of other jobs")


@check("runs.order")
def order(scene: Scene) -> Seen:
    runs = _two(scene)
    by_id = [run["id"] for run in runs] == sorted((run["id"] for run in runs), reverse=True)
    times = [parse_timestamp(run["created_at"]) for run in runs]
    return Seen(
        by_id and times == sorted(times, reverse=True),
        f"by id: {by_id}, by time: {times == sorted(times, reverse=True)}",
    )


@check("runs.limit")
def limit(scene: Scene) -> Seen:
    found = scene.list(limit="1")
    return Seen(len(found) == min(1, len(scene.listed)), f"{len(found)} for limit 1")


@check("runs.offset")
def offset(scene: Scene) -> Seen:
    runs = _two(scene)
    found = scene.list(limit="1", offset="1")
    return Seen(bool(found) and found[0]["id"] == runs[1]["id"], f"{len(found)} runs")


@check("runs.id_gt")
def id_gt(scene: Scene) -> Seen:
    runs = _two(scene)
    found = scene.list(id__gt=str(runs[1]["id"]))
    return Seen([run["id"] for run in found] == [runs[0]["id"]], f"{len(found)} runs, 1 expected")


@check("runs.status_in")
def status_in(scene: Scene) -> Seen:
    wanted = {SUCCESS, ERROR}
    found = scene.list(status__in=f"[{SUCCESS},{ERROR}]")
    expected = [run["id"] for run in scene.listed if run["status"] in wanted]
    is_so = all(run["status"] in wanted for run in found) and {run["id"] for run in found} >= set(expected)
    return Seen(is_so, f"{len(found)} runs with statuses {sorted({run['status'] for run in found})}")


@check("runs.range")
def created_range(scene: Scene) -> Seen:
    newest = parse_timestamp(scene.listed[0]["created_at"])
    bounds = [(newest + timedelta(seconds=seconds)).isoformat() for seconds in (-1, 1)]
    found = scene.list(created_at__range=json.dumps(bounds))
    before = [(newest - timedelta(days=days)).isoformat() for days in (20_001, 20_000)]
    earlier = scene.list(created_at__range=json.dumps(before))
    is_so = scene.listed[0]["id"] in [run["id"] for run in found] and not earlier
    return Seen(is_so, f"{len(found)} runs, {len(earlier)} in a range of long ago")


@check("runs.related")
def listed_trigger(scene: Scene) -> Seen:
    there = [run for run in scene.listed if isinstance(run["trigger"], dict) and run["trigger"].get("cause")]
    return Seen(len(there) == len(scene.listed), f"{len(there)} of {len(scene.listed)} with a cause")


@check("runs.no_steps")
def no_steps(scene: Scene) -> Seen:
    with_steps = [run for run in scene.listed if run.get("run_steps")]
    return Seen(not with_steps, f"{len(with_steps)} of {len(scene.listed)} have steps")


@check("run.id")
def run_id(scene: Scene) -> Seen:
    wanted = scene.listed[0]["id"]
    found = scene.run(wanted, "")["id"]
    return Seen(type(found) is int and found > 0 and found == wanted, f"{len(str(found))} digits")


@check("run.fields")
def run_fields(scene: Scene) -> Seen:
    return described("a run", scene.ended, fields.RUN)


@check("run.status")
def status(scene: Scene) -> Seen:
    found = sorted({run["status"] for run in (*scene.listed, scene.ended)})
    return Seen(set(found) <= set(STATUSES), f"{found}")


@check("run.flags")
def flags(scene: Scene) -> Seen:
    runs = [*scene.listed, scene.ended]
    odd = [run for run in runs if _flags(run) != _expected(run)]
    return Seen(not odd, f"{len(odd)} of {len(runs)} contradict")


def _flags(run: Mapping[str, Any]) -> dict[str, Any]:
    return {name: run[name] for name in (*FLAGS, "is_complete")}


def _expected(run: Mapping[str, Any]) -> dict[str, Any]:
    number = run["status"]
    return {name: number == of for name, of in FLAGS.items()} | {"is_complete": number in FLAGS.values()}


@check("run.times")
def times(scene: Scene) -> Seen:
    run = scene.ended
    moments = [parse_timestamp(run[name]) for name in TIMES if run[name] is not None]
    forms = sorted({("T" if "T" in run[name] else "blank") for name in TIMES if run[name] is not None})
    in_utc = all(moment.utcoffset() == timedelta() for moment in moments)
    return Seen(run["created_at"] is not None and in_utc, f"{len(moments)} of {len(TIMES)}, with {' and '.join(forms)}")


@check("run.durations")
def durations(scene: Scene) -> Seen:
    odd = fields.problems("a run", scene.ended, dict.fromkeys(CLOCKS, fields.CLOCK))
    nulls = [name for name in CLOCKS if scene.ended.get(name) is None]
    return Seen(not odd and not nulls, "; ".join([*odd, *nulls]) or "HH:MM:SS")


@check("run.href")
def href(scene: Scene) -> Seen:
    found = scene.ended["href"]
    is_so = isinstance(found, str) and found.startswith("http") and str(scene.ended["id"]) in found[-30:]
    return Seen(is_so, "null" if found is None else f"an address of {len(found)} characters")


@check("run.bare")
def bare(scene: Scene) -> Seen:
    run = scene.run(scene.ended["id"], "")
    there = [name for name in RELATED if run.get(name)]
    return Seen(not there, f"there: {there}")


@check("run.related")
def related(scene: Scene) -> Seen:
    there = [name for name in RELATED if scene.ended.get(name)]
    return Seen(there == list(RELATED), f"there: {there}")


@check("run.trigger")
def trigger(scene: Scene) -> Seen:
    return described("a trigger", scene.ended["trigger"], fields.TRIGGER)


@check("run.audit")
def audit(scene: Scene) -> Seen:
    found = scene.ended["audit"]
    actor = found["trigger"]["actor"] if found else None
    is_so = isinstance(actor, dict) and bool(actor.get("type"))
    return Seen(
        is_so, f"actor of type {actor.get('type')!r} with {sorted(actor)}" if isinstance(actor, dict) else "null"
    )


@check("run.message")
def message(scene: Scene) -> Seen:
    found = scene.successful["status_message"]
    return Seen(found is None, f"{type(found).__name__}{', empty' if found == '' else ''}")


@check("run.sha")
def sha(scene: Scene) -> Seen:
    found = scene.successful["git_sha"]
    is_so = isinstance(found, str) and re.fullmatch("[0-9a-f]{40}([0-9a-f]{24})?", found) is not None
    return Seen(is_so, "null" if found is None else f"{len(found)} characters, a whole hash: {is_so}")
