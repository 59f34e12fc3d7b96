"""One writer per folder: a lock that dies with its process, and a broom for what a killed writer left half-done."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_asc.errors import InputError

_LOCK = ".lock"
# What `atomic.replacing` and `audio.write_wav` call their temporary files: a dot, the final name, and a suffix.
_TEMPORARY = re.compile(r"\..+\.([a-z0-9_]{8}|\d+\.part)")


@contextmanager
def sole_writer(folder: Path, *, wait: bool) -> Iterator[None]:
    """Makes the folder if need be and keeps other writers out of it for the length of the block.

    Args:
        folder: Where this process is going to write.
        wait: Wait for another writer to finish; otherwise its presence is an error.

    Raises:
        InputError: Another process is writing there and `wait` is false.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise InputError(f"another process is writing to {folder}",
                             fix="Wait until it has finished, or name another folder.") from None
        yield


def sweep(folder: Path) -> None:
    """Removes the temporary files of a writer that was killed. Call it only as the sole writer."""
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)
