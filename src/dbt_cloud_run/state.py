"""What the main step leaves for the post step, which runs in a fresh container: no secret is in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.github.console import Console
from dbt_cloud_run.start.pending import Pending
from dbt_cloud_run.start.tag import Tag, parse_tag

RUN, PROOF, PENDING, ENDED = "run_id", "proof", "pending", "ended"
FILES, PUBLISHED, TARGET = "files", "published", "target"
_RETRY_OF = "retry of "


@dataclass(frozen=True, slots=True)
class State:
    """Writes the state. The runner keeps the last value of each name."""

    console: Console

    def target(self, base_url: str, account_id: int) -> None:
        """Which dbt Cloud this is about; the post step speaks to no other."""
        self.console.save_state(TARGET, f"{base_url} {account_id}")

    def pending(self, pending: Pending) -> None:
        """A write is about to be sent that may start a run."""
        tag = str(pending.tag) if pending.tag else None
        content = [pending.job_id, pending.baseline_id, tag, pending.native_of]
        self.console.save_state(PENDING, json.dumps(content))
        self.console.save_state(RUN, "")

    def run(self, run: Run, *, is_ours: bool, step_key: str) -> None:
        """A run is being waited for; it is to be cancelled only if it is ours, and it must show that itself."""
        proof = step_key if run.retrying_run_id is None else f"{_RETRY_OF}{run.retrying_run_id}"
        self.console.save_state(RUN, str(run.id) if is_ours else "")
        self.console.save_state(PROOF, proof)
        self.console.save_state(PENDING, "")

    def ended(self, why: str) -> None:
        """The main step has come to an end by a decision of its own: nothing is to be cancelled."""
        self.console.save_state(ENDED, why)

    def files(self, name: str, folder: Path | None, files: Iterable[Path]) -> None:
        """What is to be uploaded, and as which artifact, if the main step does not come to it."""
        written = sorted(str(path) for path in files if folder is not None and path.is_relative_to(folder))
        if written:
            self.console.save_state(FILES, json.dumps({"name": name, "folder": str(folder), "files": written}))

    def published(self) -> None:
        """Everything is published; nothing is left to upload."""
        self.console.save_state(PUBLISHED, "true")


@dataclass(frozen=True, slots=True)
class SavedWrite:
    """A write whose answer the main step did not live to see."""

    job_id: int
    baseline_id: int
    tag: Tag | None
    native_of: int | None


@dataclass(frozen=True, slots=True)
class SavedFiles:
    """Files for the artifact."""

    name: str
    folder: Path
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class SavedState:
    """What the main step left. Anything that is not as we write it counts as absent: a log line can forge state."""

    target: str
    run_id: int | None
    proof: str
    write: SavedWrite | None
    ended: str
    files: SavedFiles | None
    is_published: bool

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> SavedState:
        """Read `STATE_*`."""

        def text(name: str) -> str:
            return environ.get(f"STATE_{name}", "").strip()

        run_id = text(RUN)
        return cls(
            target=text(TARGET),
            run_id=int(run_id) if re.fullmatch(r"[1-9][0-9]{0,18}", run_id) else None,
            proof=text(PROOF),
            write=_write(text(PENDING)),
            ended=text(ENDED),
            files=_files(text(FILES)),
            is_published=text(PUBLISHED) == "true",
        )

    def proves(self, run: Run) -> bool:
        """Whether a run, which was read with its trigger, is one that this step started: it says so itself."""
        if self.proof.startswith(_RETRY_OF):
            return run.retrying_run_id is not None and f"{_RETRY_OF}{run.retrying_run_id}" == self.proof
        tag = parse_tag(run.trigger.cause if run.trigger else None)
        return tag is not None and tag.key.step == self.proof


def _write(text: str) -> SavedWrite | None:
    try:
        job_id, baseline_id, tag, native_of = json.loads(text)
    except (ValueError, TypeError):
        return None
    if not isinstance(job_id, int) or not isinstance(baseline_id, int):
        return None
    parsed = parse_tag(tag) if isinstance(tag, str) else None
    retried = native_of if isinstance(native_of, int) else None
    return SavedWrite(job_id, baseline_id, parsed, retried) if parsed or retried else None


def _files(text: str) -> SavedFiles | None:
    try:
        content = json.loads(text)
        return SavedFiles(content["name"], Path(content["folder"]), tuple(Path(path) for path in content["files"]))
    except (ValueError, TypeError, KeyError):
        return None
