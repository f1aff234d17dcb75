"""From an answer to its data, or to the error that it is. The server's words are shortened; no header is quoted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from dbt_cloud_run.cloud.errors import (
    Ambiguous,
    CloudError,
    Forbidden,
    NotFound,
    RateLimited,
    Redirected,
    Rejected,
    Subject,
    Unauthorized,
    Unreadable,
)
from dbt_cloud_run.text import in_one_line

MAX_WORDS = 500  # characters of the server's own words in a message
_MAX_RETRY_AFTER = 24 * 3600.0
_RETRY_AFTER_HEADERS = ("retry-after", "x-rate-limit-retry-after-seconds")
_HALF_PAIR = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")  # of surrogates, escaped or as bytes
_TITLE = re.compile(r"<title[^<>]*>([^<]*)</title>", re.IGNORECASE)


def when_possible(time: datetime) -> datetime | None:
    """None for a year that no clock shows: some write the year 1 for no time, and to 9999 nothing can be added."""
    return time if 1970 <= time.year < 9999 else None


def http_date(value: str) -> datetime | None:
    """The time that a header such as `Date` names, aware; None for anything else."""
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return when_possible(date.replace(tzinfo=UTC) if date.tzinfo is None else date)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """How long the server wants us to wait, in seconds; None if it does not say.

    A date is compared with the answer's own `Date`, never with this machine's clock; without that it says nothing.
    """
    for name in _RETRY_AFTER_HEADERS:
        value = headers.get(name, "").strip()
        if re.fullmatch(r"[0-9]{1,12}(\.[0-9]+)?", value):
            return min(float(value), _MAX_RETRY_AFTER)
        until, now = http_date(value), http_date(headers.get("date", ""))
        if until is not None and now is not None:
            return min(max((until - now).total_seconds(), 0.0), _MAX_RETRY_AFTER)
    return None


def _shorten(text: str) -> str:
    return in_one_line(text, MAX_WORDS)


def _loads(body: bytes) -> Any:
    try:
        content = json.loads(body)
        # A large answer is gone through only where it may hold one: in UTF-8, unlike in encodings with zero bytes, it
        # shows.
        may_hold_half = _HALF_PAIR.search(body) is not None or 0 in body[:4]
        return _encodable(content) if may_hold_half else content
    except (ValueError, RecursionError):
        return None


def _encodable(value: Any) -> Any:
    """The same, with half surrogate pairs replaced: JSON can hold them, and no file, log or request can."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(name): _encodable(item) for name, item in value.items()}
    return value


def server_words(body: bytes) -> str:
    """What an error's body says: `status.user_message` and `data` of the envelope, or the title of a page."""
    content = _loads(body[:200_000])
    if isinstance(content, dict):
        status = content.get("status")
        message = status.get("user_message") if isinstance(status, dict) else None
        detail = content.get("data")
        if detail is not None and not isinstance(detail, str):
            detail = json.dumps(detail, ensure_ascii=False)
        return _shorten(" ".join(str(part) for part in (message, detail) if part and part != "{}"))
    if isinstance(content, str):
        return _shorten(content)
    text = body[:20_000].decode("utf-8", "replace")
    if "<" in text:
        title = _TITLE.search(text)
        return _shorten(title.group(1)) if title else "an HTML page"
    return _shorten(text)


def error_for(status: int, headers: Mapping[str, str], body: bytes, *, request: str, host: str) -> CloudError:
    """The error that an answer of other than 2xx is. `request` names the request for people, such as `GET /api/…`."""
    words = server_words(body)
    answered = f"dbt Cloud answered {status} to {request}" + (f": {words.rstrip('.')}." if words else ".")
    wait = retry_after(headers)
    if 300 <= status < 400:
        target = urlsplit(headers.get("location", "")).hostname or "no named host"
        return Redirected(
            f"{host} redirects {request} ({status}, to {target}), and redirects are not followed.",
            "Set `host` to the access URL of the account itself.",
            status=status,
        )
    subject = _subject(request)
    if status == 401:
        return Unauthorized(answered, _ADVICE_401.format(host=host), status=status, subject=subject)
    if status == 403:
        return Forbidden(answered, _advice_403(words, request, subject), status=status, subject=subject)
    if status == 404:
        advice = _ADVICE_404.get(subject.kind if subject else "", _ADVICE_404["account"])
        return NotFound(answered, advice, status=status, subject=subject)
    if status == 429:
        return RateLimited(answered, "dbt Cloud's limit holds for the whole account.", status=status, retry_after=wait)
    if status == 408 or status >= 500:
        return Ambiguous(answered, status=status, retry_after=wait)
    return Rejected(answered, "Correct what dbt Cloud names.", status=status)


