"""A step that receives a signal in its first moments, and the server that sees whether it starts a run all the same."""

from __future__ import annotations

import json
import time
from typing import Any

from standins.local_server import LocalHandler, LocalServer

RUN = {"id": 5, "status": 3, "job_definition_id": 1, "account_id": 1, "href": None}


class Witness(LocalServer):
    """A dbt Cloud whose only run never ends.

    `answers` are the times (monotonic) of its answers to what was read, `triggers` those at which a run was asked for.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.answers: list[float] = []
        self.triggers: list[float] = []

    def triggers_after(self, told: float) -> list[float]:
        """The triggers for which something was still read after that moment.

        What was read before is all that a trigger needs: it may have been on its way, and cannot be called back.
        """
        return [at for at in self.triggers if any(told < answer < at for answer in self.answers)]

    @property
    def inputs(self) -> dict[str, str]:
        """The inputs that make a step ask here."""
        given = {"api-token": "dbtc_0123456789", "account-id": "1", "job-id": "1", "host": self.origin}
        return given | {"poll-interval": "1", "upload-artifact": "false"}


class _Handler(LocalHandler):
    service: Witness

    def _answer(self, data: Any) -> None:
        self.reply(200, json.dumps({"data": data, "status": {"code": 200, "is_success": True}}).encode())

    def answer(self) -> None:
        now = time.monotonic()
        if self.command == "GET":
            self.service.answers.append(now)
            self._answer([] if self.path.partition("?")[0].endswith("/runs/") else RUN)
            return
        self.body()
        is_cancel = "/cancel/" in self.path
        if not is_cancel:
            self.service.triggers.append(now)
        self._answer(RUN | ({"status": 30} if is_cancel else {}))
