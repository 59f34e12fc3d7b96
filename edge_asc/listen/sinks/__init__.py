"""Where scene events go: a sink is one small file here; `base.py` says what it is and how to add one.

`text.py` and `json_lines.py` write to the program's own standard output, in the listener's loop.
"""

from __future__ import annotations

from typing import Protocol

from edge_asc.listen.events import SceneEvent


class Writer(Protocol):
    """Writes events one at a time, in order, to a stream that may make it wait."""

    def emit(self, event: SceneEvent) -> None:
        """Write one event."""

    def close(self) -> None:
        """Write what is still held back."""