_ADVICE_401 = (
    "Either the token is wrong or expired, or it belongs to another host than {host}: an account with an access URL of "
    "its own (such as ab123.us1.dbt.com) answers only there. Set `host` to the access URL shown in dbt Cloud under "
    "Account settings, and check `api-token`."
)
_ADVICE_PAGE = (
    "Check that `host` is the host of dbt Cloud, and that no proxy or sign-in page answers in its place. If neither is "
    "the cause, look for an incident of dbt Cloud."
)
_UNPAID = re.compile(r"\bunpaid\b", re.IGNORECASE)
_ADVICE_UNPAID = (
    "dbt Cloud's API needs a paid plan: ask the owner of the account about its plan and billing, and check that "
    "{subject} is the right account."
)
_ADDRESS = re.compile(r"access[ _]denied|\bip\b|\baddress", re.IGNORECASE)
_PERMISSION = (
    "the token has no permission for it on {subject}: a service token needs at least the permission set Job Runner for "
    "the job's project, and a personal access token has the permissions of its owner"
)
_ALLOW_LIST = (
    "the account restricts IP addresses: the runner's address must be allowed, and those of GitHub-hosted runners "
    "change, so use a self-hosted runner or one with a static address"
)
_ADVICE_404 = {
    "account": (
        "Check {subject}: either there is no such account at this host, or the token belongs to another one, or has no "
        "permission to see it; dbt Cloud gives the same answer for all of these."
    ),
    "job": (
        "Check {subject}: either the account has no such job, or the token has no permission to see it; dbt Cloud "
        "answers both alike. A service token needs at least the permission set Job Runner for the job's project."
    ),
    "run": (
        "Check {subject}: either the account has no such run (dbt Cloud keeps runs for a year), or the token has no "
        "permission to see it; dbt Cloud gives the same answer for both. A service token needs at least the permission "
        "set Job Runner for the job's project."
    ),
}
_IDS = re.compile(r"/accounts/(?P<account>\d{1,20})(?:/(?P<kind>job|run)s/(?P<id>\d{1,20}))?(?:/|$)")


def _subject(request: str) -> Subject | None:
    """What a request is about, by the ids in its path."""
    found = _IDS.search(request)
    if found is None:
        return None
    kind = found["kind"] or "account"
    return Subject(kind, int(found["id"] or found["account"]))


def _advice_403(words: str, request: str, subject: Subject | None) -> str:
    """The likelier cause first: of a trigger the permission, else the one that the server's words name."""
    if _UNPAID.search(words):
        found = _IDS.search(request)
        return _ADVICE_UNPAID.replace("{subject}", f"`account-id` {found['account']}" if found else "`account-id`")
    causes = [_PERMISSION if subject else _PERMISSION.replace(" on {subject}", ""), _ALLOW_LIST]
    if _ADDRESS.search(words) and not request.startswith("POST "):
        causes.reverse()
    return f"dbt Cloud accepts the token, but refuses the request. Either {causes[0]}; or {causes[1]}."


def unwrap(status: int, headers: Mapping[str, str], body: bytes, *, request: str, host: str) -> Any:
    """The `data` of an answer's envelope, possibly None. Raises the error that the answer is, `Unreadable` included."""
    if not 200 <= status < 300:
        raise error_for(status, headers, body, request=request, host=host)
    content = _loads(body)
    if not isinstance(content, dict) or "data" not in content:
        what = "an empty body" if not body.strip() else "a body that is not the API's JSON"
        raise Unreadable(f"dbt Cloud answered {status} to {request} with {what}.", _ADVICE_PAGE, status=status)
    envelope = content.get("status")
    code = envelope.get("code") if isinstance(envelope, dict) else None
    if isinstance(code, int) and code >= 400:
        raise error_for(code, headers, body, request=request, host=host)
    return content["data"]
