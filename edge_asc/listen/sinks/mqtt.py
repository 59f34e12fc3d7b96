"""MQTT: every announcement reaches the broker once and in order, however often the broker goes away.

`BASE/scene` carries each announcement, retained, with quality of service 1; `BASE/health` the state of the listener;
`BASE/availability` says online or, by last will, offline. While there is no broker announcements wait on disk. After
a loss nobody knows whether the last ones arrived; the broker's retained message tells which was the last that did.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from edge_asc.errors import EdgeAscError, InputError
from edge_asc.listen.sinks.base import Announcement, Health, Sink, SinkState
from edge_asc.listen.sinks.broker import Broker
from edge_asc.listen.sinks.home_assistant import discovery
from edge_asc.listen.sinks.mqtt_link import WINDOW, Link, import_paho, read_password
from edge_asc.listen.sinks.spool import Spool

_INBOX = 1024
"""Announcements that may wait in memory while connecting, or while the disk is full."""
_BACK_OFF_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_SHORT_S, _N_SHORT = 60.0, 4
"""So many connections one after the other that lived so briefly are no accident: two clients of one name throw each
other out, for ever."""


class MqttSink(Sink):
    """Publishes below `base_topic`. It has a thread of its own: `emit` returns at once.

    Args:
        broker: Where to. It need not be there yet.
        node: Name of this node in Home Assistant.
        labels: What a scene can be.
        model: Name of the bundle, for Home Assistant.
        spool_folder: Where announcements wait.
        max_spool_bytes: When more than this waits, the oldest are given up and counted.
        base_topic: "edge-asc/NODE" when None.
        discovery_prefix: Home Assistant's; None for no discovery.
        back_off_s: Pauses between attempts to connect; the last repeats.
        close_timeout_s: How long `close` goes on delivering.

    Raises:
        MissingDependencyError: paho-mqtt is not installed.
        InputError: The password file cannot be used, or another listener uses the spool's folder.
    """

    name = "mqtt"

    def __init__(self, broker: Broker, *, node: str, labels: Sequence[str], model: str, spool_folder: Path,
                 max_spool_bytes: int = 16 << 20, base_topic: str | None = None,
                 discovery_prefix: str | None = "homeassistant", back_off_s: Sequence[float] = _BACK_OFF_S,
                 close_timeout_s: float = 5.0) -> None:
        import_paho()
        read_password(broker)
        self._broker, self._base = broker, base_topic or f"edge-asc/{node}"
        self._topic = f"{self._base}/scene"
        self._descriptions = {} if discovery_prefix is None else discovery(
            prefix=discovery_prefix, node=node, base=self._base, labels=labels, model=model)
        try:
            self._spool = Spool(spool_folder, max_bytes=max_spool_bytes)
        except OSError as error:
            raise InputError(f"cannot keep waiting events in {spool_folder}: {error.strerror}",
                             fix="Choose another `node.state_folder`, or give this user the right to write.") from error
        self._back_off_s, self._close_timeout_s = back_off_s, close_timeout_s
        # Lines go inbox -> under way, or inbox -> spool -> under way; what came back from a lost link is in front.
        self._inbox: deque[str] = deque()
        self._front: deque[str] = deque()
        self._under_way: deque[tuple[int, str]] = deque()
        self._confirmed: set[int] = set()
        self._is_uncertain = len(self._spool) > 0
        """Something in front or in the spool may have arrived already: an earlier run may have been killed."""
        self._health: str | None = None
        self._link: Link | None = None
        self._n_attempts = self._n_short = 0
        self._connected_s = 0.0
        self._next_attempt_s = 0.0
        self._n_delivered = self._n_refused = self._n_unreadable = 0
        self._problem: str | None = "not connected yet"
        self._disk_problem: str | None = None
        self._closing_s: float | None = None
        self._progress = threading.Condition()
        self._has_progress = True
        self._thread = threading.Thread(target=self._run, name="sink-mqtt", daemon=True)
        self._thread.start()

    def emit(self, announcement: Announcement) -> None:
        if len(self._inbox) >= _INBOX:
            self._n_refused += 1
        else:
            self._inbox.append(json.dumps(announcement.to_json(), separators=(",", ":")))
        self._notify()

    def health(self, health: Health) -> None:
        self._health = json.dumps(health.to_json())
        self._notify()

    def state(self) -> SinkState:
        n_waiting = len(self._inbox) + len(self._front) + len(self._under_way) + len(self._spool)
        return SinkState(n_delivered=self._n_delivered, n_waiting=n_waiting,
                         n_lost=self._n_refused + self._n_unreadable + self._spool.n_dropped,
                         problem=self._disk_problem or self._unsteady() or self._problem)

    def _unsteady(self) -> str | None:
        is_steady = self._link is not None and time.monotonic() - self._connected_s > _SHORT_S
        if is_steady or self._n_short < _N_SHORT:
            return None
        return (f"the connection to {self._broker.address} was lost {self._n_short} times soon after it was made: the "
                f"network is bad, or another client calls itself {self._broker.client_id} (`node.name`)")

    def close(self) -> None:
        self._closing_s = time.monotonic() + self._close_timeout_s
        self._notify()
        self._thread.join(self._close_timeout_s + 10)

    def _notify(self) -> None:
        with self._progress:
            self._has_progress = True
            self._progress.notify()

    def _run(self) -> None:
        while not self._is_finished():
            with self._progress:
                self._progress.wait_for(lambda: self._has_progress, timeout=self._patience_s())
                self._has_progress = False
            if self._link and self._link.is_lost:
                self._drop(self._link)
            if self._link is None and time.monotonic() >= self._next_attempt_s:
                self._connect()
            if self._link:
                self._confirm(self._link)
                self._send(self._link)
            self._store()
        if self._link:
            self._link.close(goodbye=(f"{self._base}/availability", "offline"))
            self._drop(self._link)
        self._store()
        self._spool.close()

    def _patience_s(self) -> float:
        patience_s = 5.0 if self._link else max(0.0, self._next_attempt_s - time.monotonic())
        return min(patience_s, 0.1) if self._closing_s else patience_s

    def _is_finished(self) -> bool:
        if self._closing_s is None:
            return False
        if self._link is None:
            return self._n_attempts > 0
        is_all_delivered = self.state().n_waiting == 0 and self._health is None
        return is_all_delivered or time.monotonic() > self._closing_s

    def _connect(self) -> None:
        availability = f"{self._base}/availability"
        try:
            link = Link(self._broker, will=(availability, "offline"), on_progress=self._notify)
        except EdgeAscError as error:
            self._problem = str(error)
            self._next_attempt_s = time.monotonic() + self._back_off_s[min(self._n_attempts, len(self._back_off_s) - 1)]
            self._n_attempts += 1
            return
        self._link, self._n_attempts, self._problem = link, 0, None
        self._connected_s = time.monotonic()
        link.publish(availability, "online")
        for topic, payload in self._descriptions.items():
            link.publish(topic, payload)
        if self._is_uncertain:
            self._skip_what_arrived(link.retained(self._topic))
            self._is_uncertain = link.is_lost

    def _skip_what_arrived(self, newest: bytes | None) -> None:
        """Forget the lines up to the one that the broker has as its newest, where they are of the same run."""
        newest_run, newest_sequence = _identity(newest)
        while (line := self._next()) is not None:
            run, sequence = _identity(line)
            if run is None:
                self._n_unreadable += 1
            elif run == newest_run and sequence <= newest_sequence:
                self._n_delivered += 1
            else:
                self._front.appendleft(line)
                break

    def _next(self) -> str | None:
        """The oldest line that waits."""
        return self._front.popleft() if self._front else self._spool.take()

    def _send(self, link: Link) -> None:
        while len(self._under_way) < WINDOW:
            line = self._next()
            if line is None and self._inbox:
                line = self._inbox.popleft()
            if line is None:
                break
            self._under_way.append((link.publish(self._topic, line), line))
        if self._health:
            health, self._health = self._health, None
            link.publish(f"{self._base}/health", health)

    def _confirm(self, link: Link) -> None:
        self._confirmed.update(link.acknowledgements())
        while self._under_way and self._under_way[0][0] in self._confirmed:
            self._under_way.popleft()
            self._n_delivered += 1
        self._confirmed.intersection_update([number for number, _ in self._under_way])
        if not self._under_way and not self._front:
            self._spool.settle()

    def _drop(self, link: Link) -> None:
        link.close()
        self._confirm(link)
        self._link, self._problem = None, "the broker went away"
        is_short = time.monotonic() - self._connected_s < _SHORT_S
        self._n_short = self._n_short + 1 if is_short else 0
        self._n_attempts = max(1, self._n_short)
        self._next_attempt_s = time.monotonic() + self._back_off_s[min(self._n_attempts, len(self._back_off_s)) - 1]
        self._is_uncertain |= bool(self._under_way)
        self._front.extendleft(line for _, line in reversed(self._under_way))
        self._under_way.clear()

    def _store(self) -> None:
        """Put on disk what cannot go out now. What the disk refuses stays in memory, up to `_INBOX` lines."""
        try:
            if self._front and self._link is None:
                self._spool.push_front(self._front)
                self._front.clear()
            while self._inbox:
                self._spool.append(self._inbox[0])
                self._inbox.popleft()
            self._disk_problem = None
        except OSError as error:
            self._disk_problem = f"waiting events cannot be put on disk: {error.strerror}"


def _identity(line: str | bytes | None) -> tuple[str | None, int]:
    """Run and sequence number of an announcement; None for what is none."""
    try:
        values = json.loads(line or "")
        return str(values["run"]), int(values["sequence"])
    except (ValueError, KeyError, TypeError):
        return None, 0
