"""What is wrong with a sink, for the log: said once when it lasts, and once when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from edge_asc.listen.sinks.base import SinkState

TROUBLE_S = 10.0
"""What has been wrong with a sink for so long is said: a broker that is started anew is not worth a line."""


class Troubles:
    """Says what has been wrong with a sink for 10 s, once, and that it is well again.

    Args:
        notify: Called with each sentence.
    """

    def __init__(self, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._since_s: dict[str, float] = {}
        self._said: set[str] = set()

    def look_at(self, sinks: Mapping[str, SinkState]) -> None:
        """Take in how the sinks are doing now."""
        now_s = time.monotonic()
        for name, state in sinks.items():
            if state.problem is None:
                self._since_s.pop(name, None)
                if name in self._said:
                    self._said.remove(name)
                    self._notify(f"{name}: all is well again")
            elif now_s - self._since_s.setdefault(name, now_s) >= TROUBLE_S and name not in self._said:
                self._said.add(name)
                self._notify(f"{name}: {state.problem}")
