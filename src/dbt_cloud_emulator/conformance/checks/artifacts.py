"""Artifacts."""

from __future__ import annotations

from dbt_cloud_emulator.conformance.outcome import Seen, check
from dbt_cloud_emulator.conformance.scene import NotCheckedError, Scene, command_of, dbt_steps, step_query, steps_of
from dbt_cloud_emulator.conformance.session import Exchange

RESULTS = "run_results.json"


def _fetch(scene: Scene, path: str, step: dict[str, str] | None = None) -> Exchange:
    return scene.session.ask("GET", f"runs/{scene.ended['id']}/artifacts/{path}", step)


@check("artifacts.list")
def list_(scene: Scene) -> Seen:
    found = scene.session.data("GET", f"runs/{scene.ended['id']}/artifacts/")
    is_so = found is None or (isinstance(found, list) and all(isinstance(path, str) for path in found))
    return Seen(is_so, "null" if found is None else f"{len(found)} paths")


@check("artifacts.saved")
def saved(scene: Scene) -> Seen:
    return Seen(scene.successful["artifacts_saved"] is True, f"{scene.successful['artifacts_saved']}")


@check("artifacts.step")
def of_step(scene: Scene) -> Seen:
    found, odd = 0, []
    # The first step tells a server that serves the last one's whatever is asked for.
    for step in dbt_steps(scene.ended):
        answer = _fetch(scene, RESULTS, step_query(step))
        if not answer.is_success:
            continue
        found += 1
        which, words = answer.body["args"]["which"], (command_of(step) or "").split()
        # `dbt docs generate` calls itself generate, `dbt source freshness` freshness; a retry what it retries.
        if which not in words and words[1:2] != ["retry"]:
            odd.append(f"args.which {which!r} for `dbt {next(iter(words[1:]), '')} …`")
    if not found:
        raise NotCheckedError("no step of the run left run results")
    return Seen(not odd, "; ".join(odd) or f"{found} steps")


@check("artifacts.last")
def last(scene: Scene) -> Seen:
    ran = dbt_steps(scene.ended)
    if not ran:
        raise NotCheckedError("the run has no dbt step")
    with_step = _fetch(scene, RESULTS, step_query(ran[-1]))
    without = _fetch(scene, RESULTS)
    return Seen(
        (with_step.status, with_step.content) == (without.status, without.content),
        f"with step {with_step.status}, without {without.status}, the same: {with_step.content == without.content}",
    )


@check("artifacts.missing")
def missing(scene: Scene) -> Seen:
    answer = _fetch(scene, "no_such_file.json")
    return Seen(answer.status == 404, f"{answer.status}, {len(answer.content)} bytes")


@check("artifacts.setup")
def of_setup(scene: Scene) -> Seen:
    first = min(steps_of(scene.ended), key=lambda step: int(step["index"]))
    answer = _fetch(scene, RESULTS, step_query(first))
    return Seen(answer.status == 404, f"{answer.status}, {len(answer.content)} bytes")


@check("artifacts.env")
def env(scene: Scene) -> Seen:
    run, _, results = scene.results_step()
    names = results["metadata"].get("env") or {}
    return Seen(
        str(names.get("DBT_CLOUD_RUN_ID")) == str(run["id"]),
        f"{sorted(name for name in names if name.startswith('DBT_CLOUD_'))}",
    )


@check("artifacts.inline")
def inline(scene: Scene) -> Seen:
    found = [_fetch(scene, RESULTS, step_query(step)) for step in dbt_steps(scene.ended)]
    statuses = sorted({answer.status for answer in found})
    if not found:
        raise NotCheckedError("the run has no dbt step")
    types = sorted({answer.headers.get("content-type", "no type") for answer in found if answer.is_success})
    return Seen(200 in statuses and set(statuses) <= {200, 404}, f"{statuses}, {types}")


@check("artifacts.gzip")
def gzip(scene: Scene) -> Seen:
    _, step, _ = scene.results_step()
    found = _fetch(scene, RESULTS, step_query(step)).headers.get("content-encoding", "none")
    return Seen(found == "none", f"content-encoding: {found}")
