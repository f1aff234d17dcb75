"""What GitHub's API says when it refuses a request, in its own words, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_LONGEST = 200  # characters of GitHub's own words
_NO_PERMISSION: Final = ("not accessible by", "requires write", "must have", "insufficient", "permission")
_CURES: Final = (
    ("rate limit", "The token's limit of requests is used up: re-run the job later, or use a token of its own."),
    ("saml", "Authorize the token for the single sign-on of the organization."),
    ("ip allow list", "Add the runner's address to the IP allow list of the organization."),
    ("ip address", "Add the runner's address to the IP allow list of the organization."),
    ("is locked", "Unlock the conversation of the pull request, or switch pr-comment off."),
    ("blocked", "GitHub has blocked the account of the token or the repository, which its owner has to settle."),
    ("archived", "The repository is archived, so that nothing can be written to it."),
    ("suspended", "The account of the token is suspended: use another token."),
    ("bad credentials", "Leave github-token out, so that the workflow's own token is used, or renew it."),
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused request: `said` is a sentence with GitHub's own words, `advice` may be empty."""

    said: str
    advice: str
    is_permission: bool = False


def refusal(status: int, data: Any, headers: Mapping[str, str] | None, *, permission: str) -> Refusal:
    """Why a request was refused. `permission` is what it needs, such as `pull-requests: write`.

    The permission is advised only where it is what is missing, so a pull request that is locked, or an organization
    that wants single sign-on, is not taken for it.
    """
    words = _words(data)
    said = f"GitHub answered HTTP {status}{f': {words}' if words else ''}."
    lower = words.lower()
    left = {name.lower(): value for name, value in (headers or {}).items()}.get("x-ratelimit-remaining")
    if status in (403, 429) and left == "0":
        lower = f"rate limit {lower}"
    if cure := next((cure for word, cure in _CURES if word in lower), ""):
        return Refusal(said, cure)
    if status in (403, 404) and (status == 404 or any(word in lower for word in _NO_PERMISSION)):
        advice = (
            f"github-token needs the permission '{permission}'; on pull requests from forks and from Dependabot it may "
            "only read."
        )
        return Refusal(said, advice, is_permission=True)
    if status == 401:
        return Refusal(said, dict(_CURES)["bad credentials"])
    return Refusal(said, "")


def _words(data: Any) -> str:
    said = data.get("message") if isinstance(data, Mapping) else None
    text = " ".join(said.split()).rstrip(".") if isinstance(said, str) else ""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
