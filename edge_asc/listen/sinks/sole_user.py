"""Two listeners that write to one place would overwrite each other's events: the second one is refused."""

from __future__ import annotations

import contextlib
import fcntl

from edge_asc.errors import InputError


def be_sole_user(handle: int, *, what: str, setting: str) -> None:
    """Lock an open file or folder until it is closed; a file system without locks does without.

    Args:
        handle: Its descriptor.
        what: How messages name it.
        setting: The setting that chooses it.

    Raises:
        InputError: Another process has locked it.
    """
    with contextlib.suppress(OSError):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another listener uses {what}", wanted=f"one `{setting}` for each listener",
                             fix="Stop the other one (is the service running?), or choose another.") from None
