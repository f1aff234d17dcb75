"""Blocking work in threads that nothing waits for at the end; the event loop joins its own, however long it is."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

T = TypeVar("T")


def in_thread(work: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Do blocking work in a thread of its own, which may be left behind: it ends with the process at the latest."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(set_it: Callable[[], None]) -> None:
        if not future.done():
            set_it()

    def run() -> None:
        try:
            set_it = partial(future.set_result, work())
        except Exception as error:
            set_it = partial(future.set_exception, error)
        # The loop is closed where nothing waits for the thread any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, set_it)

    threading.Thread(target=run, daemon=True, name=name).start()
    return future
