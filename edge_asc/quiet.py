"""Keeping what C libraries print to file descriptor 2 off the terminal, and at hand for an error message."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def captured_stderr() -> Iterator[Callable[[], str]]:
    """Collect what is written to standard error, by whomever; the value of the block gives it as text.

    TFLite announces each delegate there and ALSA each device it lacks; neither has a switch for it. The descriptor
    belongs to the whole process, so this is for short moments only: loading a model, opening a device.
    """
    try:
        saved = os.dup(2)
    except OSError:  # no standard error at all, as under some services
        yield lambda: ""
        return
    with tempfile.TemporaryFile() as file:
        def text() -> str:
            file.seek(0)
            return file.read().decode(errors="replace")

        os.dup2(file.fileno(), 2)
        try:
            yield text
        finally:
            os.dup2(saved, 2)
            os.close(saved)
