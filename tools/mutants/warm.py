"""The tests of a mutant, without the start of pytest: collected once, then run in a fork of the process that has them.

`mutmut` starts pytest for each mutant, which takes longer than most tests do. Here the fork server collects all tests
of the group, and a mutant's process runs those of them that have called the mutated function, until one fails:

- first those that have noticed another mutant of the same function, then the others, the quickest of each first;
- each for at most ten times as long as it took without a mutant, and five seconds of the processor or a minute: what
  takes longer has timed out. A busy machine makes a test take long, and lets it have little of the processor.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import mutmut.__main__
import mutmut.workers.isolation
import pytest
from _pytest.config import _prepareconfig
from mutmut.runners.harness import PytestRunner
from mutmut.state import state
from mutmut.utils.file_utils import change_cwd
from mutmut.utils.format_utils import mangled_name_from_mutant_name

NOTICED, SURVIVED, TIMED_OUT = 1, 0, 36
"""Exit codes of a mutant's process, as `mutmut` reads them."""

FACTOR, BUSY_SECONDS, IDLE_SECONDS = 10.0, 5.0, 60.0
NO_FUNCTION = "-"
NOTICERS = Path("noticers.txt").resolve()
"""A line for each mutant that was noticed: the function, and the test that failed."""


def install() -> None:
    """Let `mutmut` use all of this, and look at the mutants of a group in an order that is as good as random.

    By itself it begins with those whose tests are quick. A group for which the time was too short would say nothing
    about the rest; with this order, what was looked at is a sample.
    """
    mutmut.workers.isolation.PytestRunner = CollectedOnce
    mutmut.__main__.estimated_worst_case_time = lambda name: int(hashlib.sha256(name.encode()).hexdigest()[:12], 16)


class CollectedOnce(PytestRunner):  # type: ignore[misc]
    """A runner whose `run_tests` uses what `warm_up` has collected, in this process or in the one it is a fork of."""

    _session: pytest.Session | None = None

    def warm_up(self) -> None:
        """Collect the group's tests, and keep pytest as it is when it is about to run them."""
        arguments = ["--rootdir=.", "--tb=native", "-x", "-q", "-p", "no:randomly", "--capture=no"]
        with change_cwd("mutants"):
            config = _prepareconfig([*arguments, *self._pytest_add_cli_args_test_selection, *self._pytest_add_cli_args])
            session = pytest.Session.from_config(config)
            config._do_configure()  # noqa: SLF001 - pytest has no other way to stop between its steps
            config.hook.pytest_sessionstart(session=session)
            config.hook.pytest_collection(session=session)
        self._session = session

    def run_tests(self, *, mutant_name: str | None, tests: Iterable[str]) -> int:
        """Run the tests of a mutant until one fails; without a mutant all, which have to pass in this way, too."""
        if self._session is None:
            self.warm_up()
        assert self._session is not None  # noqa: S101 - it was collected
        if self._session.testsfailed:
            return NOTICED
        function = mangled_name_from_mutant_name(mutant_name) if mutant_name is not None else NO_FUNCTION
        by_name = {item.nodeid: item for item in self._session.items}
        names = in_order(list(tests) or list(by_name), state().duration_by_test, noticers_of(function))
        items = [by_name[name] for name in names]
        with change_cwd("mutants"), a_process_of_its_own():
            return run_until_one_fails(self._session, items, function)


def in_order(tests: Iterable[str], seconds: dict[str, float], noticers: Counter[str]) -> list[str]:
    """Names of tests: those that have noticed something in the same function first, the quick ones before the slow."""
    return sorted(tests, key=lambda name: (name not in noticers, seconds.get(name, 0.0), name))


def noticers_of(function: str) -> Counter[str]:
    """How often each test was the one that noticed a mutant of this function."""
    lines = NOTICERS.read_text(encoding="utf-8").splitlines() if NOTICERS.is_file() else []
    return Counter(test for name, _, test in (line.partition(" ") for line in lines) if name == function)


@contextmanager
def a_process_of_its_own() -> Iterator[None]:
    """Files and streams that this process does not share with those of other mutants."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - as long as the process
    folder = tempfile.mkdtemp(prefix="mutant-")
    os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_until_one_fails(session: pytest.Session, items: list[pytest.Item], function: str) -> int:
    """Run collected tests one after the other; `NOTICED` as soon as one fails."""
    try:
        for item, following in zip(items, [*items[1:], None], strict=True):
            with limited(FACTOR * state().duration_by_test.get(item.nodeid, 0.0)):
                session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                with NOTICERS.open("a", encoding="utf-8") as file:
                    file.write(f"{function} {item.nodeid}\n")
                return NOTICED
        return SURVIVED
    finally:
        # Servers that fixtures have started outlive this process otherwise.
        session._setupstate.teardown_exact(None)  # noqa: SLF001


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """End this process with `TIMED_OUT` when the block uses the processor, or lasts, for longer than that and more."""
    has_ended = threading.Event()
    latest_use, latest_end = time.process_time() + seconds + BUSY_SECONDS, time.monotonic() + seconds + IDLE_SECONDS

    def watch() -> None:
        while not has_ended.wait(0.2):
            if time.process_time() > latest_use or time.monotonic() > latest_end:
                os._exit(TIMED_OUT)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        has_ended.set()
