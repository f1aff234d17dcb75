"""What can go wrong with one request to dbt Cloud, sorted by what may be done next.

The question for a write is whether it may have taken effect: `NotReceived` says no, `Ambiguous` says perhaps, all
others say no and that asking again does not help. A read may be repeated after both, and after `RateLimited`.
"""
# ruff: noqa: N818 - each name says what happened to the request

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dbt_cloud_run.errors import ActionError


@dataclass(frozen=True, slots=True)
class Subject:
    """What a request was about: an `account`, a `job` or a `run`, by the last id in its path."""

    kind: str
    id: int

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class CloudError(ActionError):
    """Base of all. `status` is the HTTP status, if there was an answer; `retry_after` its wish to wait, in seconds.

    `{subject}` in the advice stands for `subject`, which is known where the server refused the request.
    """

    is_transient = False  # a read may be repeated

    def __init__(
        self,
        message: str,
        advice: str = "",
        *,
        status: int | None = None,
        retry_after: float | None = None,
        subject: Subject | None = None,
    ) -> None:
        self._advice = advice
        super().__init__(message, advice.replace("{subject}", str(subject)))
        self.status = status
        self.retry_after = retry_after
        self.subject = subject

    def lead_advice(self, sentence: str) -> None:
        """Put a sentence before the advice."""
        self._advice = f"{sentence} {self._advice}".strip()
        self.advice = f"{sentence} {self.advice}".strip()

    def name_inputs(self, inputs: Mapping[Subject, str]) -> None:
        """Let the advice name the input that the subject comes from, such as `job-id` 99, where one did."""
        if self.subject is not None and (name := inputs.get(self.subject)):
            self.advice = self._advice.replace("{subject}", f"`{name}` {self.subject.id}")


class Unauthorized(CloudError):
    """401: a wrong token, or the right token at the wrong host."""


class Forbidden(CloudError):
    """403: a permission that the token lacks, the account's IP allow-list, or an unpaid account."""


class NotFound(CloudError):
    """404: a wrong id, or no permission to see it; dbt Cloud answers both alike."""


class Rejected(CloudError):
    """Any other 4xx: the request itself is at fault, and the server has said why."""


class Redirected(CloudError):
    """A 3xx. Redirects are never followed: the token would go to a host that no input names."""


class RateLimited(CloudError):
    """429. `retry_after` is None where the answer named no time."""

    is_transient = True


class NotReceived(CloudError):
    """The request certainly did not arrive: name not resolved, connection refused, no TLS, no way through the proxy."""

    is_transient = True


class WrongHost(NotReceived):
    """The name servers know no such host, or what answers is not verified to be it."""


class UntrustedCertificate(WrongHost):
    """What answers shows a certificate that no known authority vouches for; asking again does not change that."""

    is_transient = False


class Ambiguous(CloudError):
    """No answer, or one that does not show what happened: timeout, reset, 408, 5xx. A write may have taken effect."""

    is_transient = True


class Unreadable(Ambiguous):
    """An answer of success whose body is not what it should be."""


class TooLarge(Ambiguous):
    """An answer of success that is larger than is read into memory; asking again does not make it smaller."""

    is_transient = False


class Unreachable(CloudError):
    """A read did not succeed within its budget; the last error is its `__cause__`."""


class Unconfirmed(CloudError):
    """A write may have taken effect, and it could not be found out. It must not be sent again."""


class NotStarted(CloudError):
    """A write was repeated as often as is allowed, and certainly has not taken effect."""


class RetryRefused(CloudError):
    """dbt Cloud does not retry this run; the message has its reason."""
