"""The runs that the checks start, where they may: each with commands that read and build nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dbt_cloud_emulator.conformance.scene import ENDED, ERROR, OUR_CAUSE, UNKNOWN_ID, NotCheckedError, Scene, Started
from dbt_cloud_emulator.conformance.session import NotThereError

# The forms in which a retry writes its command lines, on a command that builds nothing.
COMMANDS = (
    "dbt list --select a_model another_model+ --exclude tag:none",
    "dbt list --select package.folder.a_model.v2 --indirect-selection cautious",
    'dbt list --select "resource_type:model,config.materialized:view" --resource-type model',
    'dbt --no-use-colors list --select=source:raw.orders --vars \'{"key": "a b", "n": 1}\'',
    "dbt list -s 'a_model' '@another_model' --output json",
)
FAILING = ("dbt list --select a_model", "dbt run-operation no_macro_has_this_name", "dbt list --select a_model")
CAUSE = f"{OUR_CAUSE} ä".ljust(255, "x")
LONG_CAUSE = "x" * 256
OVERRIDES: Mapping[str, Any] = {"threads_override": 2, "generate_docs_override": False}
SECONDS = 1800.0


@dataclass(frozen=True)
class Phase:
    """One run that is started, and for what."""

    name: str
    says: str
    start: Callable[[Scene], None]


def _trigger(scene: Scene, name: str, body: Mapping[str, Any]) -> Started:
    answer = scene.session.ask("POST", f"jobs/{scene.job_id}/run/", body=dict(body))
    started = scene.started[name] = Started(body, answer)
    return started


def _watch(scene: Scene, started: Started, *, interval: float = 1.0) -> None:
    """Poll a run, with its steps, until it has ended."""
    began = time.monotonic()
    while (seconds := time.monotonic() - began) < SECONDS:
        run = scene.run(started.id)
        if not started.moments or started.moments[-1] != run:
            started.moments.append(run)
        if run.get("status") in ENDED:
            started.seconds = seconds
            return
        time.sleep(interval)


def _commands(scene: Scene) -> None:
    body = {"cause": CAUSE, "steps_override": list(COMMANDS), **OVERRIDES, "account_id": scene.session.account_id}
    started = _trigger(scene, "commands", body)
    if not started.answer.is_success:  # further fields may be the reason
        scene.refusals["extra"] = started.answer
        started = _trigger(scene, "commands", {name: value for name, value in body.items() if name != "account_id"})
    started.newest_after = next(iter(scene.list(limit="1")), None)
    _watch(scene, started)


def _cancel(scene: Scene) -> None:
    started = _trigger(scene, "cancel", {"cause": f"{OUR_CAUSE}: to be cancelled", "steps_override": [COMMANDS[0]]})
    started.cancel = scene.session.ask("POST", f"runs/{started.id}/cancel/")
    _watch(scene, started)
    started.cancel_again = scene.session.ask("POST", f"runs/{started.id}/cancel/")
    started.moments.append(scene.run(started.id))


def _fail(scene: Scene) -> None:
    started = _trigger(scene, "fail", {"cause": f"{OUR_CAUSE}: to fail", "steps_override": list(FAILING), **OVERRIDES})
    _watch(scene, started)


def _retry(scene: Scene) -> None:
    """Retry the newest failed run, where dbt Cloud says that it can."""
    failed = next((run for run in scene.list(limit="1") if run.get("status") == ERROR), None)
    if failed is None or not scene.run(failed["id"]).get("can_retry"):
        raise NotCheckedError("the job's newest run cannot be retried")
    answer = scene.session.ask("POST", f"runs/{failed['id']}/retry/")
    started = scene.started["retry"] = Started({}, answer, of=failed["id"])
    _watch(scene, started)


def _refused(scene: Scene) -> None:
    """Requests that are to be refused; a run that one starts all the same is cancelled at once."""
    trigger = f"jobs/{scene.job_id}/run/"
    ask = scene.session.ask
    scene.refusals["long_cause"] = ask("POST", trigger, body={"cause": LONG_CAUSE})
    scene.refusals["types"] = ask("POST", trigger, body={"cause": OUR_CAUSE, "threads_override": "4"})
    scene.refusals["no_cause"] = ask("POST", trigger, body={"git_branch": "main"})
    scene.refusals["unknown_job"] = ask("POST", f"jobs/{UNKNOWN_ID}/run/", body={"cause": OUR_CAUSE})
    if "commands" in scene.started:
        scene.refusals["retry"] = ask("POST", f"runs/{scene.started['commands'].id}/retry/")
    body = {"cause": f"{OUR_CAUSE}: no slash", "steps_override": [COMMANDS[0]]}
    scene.refusals["no_slash"] = ask("POST", trigger.removesuffix("/"), body=body)
    for answer in scene.refusals.values():
        run = answer.data.get("id") if isinstance(answer.data, dict) else None
        if answer.is_success and isinstance(run, int):
            ask("POST", f"runs/{run}/cancel/")


PHASES = (
    Phase("retry", "dbt Cloud's own retry of the job's newest run, if that failed and can be retried", _retry),
    Phase("commands", "a run that lists models in all forms of a command line, and builds nothing", _commands),
    Phase("cancel", "a run that is cancelled at once", _cancel),
    Phase("fail", "a run whose second command, an operation that does not exist, fails", _fail),
    Phase("refused", "triggers that are to be refused; a run that one starts all the same is cancelled", _refused),
)


def start_runs(scene: Scene, count: int, say: Callable[[str], None]) -> None:
    """Go through the first phases, one run each. What a phase cannot do is said, and the next one follows."""
    for number, phase in enumerate(PHASES[:count], start=1):
        say(f"{number} of {min(count, len(PHASES))}: {phase.says}")
        try:
            phase.start(scene)
        except (NotThereError, NotCheckedError) as error:
            say(f"   {error}")
