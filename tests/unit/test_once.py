"""The rule of starting once, step by step: answers and looks are scripted, and waits are over at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import pytest
from standins.cloud_server import FakeClock
from tests.support.notes import kept_notes

from dbt_cloud_run.cloud.client import PAGE, CloudClient
from dbt_cloud_run.cloud.errors import (
    Ambiguous,
    CloudError,
    NotFound,
    NotReceived,
    NotStarted,
    RateLimited,
    Rejected,
    RetryRefused,
    Unauthorized,
    Unconfirmed,
    Unreadable,
)
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import Reader
from dbt_cloud_run.start import once
from dbt_cloud_run.start.once import NativeRetry, NewRun, StartRequest, load_request, save_request, start_once
from dbt_cloud_run.start.tag import RunKey, Tag

JOB, FAILED = 7, 40
TAG = Tag(RunKey("0123456789", "abcdef"), "4be1c2d3a4f5")
OTHER_TAG = Tag(RunKey("0123456789", "abcdef"), "c0ffee012345")
BODY = {"cause": f"{TAG} nightly"}


def run_of(number: int, cause: str = f"{TAG} nightly", **fields: Any) -> Run:
    trigger = {"id": number, "cause": cause}
    return Run.model_validate({"id": number, "job_definition_id": JOB, "status": 1, "trigger": trigger, **fields})


class ScriptedClient:
    """Answers writes with one run, and lists runs as dbt Cloud does: the newest first if not asked otherwise."""

    def __init__(self, answer: Run | None = None, runs: Iterable[Run] = (), *, ignores_id: bool = False) -> None:
        self.answer = answer
        self.runs = list(runs)
        self.ignores_id = ignores_id
        self.refusals: list[CloudError] = []  # of cancellations
        self.cancelled: list[int] = []

    async def trigger(self, job_id: int, body: object) -> Run:
        assert (job_id, body) == (JOB, BODY)
        assert self.answer is not None
        return self.answer

    async def retry_run(self, run_id: int) -> Run:
        assert run_id == FAILED
        assert self.answer is not None
        return self.answer

    async def list_runs(self, job_id: int, *, id_gt: int = 0, order_by: str = "-id") -> tuple[Run, ...]:
        assert job_id == JOB
        found = [run for run in self.runs if run.id > id_gt or self.ignores_id]
        return tuple(sorted(found, key=lambda run: run.id if order_by == "id" else -run.id)[:PAGE])

    async def cancel_run(self, run_id: int) -> Run:
        if self.refusals:
            raise self.refusals.pop(0)
        self.cancelled.append(run_id)
        return run_of(run_id)


def client(*arguments: Any, **options: Any) -> CloudClient:
    return cast(CloudClient, ScriptedClient(*arguments, **options))


class ScriptedRequest:
    """A request whose sendings fail in turn, and whose run is listed from a certain look on."""

    what, what_to_look_for = "a run of job 7", "a run of job 7 that is this one"

    def __init__(self, *errors: CloudError, found_at: int | None = None, is_findable: bool = True) -> None:
        self.errors = list(errors)
        self.found_at = found_at
        self.is_findable = is_findable
        self.events: list[str] = []

    async def send(self, client: CloudClient) -> Run:
        self.events.append("send")
        if self.errors:
            raise self.errors.pop(0)
        return run_of(99)

    async def look(self, client: CloudClient) -> tuple[Run, ...]:
        self.events.append("look")
        looks = self.events.count("look")
        return (run_of(98),) if self.found_at is not None and looks >= self.found_at else ()

    def refused(self, error: CloudError) -> CloudError:
        return error


class Play:
    """A request that is started by the rule, and the clock on which this takes its time."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.reader = Reader(self.clock)

    def start(self, request: object, cloud: CloudClient | None = None, *, seconds: float | None = None) -> Run:
        deadline = None if seconds is None else self.clock.monotonic() + seconds
        cloud = cloud or client()
        return asyncio.run(start_once(cast(StartRequest, request), cloud, self.reader, deadline=deadline))


@pytest.fixture
def play() -> Play:
    return Play()


