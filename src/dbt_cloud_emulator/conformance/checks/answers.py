"""How the server answers: envelopes, headers, tokens, refusals, and what clients send besides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbt_cloud_emulator.conformance.outcome import Seen, check
from dbt_cloud_emulator.conformance.scene import UNKNOWN_ID, Scene
from dbt_cloud_emulator.conformance.session import Exchange

LIMIT_HEADERS = ("rate", "retry-after", "quota")


def answered(answer: Exchange, status: int, words: str = "") -> Seen:
    """Whether an answer has this status and these words, in any case."""
    is_so = answer.status == status and words.lower() in answer.words.lower()
    return Seen(is_so, said(answer))


def said(answer: Exchange) -> str:
    """The status, and the words of a refusal; those of a success are the user's own."""
    return str(answer.status) if answer.is_success else f"{answer.status}: {answer.shown_words or 'no words'}"


def _has(envelope: Any, *names: str) -> bool:
    return isinstance(envelope, Mapping) and all(name in envelope for name in names)


@check("envelope.one")
def one(scene: Scene) -> Seen:
    answer = scene.session.ask("GET", f"jobs/{scene.job_id}/")
    state = answer.body.get("status") if isinstance(answer.body, dict) else None
    is_so = _has(answer.body, "data", "status") and _has(
        state, "code", "is_success", "user_message", "developer_message"
    )
    return Seen(is_so, f"{sorted(answer.body) if isinstance(answer.body, dict) else 'no object'}, status {state}")


@check("envelope.list")
def list_(scene: Scene) -> Seen:
    extra = scene.session.ask("GET", "runs/", {"job_definition_id": str(scene.job_id), "limit": "1"}).body["extra"]
    is_so = _has(extra, "filters", "order_by", "pagination") and isinstance(extra["filters"], dict)
    return Seen(is_so, f"extra: {sorted(extra)}")


@check("envelope.counts")
def counts(scene: Scene) -> Seen:
    answer = scene.session.ask("GET", "runs/", {"job_definition_id": str(scene.job_id), "limit": "1"})
    found = answer.body["extra"]["pagination"]
    is_so = found["count"] == len(answer.data) and found["total_count"] >= found["count"]
    return Seen(is_so, f"pagination {found} for {len(answer.data)} items")


@check("host.root")
def root(scene: Scene) -> Seen:
    answer = scene.session.ask("GET", "/")
    return Seen(answer.body is None, f"{answer.status}, {answer.headers.get('content-type', 'no type')}")


@check("headers.names")
def headers(scene: Scene) -> Seen:
    answer = scene.session.ask("GET", f"jobs/{scene.job_id}/")
    limits = [name for name in sorted(answer.headers) if any(word in name for word in LIMIT_HEADERS)]
    return Seen(not limits, f"headers: {', '.join(sorted(answer.headers))}")


@check("auth.token")
def token(scene: Scene) -> Seen:
    return answered(scene.session.ask("GET", f"jobs/{scene.job_id}/"), 200)


@check("auth.bearer")
def bearer(scene: Scene) -> Seen:
    return answered(scene.session.ask("GET", f"jobs/{scene.job_id}/", scheme="Bearer"), 200)


@check("auth.wrong")
def wrong(scene: Scene) -> Seen:
    return answered(scene.session.ask("GET", f"jobs/{scene.job_id}/", token="dbtc_wrong"), 401, "invalid token")  # noqa: S106


@check("auth.none")
def none(scene: Scene) -> Seen:
    return answered(scene.session.ask("GET", f"jobs/{scene.job_id}/", token=""), 401)


@check("auth.whoami")
def whoami(scene: Scene) -> Seen:
    answer = scene.session.ask("GET", "/api/v2/whoami/")
    keys = sorted(answer.data) if isinstance(answer.data, dict) else []
    return Seen(answer.status == 200, f"{answer.status}: {keys}")


@check("refusal.run")
def unknown_run(scene: Scene) -> Seen:
    return answered(scene.session.ask("GET", f"runs/{UNKNOWN_ID}/"), 404, "permission")


@check("refusal.job")
def unknown_job(scene: Scene) -> Seen:
    return answered(scene.session.ask("GET", f"jobs/{UNKNOWN_ID}/"), 404)


@check("refusal.account")
def another_account(scene: Scene) -> Seen:
    return answered(scene.session.ask("GET", f"jobs/{scene.job_id}/", account_id=UNKNOWN_ID), 404)


@check("refusal.query")
def unknown_query(scene: Scene) -> Seen:
    answer = scene.session.ask("GET", "runs/", {"created_at__gte": "2026-01-01", "limit": "1"})
    return answered(answer, 400, "created_at__gte")


@check("refusal.related")
def unknown_related(scene: Scene) -> Seen:
    return answered(scene.session.ask("GET", f"jobs/{scene.job_id}/", {"include_related": "no_such_name"}), 400)


@check("refusal.limit")
def high_limit(scene: Scene) -> Seen:
    answer = scene.session.ask("GET", "runs/", {"job_definition_id": str(scene.job_id), "limit": "101"})
    return answered(answer, 400)


@check("refusal.json")
def json_404(scene: Scene) -> Seen:
    answer = scene.session.ask("GET", f"runs/{UNKNOWN_ID}/")
    state = answer.body.get("status") if isinstance(answer.body, dict) else None
    return Seen(_has(state, "code", "user_message"), f"status: {state}")


@check("query.account")
def account_in_query(scene: Scene) -> Seen:
    return answered(scene.session.ask("GET", "runs/", {"account_id": str(scene.session.account_id), "limit": "1"}), 200)


@check("query.repeated")
def repeated(scene: Scene) -> Seen:
    run_id = scene.listed[0]["id"]
    query = [("include_related", "trigger"), ("include_related", "job")]
    answer = scene.session.ask("GET", f"runs/{run_id}/", query)
    there = [name for name in ("trigger", "job") if isinstance(answer.data, dict) and answer.data.get(name)]
    return Seen(there == ["trigger", "job"], f"{answer.status}, there: {there}")


@check("query.list_forms")
def json_list(scene: Scene) -> Seen:
    run_id = scene.listed[0]["id"]
    answer = scene.session.ask("GET", f"runs/{run_id}/", {"include_related": '["trigger","job"]'})
    there = [name for name in ("trigger", "job") if isinstance(answer.data, dict) and answer.data.get(name)]
    return Seen(there == ["trigger", "job"], f"{answer.status}, there: {there}")


@check("path.no_slash")
def no_slash(scene: Scene) -> Seen:
    answer = scene.session.ask("GET", f"jobs/{scene.job_id}")
    return Seen(300 <= answer.status < 400, f"{answer.status}")
