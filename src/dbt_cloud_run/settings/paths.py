"""Folders that a user names, held inside the workspace."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath


class OutsideWorkspaceError(ValueError):
    """A path is no folder in the workspace, and cannot become one; the message says why."""


def workspace_relative(text: str, workspace: Path) -> str:
    """Give `text` as a path relative to the workspace, `.` for the workspace itself; decided by its letters alone.

    Raises `OutsideWorkspaceError` for `..`, for an absolute path elsewhere, for `.git` and for control characters.
    """
    if not text.isprintable():
        raise OutsideWorkspaceError("holds a control character")
    path = PurePosixPath(text)
    if ".." in path.parts:
        raise OutsideWorkspaceError("holds `..`")
    if path.is_absolute():
        try:
            path = path.relative_to(PurePosixPath(workspace))
        except ValueError:
            raise OutsideWorkspaceError(f"is not inside the workspace, {workspace}") from None
    if _is_gits(path):
        raise OutsideWorkspaceError("is git's own folder")
    if any(len(os.fsencode(part)) > 255 for part in path.parts) or len(path.parts) > 100:
        raise OutsideWorkspaceError("is too long")
    return str(path)


def _is_gits(path: PurePosixPath) -> bool:
    """Whether it lies in a repository's own folder, also in that of a repository within this one."""
    return any(part.lower() == ".git" for part in path.parts)


def resolve_inside(relative: str, workspace: Path) -> Path:
    """Give the real path of `relative`; it need not exist.

    Raises `OutsideWorkspaceError` if a symlink leads out or to `.git`, or if a file is where a folder has to be.
    """
    try:
        root = workspace.resolve()
        path = (root / relative).resolve()
        loops = any(part.is_symlink() for part in (path, *path.parents))  # what Python 3.13 leaves of a loop
        is_blocked = any(part.exists() and not part.is_dir() for part in (path, *path.parents))
    except (OSError, RuntimeError, ValueError) as error:
        raise OutsideWorkspaceError(f"cannot be resolved ({type(error).__name__})") from None
    if path != root and root not in path.parents:
        raise OutsideWorkspaceError("leads out of the workspace through a symbolic link")
    if _is_gits(PurePosixPath(path.relative_to(root))):
        raise OutsideWorkspaceError("leads into git's own folder")
    if is_blocked:
        raise OutsideWorkspaceError("is a file, or lies below one")
    if loops:
        raise OutsideWorkspaceError("leads to a symbolic link that points to itself")
    return path
