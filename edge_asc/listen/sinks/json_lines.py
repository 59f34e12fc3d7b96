"""One JSON object a line for each event, for a program at the other end of a pipe."""

from __future__ import annotations

import json
from typing import TextIO

from edge_asc.listen.events import SceneEvent


class JsonLines:
    """Writes to an open text stream, which stays open."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def emit(self, event: SceneEvent) -> None:
        self._stream.write(json.dumps(event.to_json()) + "\n")
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()