@pytest.fixture
def even_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that are not a matter of chance: a minute after each failure."""
    monkeypatch.setattr(once, "backoff", lambda failures: 60.0)


# -- whose run an answer is about


@pytest.mark.parametrize(
    "answer",
    [
        run_of(41, job_definition_id=JOB + 1),
        run_of(41, str(OTHER_TAG)),
        run_of(41, trigger=None),
        run_of(FAILED),
        run_of(FAILED - 1),
    ],
    ids=["another job", "another request", "without a cause", "the newest run before", "an older run"],
)
def test_an_answer_to_a_trigger_counts_only_with_the_job_the_tag_and_a_new_id(answer: Run) -> None:
    request = NewRun(job_id=JOB, baseline_id=FAILED, tag=TAG, body=BODY)
    with pytest.raises(Unreadable, match=f"trigger of job {JOB} with run {answer.id}"):
        asyncio.run(request.send(client(answer)))


@pytest.mark.parametrize(
    ("answer", "baseline"), [(run_of(41), FAILED), (run_of(1), None), (run_of(41, job_definition_id=None), FAILED)]
)
def test_the_own_run_is_believed(answer: Run, baseline: int | None) -> None:
    request = NewRun(job_id=JOB, baseline_id=baseline, tag=TAG, body=BODY)
    assert asyncio.run(request.send(client(answer))) is answer


def test_what_was_loaded_is_never_sent() -> None:
    loaded = load_request(save_request(NewRun(job_id=JOB, baseline_id=FAILED, tag=TAG, body=BODY)))
    assert loaded is not None
    with pytest.raises(ValueError, match="never sent"):
        asyncio.run(loaded.send(client(run_of(41))))


@pytest.mark.parametrize(
    "answer",
    [run_of(FAILED), run_of(41, job_definition_id=JOB + 1), run_of(41, retrying_run_id=FAILED - 1)],
    ids=["the failed run itself", "another job", "a retry of another run"],
)
def test_an_answer_to_a_retry_counts_only_if_it_can_be_that_retry(answer: Run) -> None:
    with pytest.raises(Unreadable, match=f"retry of run {FAILED} with run {answer.id}"):
        asyncio.run(NativeRetry(job_id=JOB, run_id=FAILED).send(client(answer)))


@pytest.mark.parametrize("fields", [{}, {"job_definition_id": None}, {"retrying_run_id": FAILED}])
def test_a_retry_s_own_run_is_believed(fields: dict[str, Any]) -> None:
    answer = run_of(41, **fields)
    assert asyncio.run(NativeRetry(job_id=JOB, run_id=FAILED).send(client(answer))) is answer


@pytest.mark.parametrize("error", [Rejected("no", status=400), NotFound("no", status=404)])
def test_a_refused_retry_keeps_the_status(error: CloudError) -> None:
    refused = NativeRetry(job_id=JOB, run_id=FAILED).refused(error)
    assert isinstance(refused, RetryRefused)
    assert refused.status == error.status


# -- looking


def found(request: StartRequest, cloud: CloudClient) -> list[int]:
    return [run.id for run in asyncio.run(request.look(cloud))]


def test_without_a_baseline_the_newest_runs_are_looked_through_and_the_oldest_counts() -> None:
    request = NewRun(job_id=JOB, baseline_id=None, tag=TAG)
    runs = [run_of(5, "another"), run_of(6), run_of(7, str(OTHER_TAG)), run_of(8)]
    assert found(request, client(runs=runs)) == [6, 8]
    assert not request.is_findable


@pytest.mark.parametrize("count", [PAGE - 1, PAGE, PAGE + 1, 2 * PAGE + 5])
def test_every_run_above_the_baseline_is_looked_at_once(count: int) -> None:
    request = NewRun(job_id=JOB, baseline_id=FAILED, tag=TAG)
    numbers = range(FAILED + 1, FAILED + 1 + count)
    assert found(request, client(runs=[run_of(FAILED), *map(run_of, numbers)])) == list(numbers)


@pytest.mark.parametrize("number", [FAILED, FAILED - 1])
def test_a_list_with_runs_that_were_not_asked_for_shows_nothing(number: int) -> None:
    request = NewRun(job_id=JOB, baseline_id=FAILED, tag=TAG)
    with pytest.raises(Unreadable, match=f"runs of job {JOB} that were not requested"):
        found(request, client(runs=[run_of(number), run_of(41)], ignores_id=True))


def test_a_list_without_causes_shows_nothing() -> None:
    request = NewRun(job_id=JOB, baseline_id=None, tag=TAG)
    with pytest.raises(Unreadable, match=f"runs of job {JOB} without their causes"):
        found(request, client(runs=[run_of(41), run_of(42, trigger=None)]))


@pytest.mark.parametrize("category", [None, "", "rerun"])
def test_a_run_that_may_be_a_retry_of_any_other_shows_nothing(category: str | None) -> None:
    later = run_of(41, trigger={"id": 41, "cause": "", "cause_category": category})
    with pytest.raises(CloudError, match="which run its run 41 retries"):
        found(NativeRetry(job_id=JOB, run_id=FAILED), client(runs=[later]))


# -- when it is sent again


def test_a_request_that_was_not_received_after_a_lost_one_is_sent_again_only_after_a_look(play: Play) -> None:
    # Seven looks find nothing within the window; the lost request's run is listed only then.
    request = ScriptedRequest(Ambiguous("lost"), NotReceived("no connection"), found_at=8)
    assert play.start(request).id == 98
    assert request.events == ["send", *["look"] * 7, "send", "look", "look"]


def test_a_request_that_was_not_received_is_sent_again_without_a_look(play: Play) -> None:
    request = ScriptedRequest(NotReceived("no connection"))
    assert play.start(request).id == 99
    assert request.events == ["send", "send"]


@pytest.mark.parametrize("error", [NotReceived("no connection"), RateLimited("too many", retry_after=0.0)])
def test_waits_double_with_each_failure(error: CloudError, play: Play) -> None:
    play.start(ScriptedRequest(error, error, error))
    assert [round(slept / 2**number, 9) for number, slept in enumerate(play.clock.sleeps)] == [
        pytest.approx(1.0, abs=0.25)
    ] * 3


@pytest.mark.usefixtures("even_backoff")
def test_a_wait_that_ends_with_the_time_is_waited(play: Play) -> None:
    error = NotReceived("no connection", status=502)
    with pytest.raises(NotStarted, match="it could not be reached for too long") as caught:
        play.start(ScriptedRequest(*[error] * 9))
    assert play.clock.sleeps == [60.0] * 3
    assert caught.value.status == 502


def test_an_error_without_advice_of_its_own_gets_some(play: Play) -> None:
    error = RateLimited("too many", retry_after=200.0, status=429)
    error.advice = ""
    with pytest.raises(NotStarted, match="a wait of 200 s") as caught:
        play.start(ScriptedRequest(error), seconds=100)
    assert "Re-run the job when dbt Cloud answers" in caught.value.advice
    assert caught.value.status == 429


@pytest.mark.parametrize(("pause", "seconds"), [(0.5, None), (300.0, 300.0)])
def test_a_rate_limit_s_rest_is_waited_out_first(pause: float, seconds: float | None, play: Play) -> None:
    play.reader.rate_limit.observe(RateLimited("too many", retry_after=pause))
    assert play.start(ScriptedRequest(), seconds=seconds).id == 99
    assert play.clock.sleeps == [pause]


def test_a_rate_limit_that_outlasts_the_time_is_named(play: Play) -> None:
    play.reader.rate_limit.observe(RateLimited("too many", retry_after=200.0))
    with pytest.raises(NotStarted, match="rate limit holds for 200 s more"):
        play.start(ScriptedRequest(), seconds=199.0)


def test_after_two_lost_requests_without_a_run_nothing_more_is_sent(play: Play) -> None:
    lost = Ambiguous("lost", status=504)
    request = ScriptedRequest(lost, lost)
    with pytest.raises(NotStarted, match="no run appeared within 60 s of either request") as caught:
        play.start(request)
    assert request.events.count("send") == 2
    assert caught.value.status == 504


def test_the_search_takes_no_longer_than_the_time_left(play: Play) -> None:
    request = ScriptedRequest(Ambiguous("lost", status=504))
    with pytest.raises(Unconfirmed) as caught:
        play.start(request, seconds=0.5)
    assert play.clock.sleeps == [0.5]
    assert request.events == ["send", "look", "look"]
    assert caught.value.status == 504


def test_the_last_look_takes_no_longer_than_the_time_left(play: Play) -> None:
    """Apart from the seconds that it always has."""

    class Unlisted(ScriptedRequest):
        async def look(self, client: CloudClient) -> tuple[Run, ...]:
            raise Ambiguous("no answer")

    with pytest.raises(Unconfirmed):
        play.start(Unlisted(RateLimited("too many", retry_after=1.0)), seconds=21.0)
    assert sum(play.clock.sleeps) <= 21.0 + 1e-3


# -- duplicates


def test_a_duplicate_that_is_not_known_yet_is_cancelled_later(play: Play) -> None:
    """A new run may be answered with 404 for a while."""
    cloud = client()
    script = cast(ScriptedClient, cloud)
    script.refusals = [NotFound("no such run"), NotFound("no such run")]
    request = ScriptedRequest(Ambiguous("lost"), found_at=8)
    with kept_notes() as notes:
        assert play.start(request, cloud).id == 98
    assert script.cancelled == [99]
    assert "Run 99 is a late duplicate of run 98, and was cancelled." in "\n".join(notes)


def test_a_refusal_without_a_lost_request_is_final(play: Play) -> None:
    request = ScriptedRequest(Unauthorized("no"))
    with pytest.raises(Unauthorized):
        play.start(request)
    assert request.events == ["send"]


# -- the state


@pytest.mark.parametrize(
    "text",
    [
        f'["7", 40, "{TAG}", null]',
        f'[7, "40", "{TAG}", null]',
        f'[true, 40, "{TAG}", null]',
        '["7", 40, null, 40]',
        '[7, "40", null, 40]',
        '[7, 40, null, "40"]',
        "[7, 40, null, null]",
        '[7, 40, "no tag", null]',
        "[7, 40]",
        "7",
        "null",
        "",
    ],
)
def test_what_is_no_saved_request_is_none(text: str) -> None:
    assert load_request(text) is None


@pytest.mark.parametrize(
    "request_", [NewRun(job_id=JOB, baseline_id=None, tag=TAG), NativeRetry(job_id=JOB, run_id=FAILED)]
)
def test_a_saved_request_comes_back(request_: StartRequest) -> None:
    assert load_request(save_request(request_)) == request_


# -- what ends it


def test_a_refusal_after_a_lost_request_is_the_answer_where_no_run_appears(play: Play) -> None:
    """Only dbt Cloud's own retry may be refused because it was lost and has taken effect."""
    request = ScriptedRequest(Ambiguous("lost"), Rejected("no such branch", status=400))
    with pytest.raises(Rejected, match="no such branch"):
        play.start(request)
    assert request.events.count("send") == 2


def test_a_rate_limit_is_waited_out_three_times(play: Play) -> None:
    with pytest.raises(NotStarted, match="longer than the time left"):
        play.start(ScriptedRequest(*[RateLimited("too many", status=429)] * 9))
    assert play.clock.sleeps == [300.0] * 3


def test_a_search_for_duplicates_that_is_not_answered_ends(play: Play) -> None:
    class Silent(ScriptedRequest):
        async def look(self, client: CloudClient) -> tuple[Run, ...]:
            found = await super().look(client)
            if found and self.events.count("look") > 1:
                raise Ambiguous("no answer")
            return found

    began = play.clock.now
    with kept_notes() as notes:
        assert play.start(Silent(Ambiguous("lost"), found_at=1)).id == 98
    assert "Whether run 98 has a late duplicate could not be read" in "\n".join(notes)
    assert play.clock.now - began <= 15.0 + 1e-3
