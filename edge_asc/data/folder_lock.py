"""One writer per folder: a lock that dies with its process, and a broom for what a killed writer left half-done."""

from __future__ import annotations

import fcntl
import multiprocessing
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
        InputError: Another process is writing there and `wait` is false, or will never finish because this one is a
            worker of it that has only begun to import the script.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise InputError(f"another process is writing to {folder}",
                                 fix="Wait until it has finished, or name another folder.") from None
            _require_no_worker_at_import()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _require_no_worker_at_import() -> None:
    # A spawned worker imports its parent's script first. If that calls us at its top level, the worker would wait for
    # its parent's lock and the parent for its worker, for ever. The flag is the one by which Python itself notices.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise InputError("a worker process runs the script that started it once more",
                         fix="Put what the script does below `if __name__ == \"__main__\":`.")


def sweep(folder: Path) -> None:
    """Removes the temporary files of a writer that was killed. Call it only as the sole writer."""
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)
