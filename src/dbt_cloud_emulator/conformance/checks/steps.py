"""The steps of a run."""

from __future__ import annotations

from dbt_cloud_emulator.conformance import fields
from dbt_cloud_emulator.conformance.checks.definitions import described
from dbt_cloud_emulator.conformance.outcome import Seen, check
from dbt_cloud_emulator.conformance.scene import (
    ENDED,
    ERROR,
    SUCCESS,
    NotCheckedError,
    Scene,
    command_of,
    dbt_steps,
    steps_of,
)


@check("steps.fields")
def step_fields(scene: Scene) -> Seen:
    problems = sorted({text for step in steps_of(scene.ended) for text in fields.problems("a step", step, fields.STEP)})
    return Seen(not problems, "; ".join(problems) or f"{len(fields.STEP)} fields")


@check("steps.more")
def more(scene: Scene) -> Seen:
    steps = steps_of(scene.ended)
    problems = sorted({text for step in steps for text in fields.problems("a step", step, fields.MORE_OF_A_STEP)})
    return Seen(not problems, "; ".join(problems) or f"{len(fields.MORE_OF_A_STEP)} fields")


@check("steps.index")
def index(scene: Scene) -> Seen:
    found = [step["index"] for step in steps_of(scene.ended)]
    return Seen(sorted(found) == list(range(1, len(found) + 1)), f"{found}")


@check("steps.setup")
def setup(scene: Scene) -> Seen:
    first = min(steps_of(scene.ended), key=lambda step: int(step["index"]))
    is_so = command_of(first) is None and "clone" in first["name"].lower()
    return Seen(is_so, "it clones" if is_so else "it does something else")


@check("steps.command")
def command(scene: Scene) -> Seen:
    found = [command_of(step) or "" for step in dbt_steps(scene.ended)]
    return Seen(bool(found) and all(text.startswith("dbt ") for text in found), f"{len(found)} commands of dbt")


@check("steps.ended")
def ended(scene: Scene) -> Seen:
    found = sorted({step["status"] for step in steps_of(scene.successful)})
    return Seen(set(found) <= set(ENDED), f"statuses {found}")


@check("steps.logs")
def logs(scene: Scene) -> Seen:
    run = [step for step in steps_of(scene.ended) if step["status"] in (SUCCESS, ERROR)]
    empty = [step["index"] for step in run if not step["logs"]]
    return Seen(not empty, f"{len(run)} steps, without logs: {empty}")


@check("steps.skipped")
def skipped(scene: Scene) -> Seen:
    found = _after_failure(scene)
    states = sorted({(step.get("status"), step.get("status_humanized")) for step in found}, key=str)
    return Seen(states == [(30, "Skipped")], f"{len(found)} steps: {states}")


def _after_failure(scene: Scene) -> list[dict[str, object]]:
    steps = steps_of(scene.started["fail"].end if "fail" in scene.started else scene.failed)
    at = next((number for number, step in enumerate(steps) if step.get("status") == ERROR), len(steps))
    if not steps[at + 1 :]:
        raise NotCheckedError("no step stands after the failed one")
    return [dict(step) for step in steps[at + 1 :]]


@check("steps.one")
def one(scene: Scene) -> Seen:
    step = steps_of(scene.ended)[0]
    found = scene.session.one(f"steps/{step['id']}/")
    seen = described("a step", found, fields.WHOLE_STEP)
    is_same = found["id"] == step["id"]
    return Seen(seen.is_as_believed and is_same, f"{seen.what}{'' if is_same else '; another id'}")


@check("steps.debug")
def debug(scene: Scene) -> Seen:
    short = sum(len(step.get("debug_logs") or "") for step in steps_of(scene.ended))
    full = sum(
        len(step.get("debug_logs") or "") for step in steps_of(scene.run(scene.ended["id"], "run_steps,debug_logs"))
    )
    return Seen(full >= short, f"{short} characters, {full} when asked for")
