"""The interface of a sink: a module of this folder with the name of its word in the input `emit`, and one function.

    async def send(emission: Emission, environ: Mapping[str, str], clock: Clock, progress: Progress) -> None

It sends every event, or raises `NotSentError` with what is missing. It is imported only when it is asked for, may be
cancelled at any moment, and sending the same emission twice has no other effect than sending it once.
"""

from __future__ import annotations

from dataclasses import dataclass


class NotSentError(Exception):
    """The events, or some of them, were not sent; the message says what is missing or wrong, and what to do."""


@dataclass(slots=True)
class Progress:
    """How far a sink has come. It is written while the sink works, since the sink may be cancelled at any moment."""

    total: int = 0  # events
    sent: int = 0
    place: str = ""  # where they go, for people

    def __str__(self) -> str:
        return f"{self.sent} of {self.total} events were sent"
