"""The tag at the head of a run's `cause`: its key finds what this step started, its nonce the run of a lost answer.

`[dcr 3f2a91c07d-9b01e4 4be1c2d3a4f5 w1 r70471823456789] acme/shop: nightly #12 (alice)`: key, nonce, the workflow
run's attempt, and for a retry the id of the first run of its chain. That is `p…` instead of `r…` where the retry leaves
out some of what has failed in the chain: even when it succeeds, the step has not.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace

from dbt_cloud_run.model import TriggerOverrides

MAX_CAUSE = 255  # characters; the platform refuses more
_TAG = re.compile(
    r"\s*\[dcr (?P<step>[0-9a-f]{10})-(?P<overrides>[0-9a-f]{6}) (?P<nonce>[0-9a-f]{12})"
    r" w(?P<attempt>[1-9]\d{0,8})(?: (?P<kind>[rp])(?P<root>[1-9]\d{0,18}))?\]"
)


@dataclass(frozen=True, slots=True)
class RunKey:
    """Which step of which workflow run (`step`), asking for what (`overrides`); both are shortened hashes."""

    step: str
    overrides: str

    def __str__(self) -> str:
        return f"{self.step}-{self.overrides}"


@dataclass(frozen=True, slots=True)
class Tag:
    """`attempt` is that of the workflow run; `root` the first run of the chain that this run retries.

    `is_partial`: some of what has failed in the chain is not retried by this run.
    """

    key: RunKey
    nonce: str
    attempt: int = 1
    root: int | None = None
    is_partial: bool = False

    def __str__(self) -> str:
        root = f" {'p' if self.is_partial else 'r'}{self.root}" if self.root else ""
        return f"[dcr {self.key} {self.nonce} w{self.attempt}{root}]"

    @classmethod
    def new(cls, key: RunKey, attempt: int = 1) -> Tag:
        """A tag for one request, with a nonce of its own."""
        return cls(key, secrets.token_hex(6), max(attempt, 1))

    def for_retry(self, root: int, *, is_partial: bool = False) -> Tag:
        """The tag of a retry in the chain that began with run `root`: the same key, another nonce."""
        return replace(self, nonce=secrets.token_hex(6), root=root, is_partial=is_partial)


def _hash(parts: Iterable[object], length: int) -> str:
    text = json.dumps(list(parts), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def run_key(
    *,
    server_url: str,
    repository: str,
    workflow_run_id: int | str,
    job: str,
    action: str,
    strategy_job_index: str | None,
    dbt_job_id: int,
    overrides: TriggerOverrides,
) -> RunKey:
    """The key of a step. `action` is GITHUB_ACTION, which differs between two steps of a job.

    The workflow run's attempt is no part of it, so that a re-run finds what came before. `overrides` are those of the
    first trigger, never a retry's own steps.
    """
    step = (server_url, repository, str(workflow_run_id), job, action, strategy_job_index or "", dbt_job_id)
    return RunKey(_hash(step, 10), _hash([overrides.body()], 6))


def parse_tag(cause: str | None) -> Tag | None:
    """The tag at the head of a cause; None where there is none of ours."""
    match = _TAG.match(cause or "")
    if match is None:
        return None
    root = match["root"]
    key = RunKey(match["step"], match["overrides"])
    return Tag(key, match["nonce"], int(match["attempt"]), int(root) if root else None, match["kind"] == "p")


def cause_text(tag: Tag, cause: str) -> str:
    """What is sent as `cause`: the tag, then the user's text in one line, cut with an ellipsis to what is accepted."""
    text = cause.encode("utf-8", "replace").decode()
    words = "".join(char if char.isprintable() else " " for char in text).split()
    whole = " ".join((str(tag), *words))
    return whole if len(whole) <= MAX_CAUSE else whole[: MAX_CAUSE - 1] + "…"
