"""What a sink is, what is handed to it, and the bounded queue that keeps a slow one from stalling the listener.

To add a sink: one file here with a subclass of `Sink`, one table in `edge_asc.listen.config`, one line in `build.py`.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from edge_asc import __version__
from edge_asc.listen.events import SceneEvent


@dataclass(frozen=True, kw_only=True)
class Announcement:
    """A scene event with what the outside needs to place it: which node and run said it, as which one, when."""

    event: SceneEvent
    node: str
    run: str
    """Eight hex digits, new each time the program starts."""
    sequence: int
    """Counts the events of a run from 1, without holes: by it a receiver sees loss and repetition."""
    at: str
    """Wall clock, ISO 8601 in UTC, of the end of the window. Only as right as the machine's clock."""

    def to_json(self) -> dict[str, Any]:
        """A plain mapping; no sound in it."""
        return {"node": self.node, "run": self.run, "sequence": self.sequence, "at": self.at, **self.event.to_json()}


@dataclass(frozen=True, kw_only=True)
class SinkState:
    """How a sink is doing."""

    n_delivered: int = 0
    n_lost: int = 0
    """Given up, because a bound was reached or the other side refused."""
    n_waiting: int = 0
    problem: str | None = None
    """What is wrong now, one clause; None when all is well."""


@dataclass(frozen=True, kw_only=True)
class Health:
    """What the listener knows about itself; counts are since the start."""

    state: str
    """`starting`, `listening`, `no audio` or `stopping`."""
    uptime_s: float
    audio_s: float = 0.0
    """Time on the audio clock."""
    n_events: int = 0
    latency_ms: float | None = None
    """Of the newest event."""
    level_dbfs: float | None = None
    """Root mean square over about a second, in dB of full scale."""
    peak_dbfs: float | None = None
    dc_offset: float | None = None
    """Mean of the samples, in units of full scale."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Overflows, lost samples, reconnections, skipped windows and the like, by name."""
    sinks: Mapping[str, SinkState] = field(default_factory=dict)
    version: str = __version__
    """Of edge-asc."""
    bundle: str = ""
    """The bundle's fingerprint."""

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, rounded to what is meaningful."""
        values = asdict(self)
        for name, value in values.items():
            if isinstance(value, float):
                values[name] = round(value, 3)
        return values


class Sink(ABC):
    """Where announcements go."""

    name: str

    @abstractmethod
    def emit(self, announcement: Announcement) -> None:
        """Take one announcement. A slow sink stands behind a `Queued`."""

    def health(self, health: Health) -> None:  # noqa: B027  # most sinks have no use for it
        """Take the newest state of the listener, every few seconds."""

    @abstractmethod
    def state(self) -> SinkState:
        """How this sink is doing; called from another thread."""

    def close(self) -> None:  # noqa: B027
        """Deliver what can be delivered within a few seconds and free everything."""


class Queued(Sink):
    """A thread and a bounded queue in front of a sink: `emit` returns at once, whatever the sink does.

    Args:
        sink: Handles its own errors; one that escapes ends its thread and is shown in `state`.
        capacity: When so many wait, the oldest is dropped and counted.
        close_timeout_s: How long `close` waits for the sink to finish.
    """

    def __init__(self, sink: Sink, *, capacity: int = 256, close_timeout_s: float = 5.0) -> None:
        self.name = sink.name
        self._sink, self._capacity, self._close_timeout_s = sink, capacity, close_timeout_s
        self._waiting: deque[Announcement] = deque()
        self._health: Health | None = None
        self._changed = threading.Condition()
        self._closing = False
        self._n_dropped = 0
        self._thread = threading.Thread(target=self._run, name=f"sink-{sink.name}", daemon=True)
        self._thread.start()

    def emit(self, announcement: Announcement) -> None:
        with self._changed:
            if len(self._waiting) >= self._capacity:
                self._waiting.popleft()
                self._n_dropped += 1
            self._waiting.append(announcement)
            self._changed.notify()

    def health(self, health: Health) -> None:
        with self._changed:
            self._health = health
            self._changed.notify()

    def state(self) -> SinkState:
        inner = self._sink.state()
        problem = inner.problem
        if len(self._waiting) >= self._capacity:
            problem = problem or "too slow, its queue is full"
        if not (self._thread.is_alive() or self._closing):
            problem = "stopped by an error of its own; see the log"
        return replace(inner, n_lost=inner.n_lost + self._n_dropped, n_waiting=inner.n_waiting + len(self._waiting),
                       problem=problem)

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(self._close_timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._health or self._closing)
                announcement = self._waiting.popleft() if self._waiting else None
                health, self._health = self._health, None
                if not (announcement or health):
                    break
            if announcement:
                self._sink.emit(announcement)
            if health:
                self._sink.health(health)
        self._sink.close()


class Sinks:
    """All sinks of one run: numbers the events and hands each to every sink.

    Args:
        sinks: Each must return from `emit` at once.
        node: Name of this node in announcements.
    """

    def __init__(self, sinks: Iterable[Sink], *, node: str = "edge-asc") -> None:
        self._sinks = list(sinks)
        self.node = node
        self.run = secrets.token_hex(4)
        self._sequence = 0

    def emit(self, event: SceneEvent) -> Announcement:
        """Hand out one event."""
        self._sequence += 1
        at = datetime.fromtimestamp(time.time() - event.latency_ms / 1000, UTC)
        announcement = Announcement(event=event, node=self.node, run=self.run, sequence=self._sequence,
                                    at=at.isoformat(timespec="milliseconds"))
        for sink in self._sinks:
            sink.emit(announcement)
        return announcement

    def health(self, health: Health) -> None:
        """Hand out the listener's state."""
        for sink in self._sinks:
            sink.health(health)

    def states(self) -> dict[str, SinkState]:
        """How each sink is doing, by name."""
        return {sink.name: sink.state() for sink in self._sinks}

    def close(self) -> None:
        """Close all of them, whatever one of them does."""
        with contextlib.ExitStack() as stack:
            for sink in self._sinks:
                stack.callback(sink.close)
