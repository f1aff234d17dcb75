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
    """A request to dbt Cloud failed in a way that has no code of its own.

    Base of all. `status` is the HTTP status, if there was an answer; `retry_after` its wish to wait, in seconds.
    `{subject}` in the advice stands for `subject`, which is known where the server refused the request.
    """

    code = "dbt-cloud"
    remedy = "The message says what was unexpected. Re-run the job; if it happens again, report it."
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
    """dbt Cloud answered 401: the token is wrong or expired, or belongs to another host."""

    code = "unauthorized"
    remedy = "Check that the secret holds the whole token, and set `host` to the access URL that Account settings show."


class Forbidden(CloudError):
    """dbt Cloud answered 403: the token lacks a permission, the account restricts IP addresses, or it is unpaid."""

    code = "forbidden"
    remedy = "Give the token the permission set Job Runner for the project of the job, or allow the runner's address."


class NotFound(CloudError):
    """dbt Cloud answered 404: there is no such account, job or run, or the token may not see it."""

    code = "not-found"
    remedy = "Compare the id in the message with the address in dbt Cloud, and check the token's permissions."


class Rejected(CloudError):
    """dbt Cloud answered with another 4xx: it refuses the request itself."""

    code = "rejected"
    remedy = "The message quotes why. Usually, it is an override that the job or the environment does not allow."


class Redirected(CloudError):
    """The host answered with a redirect. It is not followed, because the token would go to another host."""

    code = "redirected"
    remedy = "Set `host` to the access URL of the account itself."


class RateLimited(CloudError):
    """dbt Cloud answered 429: the account has sent too many requests."""

    code = "rate-limited"
    remedy = "The limit applies to the whole account. Look for other tools that poll, or raise `poll-interval`."

    is_transient = True


class NotReceived(CloudError):
    """The request did not arrive: no connection, no TLS, or no way through the proxy."""

    code = "not-received"
    remedy = "Check the network of the runner and its proxy variables."

    is_transient = True


class WrongHost(NotReceived):
    """No such host exists, or what answers cannot prove that it is this host."""

    code = "wrong-host"
    remedy = "Check the spelling of `host`, and whether the runner resolves it."


class UntrustedCertificate(WrongHost):
    """The certificate of the host is not issued by a known authority."""

    code = "untrusted-certificate"
    remedy = "A proxy that inspects TLS has an authority of its own: set `SSL_CERT_FILE` to its PEM file."

    is_transient = False


class Ambiguous(CloudError):
    """dbt Cloud did not answer, or answered with a 5xx status. Whether the request took effect is not known."""

    code = "no-answer"
    remedy = "Look at the status page of dbt Cloud, and re-run the job."

    is_transient = True


class Unreadable(Ambiguous):
    """dbt Cloud answered with success, but the answer cannot be used."""

    code = "unreadable"
    remedy = "Check that `host` is dbt Cloud and not a sign-in page. If it is, report the message as a deviation."


class TooLarge(Ambiguous):
    """An answer of dbt Cloud or an artifact exceeds a limit. SECURITY.md lists the limits."""

    code = "too-large"
    remedy = "Look in dbt Cloud for what makes it so large, such as debug logs. Leave out artifacts you do not need."

    is_transient = False


class Unreachable(CloudError):
    """dbt Cloud could not be read within the time for it. The message has the last error."""

    code = "unreachable"
    remedy = "Check `host`, the network of the runner and the status page of dbt Cloud. Then re-run the job."


class Unconfirmed(CloudError):
    """A run may have been started, and whether it was could not be determined. Nothing is sent again."""

    code = "unconfirmed"
    remedy = "Look at the list of runs of the job in dbt Cloud before you re-run the job."


class NotStarted(CloudError):
    """The job was not started: dbt Cloud accepted none of the requests."""

    code = "not-started"
    remedy = "Re-run the job when dbt Cloud answers."


class RetryRefused(CloudError):
    """dbt Cloud does not retry this run. The message has its reason."""

    code = "retry-refused"
    remedy = "Use `retry-strategy: nodes`."
