"""The uploaded artifact holds, under each name, the bytes that the workspace holds under it: over generated names."""

from __future__ import annotations

import asyncio
import random
import string
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from standins.cloud_server import ACCOUNT, TOKEN, CloudServer
from standins.results_service import ResultsService
from tests.support.action import ActionJob, FinishedStep

pytestmark = pytest.mark.slow

RUN = 500
LONG = "compiled/analytics/models/staging/salesforce/_salesforce__models.yml/dbt_utils_unique_combination_of_columns_"
FORBIDDEN_IN_ARTIFACTS = ':"<>|*?'

# What two files may share: how they begin, all but a separator, all but the case.
words = st.sampled_from(["a", "b", "a-b", "a_b", "A", "a.b", "ü", "a:b", "a?b", "a b", "x" * 110, "n" * 255, "ä" * 120])
names = st.one_of(
    st.lists(words, min_size=1, max_size=4).map("/".join),
    st.text(string.ascii_lowercase, min_size=1, max_size=8).map(lambda end: f"{LONG}{end}.sql"),
    st.sampled_from(["a-b/c.sql", "a/b-c.sql", "a/b/c.sql", "a-b-c.sql"]),
)


def content_of(name: str, seed: int) -> bytes:
    """Text of the same length for each name, so that no length tells two files apart."""
    chance = random.Random(f"{seed} {name}")  # noqa: S311 - test data
    return "".join(chance.choices("select from where\n", k=2_000)).encode()


def without_clashes(found: list[str]) -> list[str]:
    """A path cannot be a file and a folder at once."""
    return [name for name in found if not any(other.startswith(f"{name}/") for other in found)]


def played(files: dict[str, bytes], folder: Path, results: ResultsService) -> FinishedStep:
    async def play() -> FinishedStep:
        async with CloudServer() as server:
            server.files = {(RUN, name, step): content for name, content in files.items() for step in (None, 4)}
            step = {"index": 4, "name": "Invoke dbt with `dbt build`", "status": 10}
            server.add_run(
                id=RUN, status=10, artifacts_saved=True, run_steps=[step], finished_at="2020-01-01 00:00:00Z"
            )
            inputs = {
                "api-token": TOKEN,
                "account-id": str(ACCOUNT),
                "host": f"http://127.0.0.1:{server.port}",
                "run-id": str(RUN),
                "artifacts": "**",
                "step-artifacts": "all",
                "artifacts-path": "out",
                "fail-on-error": "false",
            }
            return await asyncio.to_thread(ActionJob(folder, inputs=inputs, results=results).run)

    return asyncio.run(play())


# An example is a whole step: none is spent on making a failure smaller.
@settings(
    max_examples=5,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
@given(st.lists(names, min_size=20, max_size=60, unique=True).map(without_clashes), st.integers(0, 1000))
def test_the_artifact_holds_what_the_workspace_holds(found: list[str], seed: int) -> None:
    files = {name: content_of(name, seed) for name in found}
    with tempfile.TemporaryDirectory() as folder, ResultsService() as results:
        step = played(files, Path(folder), results)
        uploaded = step.uploaded()  # `testzip` is among what it does
        kept = {
            path.relative_to(step.folder).as_posix(): path.read_bytes()
            for path in step.folder.rglob("*")
            if path.is_file()
        }
        for name, content in files.items():
            assert kept[name] == content, step.log
            assert kept[f"runs/{RUN}/step-4/{name}"] == content, step.log
        # `result.json` is written once more when the artifact's own address is known.
        plain = {name for name in kept if name != "result.json" and not set(name) & set(FORBIDDEN_IN_ARTIFACTS)}
        assert {name: uploaded[name] for name in plain} == {name: kept[name] for name in plain}
        assert len(uploaded) == len(kept), step.log
        assert set(uploaded.values()) - {uploaded["result.json"]} == set(kept.values()) - {kept["result.json"]}
