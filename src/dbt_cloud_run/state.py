"""What the main step leaves for the post step, which runs in a fresh container: no secret is in it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dbt_cloud_run.console import BaseConsole
from dbt_cloud_run.start.chain import tag_of
from dbt_cloud_run.start.once import StartRequest, load_request, save_request

if TYPE_CHECKING:
    from dbt_cloud_run.cloud.models import Run

RUN, PROOF, PENDING, ENDED = "run_id", "proof", "pending", "ended"
FILES, PUBLISHED, TARGET = "files", "published", "target"
JOB, ADDRESS, CANCEL = "job", "address", "cancel"
_RETRY_OF = "retry of "
LONGEST_FILES = 96 * 1024
"""Bytes of the names that are saved. The post step gets each value as a variable, and Linux takes none over 128 KiB:
with a longer one it does not start, and cancels nothing."""
_LONGEST_ADDRESS = 2_000

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class State:
    """Writes the state. The runner keeps the last value of each name."""

    console: BaseConsole

    def target(self, base_url: str, account_id: int) -> None:
        """Which dbt Cloud account this is about; the post step sends requests to no other."""
        self.console.save_state(TARGET, f"{base_url} {account_id}")

    def may_cancel(self, may: bool) -> None:
        """Whether a run that is left behind is to be cancelled: the input may be empty in the post step."""
        self.console.save_state(CANCEL, str(may).lower())

    def job(self, job_id: int) -> None:
        """The dbt Cloud job, once it is known."""
        self.console.save_state(JOB, str(job_id))

    def request(self, request: StartRequest) -> None:
        """A request that may start a run is about to be sent."""
        self.console.save_state(PENDING, save_request(request))
        self.console.save_state(RUN, "")

    def run(self, run: Run, *, is_to_cancel: bool, step_key: str) -> None:
        """The step waits for a run. The post step cancels it only if it `is_to_cancel` and shows that it is ours."""
        proof = step_key if run.retrying_run_id is None else f"{_RETRY_OF}{run.retrying_run_id}"
        self.console.save_state(RUN, str(run.id) if is_to_cancel else "")
        self.console.save_state(PROOF, proof)
        self.console.save_state(ADDRESS, run.href if run.href and len(run.href) <= _LONGEST_ADDRESS else "")
        self.console.save_state(PENDING, "")

    def ended(self, why: str) -> None:
        """The main step has ended by its own decision: nothing is to be cancelled."""
        self.console.save_state(ENDED, why)

    def files(self, name: str, folder: Path, files: Iterable[Path]) -> None:
        """What the post step uploads, and as which artifact, because the main step had no time to."""
        inside = [path.relative_to(folder).as_posix() for path in files if path.is_relative_to(folder)]
        # What is of the step as a whole lies at the top.
        inside.sort(key=lambda path: (path.count("/"), path))
        kept = _that_fit(inside)
        if len(kept) < len(inside):
            _logger.warning(
                "The post step uploads %d of %d files: the runner has no room for the names of the others. They are in "
                "the workspace.",
                len(kept),
                len(inside),
            )
        if kept:
            self.console.save_state(FILES, json.dumps({"name": name, "folder": str(folder), "files": kept}))

    def published(self) -> None:
        """Everything is published; nothing is left to upload."""
        self.console.save_state(PUBLISHED, "true")


@dataclass(frozen=True, slots=True)
class SavedFiles:
    """Files for the artifact."""

    name: str
    folder: Path
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class SavedState:
    """What the main step left. What is not in our own form counts as absent: a log line can forge state."""

    target: str
    job_id: int | None
    run_id: int | None
    address: str  # of the run in dbt Cloud; empty where it is not known
    may_cancel: bool
    proof: str
    request: StartRequest | None  # whose answer the main step did not receive
    ended: str
    files: SavedFiles | None
    is_published: bool

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> SavedState:
        """Read `STATE_*`."""
        prefix = "STATE_"
        return cls.of({name.removeprefix(prefix): text for name, text in environ.items() if name.startswith(prefix)})

    @classmethod
    def of(cls, values: Mapping[str, str]) -> SavedState:
        """Read the values by their names."""

        def text(name: str) -> str:
            return values.get(name, "").strip()

        return cls(
            target=text(TARGET),
            job_id=_number(text(JOB)),
            run_id=_number(text(RUN)),
            address=text(ADDRESS) if re.match(r"https?://", text(ADDRESS)) else "",
            may_cancel=text(CANCEL) != "false",
            proof=text(PROOF),
            request=load_request(text(PENDING)),
            ended=text(ENDED),
            files=_files(text(FILES)),
            is_published=text(PUBLISHED) == "true",
        )

    @property
    def is_over(self) -> bool:
        """Whether no run can have been left behind: the step ended by its own decision, or asked for none."""
        return bool(self.ended) or (self.run_id is None and self.request is None)

    @property
    def inputs(self) -> dict[str, str]:
        """Inputs by name, as far as the state has them: the runner may hand over none in the post step."""
        base_url, _, account_id = self.target.partition(" ")
        found = {"host": base_url, "account-id": account_id, "job-id": str(self.job_id or self.run_id or "")}
        return {name: text for name, text in found.items() if text}

    def proves(self, run: Run) -> bool:
        """Whether a run, which was read with its trigger, shows by itself that this step started it."""
        if self.proof.startswith(_RETRY_OF):
            return run.retrying_run_id is not None and f"{_RETRY_OF}{run.retrying_run_id}" == self.proof
        tag = tag_of(run)
        return tag is not None and tag.key.step == self.proof


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,18}", text) else None


def _that_fit(paths: Sequence[str]) -> list[str]:
    """The first of these paths, as many as there is room for in the state."""
    kept, size = [], 0
    for path in paths:
        size += len(json.dumps(path)) + len(", ")
        if size > LONGEST_FILES:
            break
        kept.append(path)
    return kept


def _files(text: str) -> SavedFiles | None:
    try:
        content = json.loads(text)
        folder = Path(content["folder"])
        # Earlier releases saved absolute paths.
        return SavedFiles(content["name"], folder, tuple(folder / path for path in content["files"]))
    except (ValueError, TypeError, KeyError):
        return None
