"""A folder takes another's place in one step, so that a reader finds the old one or the new one and never nothing.

Linux swaps two names at once (`renameat2` with RENAME_EXCHANGE, on ext4, xfs, btrfs, f2fs, tmpfs). Where the kernel or
the file system cannot (NFS), two renames do it: killed between them, the place is empty until the next `unpack` or
`rollback` puts the old folder back. A symbolic link stays one: what it points at is replaced.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from edge_asc.bundle.manifest import MANIFEST
from edge_asc.errors import BundleError

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EXDEV)


def require_replaceable(path: Path) -> None:
    """Raises BundleError unless nothing, an empty folder or a bundle stands at `path`."""
    if path.exists() and not (path / MANIFEST).is_file() and (not path.is_dir() or any(path.iterdir())):
        raise BundleError(f"{path} exists and is not a bundle, so it is not replaced",
                          fix="Choose another place, or move it away.")


def swap_in(new: Path, path: Path, *, aside: Path) -> Path | None:
    """Put the folder `new` at `path`.

    Args:
        new: A complete folder beside `path`, as `sync_tree` leaves it.
        path: What stands there, if anything, moves away and is kept.
        aside: Where that goes if the two names cannot be swapped.

    Returns:
        Where the old folder is now: `new` or `aside`; None if there was none.
    """
    if not path.exists():
        new.rename(path)
        old = None
    elif exchange(new, path):
        old = new
    else:
        path.rename(aside)
        try:
            new.rename(path)
        except BaseException:
            aside.rename(path)
            raise
        old = aside
    sync(path.parent)
    return old


def exchange(one: Path, other: Path) -> bool:
    """Swap two existing names in one step. False, and nothing done, where that is not possible."""
    import ctypes

    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # not Linux, or a C library from before 2018
        return False
    renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


def write_file(folder: Path, name: str, data: bytes) -> None:
    """A new file below `folder`, on the disk when this returns."""
    where = folder / name
    where.parent.mkdir(parents=True, exist_ok=True)
    with where.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_tree(folder: Path) -> None:
    """Make the folder readable for others, and every name below it last."""
    # Whoever unpacks is often root with a strict umask; whoever listens is a service user.
    for each in (folder, *folder.rglob("*")):
        each.chmod(0o755 if each.is_dir() else 0o644)
        if each.is_dir():
            sync(each)


def sync(directory: Path) -> None:
    """Make the names in a folder last."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold off other processes that replace bundles in this folder; a file system without locks does without."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def remove(folder: Path) -> None:
    """Delete a folder that may be half there; what cannot be deleted is left for the next time."""
    shutil.rmtree(folder, ignore_errors=True)
