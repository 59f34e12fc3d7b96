"""Where scene events go. A sink is one small file here: a class with `emit` and `close`."""

from __future__ import annotations

from typing import Protocol

from edge_asc.listen.events import SceneEvent


class Sink(Protocol):
    """Takes events, one at a time, in order."""

    def emit(self, event: SceneEvent) -> None:
        """Deliver one event. Must not wait for a slow reader longer than a hop."""

    def close(self) -> None:
        """Deliver what is still held back and let go of everything."""
