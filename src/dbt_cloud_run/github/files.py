"""Paths in the workspace: none leads out of it, and what we write there belongs to its owner."""

from __future__ import annotations

import contextlib
import os
import re
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath
from typing import Final

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_END = re.compile(r"[\s.]+$")
# What file systems that ignore the case ignore, too, beside the category Cf (Unicode's `Default_Ignorable_Code_Point`).
_IGNORED = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")
_PART_LIMIT: Final = 255  # bytes of one name that Linux file systems take
_PATH_LIMIT: Final = 2048


class UnsafePathError(ValueError):
    """A path that is not, or would not stay, where it has to be; the message is for the user."""


def safe_relative(name: str) -> PurePosixPath:
    """A name that the API or an archive made as a relative path that only goes down, and not into Git's own folders.

    Raises:
        UnsafePathError: it is empty, absolute, too long, or holds `..`, `.git`, `.github`, a backslash or control
            characters.
    """
    path = _relative(name)
    if any(_is_gits(part) for part in path.parts):
        raise UnsafePathError(f"{name[:200]!r} would change what Git or GitHub runs")
    return path


def _is_gits(part: str) -> bool:
    """Whether some file system takes this name for `.git` or `.github` (as Git itself checks: `protectNTFS`)."""
    plain = _IGNORED.sub("", unicodedata.normalize("NFKC", part).casefold())
    plain = "".join(character for character in plain if unicodedata.category(character) != "Cf")
    return _END.sub("", plain.partition(":")[0]) in (".git", ".github", "git~1", "github~1")


def _relative(name: str) -> PurePosixPath:
    shown = repr(name[:200])
    if not name or name.startswith("/") or "\\" in name or _CONTROL.search(name):
        raise UnsafePathError(f"{shown} is not a relative path with forward slashes")
    path = PurePosixPath(name)
    if not path.parts:
        raise UnsafePathError(f"{shown} names no file")
    if ".." in path.parts:
        raise UnsafePathError(f"{shown} leads upwards with '..'")
    encoded = [os.fsencode(part) if _encodes(part) else b"" for part in path.parts]
    if not all(encoded) or max(map(len, encoded), default=0) > _PART_LIMIT or len(name) > _PATH_LIMIT:
        raise UnsafePathError(f"{shown} cannot be the name of a file")
    return path


def inside_workspace(workspace: Path, relative: str | PurePosixPath) -> Path:
    """The real place of a path in the workspace, whether or not it exists.

    Symbolic links are followed now, so the path that comes back has none: it cannot be led elsewhere by a link that was
    there before. Links that stay in the workspace are allowed.

    Raises:
        UnsafePathError: it is absolute, holds `..`, or a symbolic link on its way leads out of the workspace.
    """
    root = Path(os.path.realpath(workspace))
    if str(PurePosixPath(relative)) == "." and str(relative):
        return root
    path = _relative(str(relative))
    real = Path(os.path.realpath(root / path))
    if not real.is_relative_to(root):
        raise UnsafePathError(f"'{path}' leads out of the workspace through a symbolic link")
    return real


def require_inside(root: Path, path: Path) -> None:
    """See to it, right before writing, that the folder of `path` is still in `root`, a real path (see above).

    A checkout, or a step that runs at the same time, may have put a symbolic link on the way; and into no folder below
    `root` that is Git's or GitHub's.

    Raises:
        UnsafePathError: it is not.
    """
    folder = Path(os.path.realpath(path.parent))
    if not folder.is_relative_to(root):
        raise UnsafePathError(f"'{path.name}' would leave the folder of the artifacts through a symbolic link")
    if any(_is_gits(part) for part in folder.relative_to(root).parts):
        raise UnsafePathError(f"'{path.name}' would change, through a symbolic link, what Git or GitHub runs")


class WorkspaceFiles:
    """Which files the workspace has. Each folder is read once: there are tens of thousands of files to look for."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = os.fspath(workspace)
        self._folders: dict[str, frozenset[str]] = {}

    def __contains__(self, relative: str) -> bool:
        """Whether there is such a file; never an error, whatever the name is."""
        folder, _, name = relative.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = self._names(folder)
        return name in self._folders[folder]

    def _names(self, folder: str) -> frozenset[str]:
        try:
            with os.scandir(os.path.join(self._workspace, folder)) as entries:  # noqa: PTH118
                return frozenset(entry.name for entry in entries if entry.is_file())
        except (OSError, ValueError):
            return frozenset()


def own_like_workspace(paths: Iterable[Path], workspace: Path, *, spare: Collection[Path] = ()) -> None:
    """Give what we wrote in the workspace, folders with their content, to the owner of the workspace.

    Later steps run as that owner and could neither change nor delete the files of root. The folders above these paths
    are given as well where they are root's, but for those to `spare`: what was there before. Does nothing unless we
    are root; never follows symbolic links, never leaves the workspace; what cannot be changed stays as it is.

    Raises:
        OSError: there is no such workspace.
    """
    if os.geteuid() != 0:
        return
    root = Path(os.path.realpath(workspace))
    owner = root.stat()
    parents: dict[Path, Path] = {}
    for path in paths:
        parent = parents.setdefault(path.parent, Path(os.path.realpath(path.parent)))
        if parent.is_relative_to(root):
            _own_tree(parent / path.name, owner.st_uid, owner.st_gid)
    for parent in {parent for parent in parents.values() if parent.is_relative_to(root)}:
        for folder in (parent, *parent.parents):
            if folder == root or folder in spare:
                break
            with contextlib.suppress(OSError):
                if folder.lstat().st_uid == 0:  # made by us or by another container, never by a step of the owner's
                    os.chown(folder, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _own_tree(path: Path, uid: int, gid: int) -> None:
    with contextlib.suppress(OSError):
        os.chown(path, uid, gid, follow_symlinks=False)
        for _, folders, files, descriptor in os.fwalk(path, follow_symlinks=False):
            for name in (*folders, *files):
                with contextlib.suppress(OSError):
                    os.chown(name, uid, gid, dir_fd=descriptor, follow_symlinks=False)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
