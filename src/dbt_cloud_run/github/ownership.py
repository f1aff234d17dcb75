"""Files of the workspace's owner, from the moment they are made.

A container action runs as root, and the steps after it do not: they could neither change nor delete root's files, and
`actions/checkout` of the next run fails on them. A process that is killed gives nothing away any more, so the files
must not be root's for a moment. Linux has an identity for the file system alone, which threads inherit.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_UNCHANGED: Final = 0xFFFFFFFF  # no valid id: nothing is set, and the answer is the id as it is


def act_as_owner(workspace: Path, *, must_write: Iterable[Path] = (), must_read: Iterable[Path] = ()) -> bool:
    """From now on make and open files as the owner of the workspace, in this thread and those that it starts.

    Call it before there are other threads. Nothing changes, and the answer is False, where we are not root, where root
    owns the workspace, where the system does not allow it, or where that owner could not write one of `must_write`
    (files or folders, such as those of the runner) or read one of `must_read` (such as modules that are imported
    later): then the files have to be given away at the end.
    """
    try:
        owner = Path(os.path.realpath(workspace)).stat()
    except OSError:
        return False
    if os.geteuid() != 0 or owner.st_uid == 0:
        return False
    if (
        _set(owner.st_uid, owner.st_gid)
        and all(_is_writable(path) for path in must_write)
        and all(_is_readable(path) for path in must_read)
    ):
        return True
    act_as_oneself()
    return False


def act_as_oneself() -> None:
    """Undo `act_as_owner` in this thread."""
    _set(os.geteuid(), os.getegid())


def mend(folder: Path, workspace: Path) -> int:
    """Give what is root's in a folder of ours to the owner of the workspace, and return how much that was.

    Older versions left it there when they were killed. Needs root's own identity. Never follows symbolic links, never
    leaves the workspace; what cannot be changed stays as it is.
    """
    root, real = Path(os.path.realpath(workspace)), Path(os.path.realpath(folder))
    if os.geteuid() != 0 or real == root or not real.is_relative_to(root):
        return 0
    try:
        owner = root.stat()
    except OSError:
        return 0
    return _mended(real, owner.st_uid, owner.st_gid) if owner.st_uid else 0


def _mended(folder: Path, uid: int, gid: int) -> int:
    count = 0
    with contextlib.suppress(OSError):
        if folder.lstat().st_uid == 0:
            os.chown(folder, uid, gid, follow_symlinks=False)
            count += 1
        for _, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
            for name in (*folders, *files):
                with contextlib.suppress(OSError):
                    if os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_uid == 0:
                        os.chown(name, uid, gid, dir_fd=descriptor, follow_symlinks=False)
                        count += 1
    return count


def _set(uid: int, gid: int) -> bool:
    try:
        library = ctypes.CDLL(None)
        # The group first: once the user is another one, it can no longer be changed.
        if uid == 0:
            library.setfsuid(ctypes.c_uint(uid))
        library.setfsgid(ctypes.c_uint(gid))
        library.setfsuid(ctypes.c_uint(uid))
        now = library.setfsuid(ctypes.c_uint(_UNCHANGED)), library.setfsgid(ctypes.c_uint(_UNCHANGED))
    except (OSError, AttributeError):
        # Another system than Linux.
        return False
    return now == (uid, gid)


def _is_readable(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError:
        return False
    return True


def _is_writable(path: Path) -> bool:
    """Whether a file can be opened for writing, or a folder can be written into; what is not there counts as writable.

    `os.access` asks for the real user, so it is tried.
    """
    try:
        if not path.is_dir():
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
            return True
        # Neither leaves a name behind.
        os.close(os.open(path, os.O_TMPFILE | os.O_WRONLY, 0o600))
    except FileNotFoundError:
        return True
    except OSError as error:
        # The file system knows no files without a name: then the folder's own bits have to do.
        return error.errno in (errno.EOPNOTSUPP, errno.EISDIR) and _bits_allow(path)
    return True


def _bits_allow(folder: Path) -> bool:
    found, uid = folder.stat(), ctypes.CDLL(None).setfsuid(ctypes.c_uint(_UNCHANGED))
    return bool(found.st_mode & (0o200 if found.st_uid == uid else 0o002))
