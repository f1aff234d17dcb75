"""The downloads of one run's artifacts, with one time limit for all of them, and none of them a reason to fail."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from dbt_cloud_run.clock import LONGEST_SILENCE
from dbt_cloud_run.cloud.client import CloudClient, DownloadedFile
from dbt_cloud_run.cloud.errors import CloudError, NotFound, TooLarge, Unreachable, Unreadable
from dbt_cloud_run.cloud.models import Run
from dbt_cloud_run.cloud.retrying import ARTIFACT_BUDGET, Reader
from dbt_cloud_run.collect.allowance import Allowance, Overdue, downloads_until
from dbt_cloud_run.deflating import Deflating
from dbt_cloud_run.github.files import UnsafePathError, require_inside, safe_relative
from dbt_cloud_run.model import RunState

_logger = logging.getLogger(__name__)

AT_ONCE = 4
_NAMED = 5  # files in the warning about those that there was no time for
_EDGE = 1024  # bytes
_BROKEN = (b"{", b"[", b"<")  # how JSON that is cut short, and a proxy's page, begin
_BLANK = b" \t\r\n\xef\xbb\xbf"  # with the mark of the byte order
UNEXPECTED_GRACE = 5.0  # seconds in which a run may still report artifacts that no step of it can have left
CANCELLED_GRACE = 15.0  # seconds in which artifacts of a cancelled run may still appear
_MADE_HERE = ("assets.json", "junit.xml", "result.json", "summary.md")  # at the top of the folder, by this action
_AT_TOP = ("run_results.json", "manifest.json", "catalog.json", "sources.json", *_MADE_HERE)  # files, never folders
_STEPS = "runs"  # the folder of the steps' own artifacts


@dataclass(slots=True)
class Downloads:
    """Downloads of one run. `warnings` says what is missing, `found` what is there: (path, step).

    With `packing`, a folder, what is kept is compressed there as it comes; `packed` has it by target.
    """

    client: CloudClient
    reader: Reader
    run: Run
    kept: Path  # a real path; what is written in it stays in it
    packing: Path | None = None
    seen: float = float("-inf")  # when the run was last seen going on, by the reader's clock
    limit: float | None = None  # by the same clock: when the time of the step is over
    warnings: list[str] = field(default_factory=list)
    manifest_step: int | None = None  # whose manifest lies at the top
    is_unread: bool = False  # something could not be read for a reason that may pass
    found: dict[tuple[str, int | None], Path] = field(default_factory=dict)
    packed: dict[Path, Deflating] = field(default_factory=dict)
    reasons: dict[tuple[str, int | None], str] = field(default_factory=dict)  # why a file that may exist is not there
    _deadline: float = field(init=False)
    _late_until: float = field(init=False)
    _slots: asyncio.Semaphore = field(init=False)
    _allowance: Allowance = field(init=False)
    _left_out: list[str] = field(default_factory=list)  # there was no time for them

    def __post_init__(self) -> None:
        now = self.reader.clock.monotonic()
        # dbt Cloud's times are compared with its own clock alone: where it does not say, the run has ended just now.
        server_now, ended = self.client.server_now(), self.run.finished_at
        ago = min((server_now - ended).total_seconds() if server_now and ended else 0.0, now - self.seen)
        limit = ARTIFACT_BUDGET
        if not self.run.state.is_terminal:  # we are out of time, and it goes on: what is there now is all
            limit = 0.0
        elif self.run.state is RunState.CANCELLED:
            limit = CANCELLED_GRACE
        self._deadline = now + ARTIFACT_BUDGET
        self._late_until = now + min(max(limit - ago, 0.0), limit)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._allowance = Allowance(self.reader.clock, downloads_until(self.limit, now))

    async def until_saved(self, *, are_expected: bool = True) -> None:
        """Wait until the run reports that its artifacts are saved, as long as they may still be saving.

        `are_expected`: a step has run that leaves artifacts. Without one, seconds are enough.
        """
        until = self._late_until
        if not are_expected:
            until = min(until, self.reader.clock.monotonic() + UNEXPECTED_GRACE)
        pause, is_said = 0.5, False
        while not self.run.artifacts_saved and (left := until - self.reader.clock.monotonic()) > 0:
            if left > LONGEST_SILENCE and not is_said:
                _logger.info("Waiting for up to %.0f s until dbt Cloud has saved the artifacts.", left)
                is_said = True
            limited = max(pause, self.reader.rate_limit.minimum_interval)
            await self.reader.clock.sleep(min(limited, left))
            pause = min(pause * 1.6, 10.0)
            try:
                latest = await self.reader.read(lambda: self.client.get_run(self.run.id), deadline=self._deadline)
            except CloudError as error:
                self.warnings.append(f"Run {self.run.id} could not be read again: {error.message}")
                return
            self.run = self.run.model_copy(update={"artifacts_saved": latest.artifacts_saved})

    async def file(
        self, path: str, target: Path, step: int | None, *, expected: bool = False, spare: Path | None = None
    ) -> bool:
        """Download one artifact; False when there is none, with a warning where it was expected.

        Where `target` cannot be written it goes to `spare`, so that it can be read at least; `found` has the place.
        """
        what = f"{path} of run {self.run.id}{'' if step is None else f', step {step},'}"
        try:
            safe_relative(path)
            if target == self.kept / path:
                require_free(path)
            if target.is_relative_to(self.kept):
                require_inside(self.kept, target)
            async with self._slots:
                target.parent.mkdir(parents=True, exist_ok=True)
                file = await self._read(path, target, step, what, expected=expected)
        except UnsafePathError as error:
            self.warnings.append(f"An artifact of run {self.run.id} is left out: {error}.")
            return spare is not None and await self.file(path, spare, step, expected=expected)
        except Overdue:
            self._leave_out(what)
            self.reasons[path, step] = f"there was no time to download {path}"
            return False
        except CloudError as error:
            is_absent = isinstance(error, NotFound) or isinstance(error.__cause__, NotFound)
            self.is_unread |= isinstance(error, Unreachable) and not isinstance(error.__cause__, NotFound | Unreadable)
            self.is_unread |= isinstance(error, TooLarge)
            if expected or not is_absent:
                why = "is missing" if is_absent else f"could not be downloaded: {error.message}"
                self.warnings.append(f"{what} {why}.".replace("..", "."))
                self.reasons[path, step] = f"{path} {why}".removesuffix(".")
            return False
        except OSError as error:
            self.warnings.append(f"{what} could not be written: {error}")
            self.reasons[path, step] = f"{path} could not be written: {error}"
            return spare is not None and await self.file(path, spare, step, expected=expected)
        self.found[path, step] = target
        if file.packed is not None:
            self.packed[target] = file.packed
        return True

    async def _read(self, path: str, target: Path, step: int | None, what: str, *, expected: bool) -> DownloadedFile:
        # A name of its own for each download: one of the same file may still be under way, or be compressed.
        packed = self.packing / os.urandom(16).hex() if self.packing and target.is_relative_to(self.kept) else None

        def check(file: Path) -> None:
            if file.stat().st_size == 0:
                raise NotFound(f"There is no {what}.")
            edges = _edges(file)
            if path.endswith(".json") and edges not in (b"{}", b"[]"):
                # A step without the file may be answered with what is no JSON at all; a page, or a half, is a fault.
                if expected or edges[:1] in _BROKEN:
                    raise Unreadable(f"What dbt Cloud served as {what} is not JSON.")
                raise NotFound(f"There is no {what}.")

        async def once() -> DownloadedFile:
            # Files that have arrived may still be compressed: room on the disk, too.
            self._allowance.take_room(sum(packed.growth() for packed in self.packed.values()))
            with self._allowance.begin() as usage:
                file = await self.client.download(
                    self.run.id, path, target, step=step, packed=packed, check=check, meter=usage
                )
            if file is None:
                raise NotFound(f"There is no {what}.")
            return file

        tolerated = self._late_until if expected else None
        return await self.reader.read(once, deadline=self._deadline, tolerate_404_until=tolerated)

    def _leave_out(self, what: str) -> None:
        """One warning for all that there was no time for, however many they are."""
        self.is_unread = True
        if self._left_out:
            self.warnings.remove(self._overdue())
        self._left_out.append(what)
        self.warnings.append(self._overdue())

    def _overdue(self) -> str:
        named = "; ".join(self._left_out[:_NAMED])
        more = f" and {len(self._left_out) - _NAMED} more" if len(self._left_out) > _NAMED else ""
        return f"Downloading the artifacts of run {self.run.id} took too long. Left out: {named}{more}."

    def discard(self, path: str, step: int | None) -> None:
        """What was downloaded turned out not to be what its name says: it is not kept."""
        target = self.found.pop((path, step))
        if packed := self.packed.pop(target, None):
            packed.abandon()
        with contextlib.suppress(OSError):
            target.unlink()

    async def listing(self) -> tuple[str, ...]:
        """The run's artifact paths; empty, with a warning, when they cannot be listed."""
        try:
            return await self.reader.read(lambda: self.client.list_artifacts(self.run.id), deadline=self._deadline)
        except CloudError as error:
            self.warnings.append(f"The artifacts of run {self.run.id} could not be listed: {error.message}")
            return ()


def require_free(path: str) -> None:
    """See to it that an artifact at the top of the folder takes the place of no file that the contract puts there.

    Raises:
        UnsafePathError: it does.
    """
    first, *rest = PurePosixPath(path).parts
    if first == _STEPS or (first in _AT_TOP if rest else first in _MADE_HERE):
        raise UnsafePathError(f"{path[:200]!r} would take the place of {first}, which this action makes itself")


def _edges(file: Path) -> bytes:
    """The first and the last character that is not blank; those of a proxy's page or of half a file are no pair."""
    with file.open("rb") as content:
        begin = content.read(_EDGE)
        content.seek(max(content.seek(0, os.SEEK_END) - _EDGE, 0))
        end = content.read()
    return begin.lstrip(_BLANK)[:1] + end.rstrip()[-1:]
