"""One line an event for a person at a terminal: time, scene, every probability."""

from __future__ import annotations

from typing import TextIO

from edge_asc.listen.events import SceneEvent


class Text:
    """Writes to an open text stream, which stays open."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def emit(self, event: SceneEvent) -> None:
        width = max(map(len, [*event.probabilities, "unknown"]))
        shares = "  ".join(f"{label} {value:6.1%}" for label, value in event.probabilities.items())
        gap = "  (samples lost)" if event.has_gap else ""
        self._stream.write(f"{event.time_s:10.3f} s  {event.label:{width}}  {shares}{gap}\n")
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()
