"""What is written: triggers, cancels, retries. Looks at what `runs.start_runs` has started."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from dbt_cloud_emulator.conformance.checks.answers import answered, said
from dbt_cloud_emulator.conformance.outcome import Seen, check
from dbt_cloud_emulator.conformance.runs import CAUSE, COMMANDS, FAILING, OVERRIDES
from dbt_cloud_emulator.conformance.scene import CANCELLED, ENDED, ERROR, SUCCESS, Scene, command_of, steps_of
from dbt_cloud_emulator.conformance.session import NotThereError


@check("write.trigger")
def trigger(scene: Scene) -> Seen:
    started = scene.phase("commands")
    is_so = started.id > 0 and started.answer.status == 200 and started.answer.data["status"] not in ENDED
    return Seen(is_so, f"{started.answer.status}, status {started.answer.data['status']}")


@check("write.queued")
def queued(scene: Scene) -> Seen:
    found = scene.phase("commands").answer.data["status"]
    return Seen(found == 1, f"status {found}")


@check("write.cause")
def cause(scene: Scene) -> Seen:
    found = scene.phase("commands").end["trigger"]["cause"]
    return Seen(found == CAUSE, f"{len(found)} characters, the same: {found == CAUSE}")


@check("write.overrides")
def overrides(scene: Scene) -> Seen:
    sent = {**OVERRIDES, "steps_override": list(COMMANDS)}
    found = scene.phase("commands").end["trigger"]
    other = [name for name, value in sent.items() if found.get(name) != value]
    return Seen(not other, f"another value: {other}")


@check("write.extra")
def extra(scene: Scene) -> Seen:
    answer = scene.phase("commands").answer
    refused = scene.refusals.get("extra")
    return Seen(refused is None, said(answer if refused is None else refused))


@check("write.newest")
def newest(scene: Scene) -> Seen:
    started = scene.phase("commands")
    found = (started.newest_after or {}).get("id")
    return Seen(found == started.id, f"at the head of the list: {found == started.id}")


def _moments(scene: Scene) -> list[dict[str, Any]]:
    return [scene.phase("commands").answer.data, *scene.phase("commands").moments]


@check("write.statuses")
def statuses(scene: Scene) -> Seen:
    found = [run["status"] for run in _moments(scene)]
    return Seen(all(a <= b for a, b in pairwise(found)), " → ".join(map(str, dict.fromkeys(found))))


@check("write.steps_appear")
def steps_appear(scene: Scene) -> Seen:
    counts = [len(run.get("run_steps") or []) for run in scene.phase("commands").moments]
    return Seen(all(a <= b for a, b in pairwise(counts)), " → ".join(map(str, dict.fromkeys(counts))))


@check("write.steps_there")
def steps_there(scene: Scene) -> Seen:
    end = scene.phase("commands").end
    found = [step["status"] for step in end.get("run_steps") or []]
    return Seen(bool(found) and set(found) <= set(ENDED), f"{len(found)} steps with statuses {sorted(set(found))}")


@check("write.logs_there")
def logs_there(scene: Scene) -> Seen:
    empty = [step["index"] for step in steps_of(scene.phase("commands").end) if not step.get("logs")]
    return Seen(not empty, f"without logs: {empty}")


@check("write.saved_there")
def saved_there(scene: Scene) -> Seen:
    found = scene.phase("commands").end["artifacts_saved"]
    return Seen(found is True, f"{found}")


@check("write.commands")
def commands(scene: Scene) -> Seen:
    found = [
        text for step in steps_of(scene.phase("commands").end) if (text := command_of(step)) and text != "dbt deps"
    ]
    status = {command_of(step): step["status"] for step in steps_of(scene.phase("commands").end)}
    as_sent = [number for number, text in enumerate(COMMANDS) if text in found]
    taken = [number for number in as_sent if status[COMMANDS[number]] == SUCCESS]
    return Seen(len(taken) == len(COMMANDS), f"of {len(COMMANDS)}: as sent {as_sent}, with success {taken}")


@check("write.cancel")
def cancel(scene: Scene) -> Seen:
    started = scene.phase("cancel")
    answer = started.cancel
    is_so = answer is not None and answer.status == 200 and answer.data["id"] == started.id
    return Seen(is_so, "no answer" if answer is None else said(answer))


@check("write.cancelled")
def cancelled(scene: Scene) -> Seen:
    started = scene.phase("cancel")
    found, seconds = started.end["status"], started.seconds
    return Seen(found == CANCELLED and seconds <= 60, f"status {found} after {seconds:.0f} s")


@check("write.canceller")
def canceller(scene: Scene) -> Seen:
    audit = scene.phase("cancel").end["audit"]
    actor = (audit or {}).get("cancellation") and audit["cancellation"]["actor"]
    return Seen(bool(actor), f"of type {actor['type']!r}" if actor else "null")


@check("write.cancel_twice")
def cancel_twice(scene: Scene) -> Seen:
    started = scene.phase("cancel")
    again = started.cancel_again
    is_so = again is not None and again.status == 200 and started.end["status"] == CANCELLED
    return Seen(is_so, "no answer" if again is None else said(again))


@check("write.failed")
def failed(scene: Scene) -> Seen:
    end = scene.phase("fail").end
    of_step = {command_of(step): step["status"] for step in steps_of(end)}.get(FAILING[1])
    return Seen((end["status"], of_step) == (ERROR, ERROR), f"run {end['status']}, step {of_step}")


@check("write.stops")
def stops(scene: Scene) -> Seen:
    steps = steps_of(scene.phase("fail").end)
    at = next((number for number, step in enumerate(steps) if step["status"] == ERROR), None)
    if at is None:
        raise NotThereError("no step failed")
    ran = [step["index"] for step in steps[at + 1 :] if step["status"] in (SUCCESS, ERROR)]
    return Seen(not ran, f"ran after it: {ran}")


@check("write.retry")
def retry(scene: Scene) -> Seen:
    started = scene.phase("retry")
    is_new = started.id > started.of
    return Seen(started.answer.status == 200 and is_new, f"{said(started.answer)}, a higher id: {is_new}")


@check("write.retry_refused")
def retry_refused(scene: Scene) -> Seen:
    return answered(scene.refusal("retry"), 400, "RETRY_NOT_FAILED_RUN")


@check("write.long_cause")
def long_cause(scene: Scene) -> Seen:
    return answered(scene.refusal("long_cause"), 400, "cause")


@check("write.types")
def types(scene: Scene) -> Seen:
    return answered(scene.refusal("types"), 400, "threads_override")


@check("write.no_cause")
def no_cause(scene: Scene) -> Seen:
    return answered(scene.refusal("no_cause"), 400, "cause")


@check("write.unknown_job")
def unknown_job(scene: Scene) -> Seen:
    return answered(scene.refusal("unknown_job"), 404)


@check("write.no_slash")
def no_slash(scene: Scene) -> Seen:
    answer = scene.refusal("no_slash")
    return Seen(answer.is_success and isinstance(answer.data, dict), said(answer))
