"""The default folder of the artifacts on a runner that keeps its workspace: no files of other runs pile up in it.

An index in the folder names what each workflow run wrote. What another run wrote, and no one has touched since, is
removed; nothing of this run is, and nothing that the index does not name.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from dbt_cloud_run.github.files import UnsafePathError, require_inside, safe_relative

DEFAULT_FOLDER: Final = "dbt-cloud"
INDEX: Final = ".dbt-cloud-run.jsonl"
IGNORE: Final = "# Made by dbt-cloud-run: what it writes here is no part of the repository.\n*\n"
_LARGEST: Final = 16 * 1024 * 1024  # bytes of the index


@dataclass(frozen=True, slots=True)
class Written:
    """One entry of the index. Size (bytes) and time (ns) are those of the finished file."""

    run: str
    path: str
    size: int
    time: int

    def line(self) -> str:
        return json.dumps({"run": self.run, "path": self.path, "size": self.size, "time": self.time}) + "\n"


@dataclass(slots=True)
class Leftovers:
    """The index of a folder, for one workflow run. `folder` is a real path; it need not exist yet."""

    folder: Path
    run_id: str  # GITHUB_RUN_ID; empty outside of a workflow: then nothing is kept or removed
    _sealed: set[Written] = field(default_factory=set)

    def prepare(self) -> int:
        """Make the folder ignored by Git where it has no .gitignore, and remove what is left of other runs.

        Returns the number of files that were removed. What cannot be removed stays.

        Raises:
            OSError: the folder cannot be made or written.
            UnsafePathError: it is a symbolic link by now.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        # The checkout may have put a symbolic link in its place meanwhile.
        require_inside(self.folder, self.folder / ".gitignore")
        with contextlib.suppress(FileExistsError), (self.folder / ".gitignore").open("x", encoding="utf-8") as file:
            file.write(IGNORE)
        return self._remove_others() if self.run_id else 0

    def seal(self, paths: Iterable[Path]) -> None:
        """These files are finished: whoever changes them from now on makes them his own."""
        found = []
        for path in paths:
            with contextlib.suppress(OSError):
                status = path.lstat()
                if (name := self._name(path)) and stat.S_ISREG(status.st_mode):
                    found.append(Written(self.run_id, name, status.st_size, status.st_mtime_ns))
        new = [entry for entry in found if entry not in self._sealed]
        self._append(new)
        self._sealed.update(new)

    def _append(self, entries: Iterable[Written]) -> None:
        text = "".join(entry.line() for entry in entries)
        if text and self.run_id:
            # The checkout may have put a link in its place, to any file that the owner of the workspace can write.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
            with os.fdopen(os.open(self._index, flags, 0o666), "a", encoding="utf-8", newline="\n") as file:
                file.write(text)

    def _name(self, path: Path) -> str | None:
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that this makes itself, whether or not they are there."""
        return self.folder / ".gitignore", self.folder / INDEX

    @property
    def _index(self) -> Path:
        require_inside(self.folder, self.folder / INDEX)
        return self.folder / INDEX

    def _remove_others(self) -> int:
        entries = list(_read(self._index))
        ours = {entry.path for entry in entries if entry.run == self.run_id}
        # The last entry of a path counts: it has been written again since.
        others = {entry.path: entry for entry in entries if entry.path not in ours}
        removed = sum(self._remove(entry) for entry in others.values())
        kept = "".join(entry.line() for entry in entries if entry.run == self.run_id)
        if others:
            fresh = self.folder / f"{INDEX}.new"
            fresh.unlink(missing_ok=True)
            # Made, never opened: a link in its place would lead elsewhere.
            with fresh.open("x", encoding="utf-8", newline="\n") as file:
                file.write(kept)
            fresh.replace(self._index)
        return removed

    def _remove(self, entry: Written) -> bool:
        try:
            path = self.folder / safe_relative(entry.path)
            require_inside(self.folder, path)
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode) or (entry.size, entry.time) != (status.st_size, status.st_mtime_ns):
                return False
            path.unlink()
        except (OSError, UnsafePathError):
            return False
        self._remove_empty_folders(path.parent)
        return True

    def _remove_empty_folders(self, folder: Path) -> None:
        with contextlib.suppress(OSError):
            while folder != self.folder and folder.is_relative_to(self.folder):
                folder.rmdir()
                folder = folder.parent


def index_of(workspace: Path, artifacts_path: Path, run_id: str) -> Leftovers | None:
    """The index for an artifacts folder in the default folder of a workspace; None for one that a user has named.

    `artifacts_path` is a real path, as `inside_workspace` returns it.
    """
    default = Path(os.path.realpath(workspace)) / DEFAULT_FOLDER
    return Leftovers(default, run_id) if artifacts_path.parent == default and not default.is_symlink() else None


def _read(index: Path) -> Iterator[Written]:
    """The entries; a line that is none of ours, as the last one of a step that was killed, is passed over."""
    try:
        if index.is_symlink() or index.stat().st_size > _LARGEST:
            return
        lines = index.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            entry: Any = json.loads(line)
            run, path, size, time = entry["run"], entry["path"], entry["size"], entry["time"]
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
        is_named = isinstance(run, str) and isinstance(path, str) and str(PurePosixPath(path)) == path
        if is_named and type(size) is int and type(time) is int:
            yield Written(run, path, size, time)
