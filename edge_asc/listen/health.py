"""How the listener is: what happened to the sound, whether it flows, and telling systemd so.

Measured on the listener's own loop: when that hangs, the sound stops flowing through here and the watchdog bites.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_asc.listen.events import Block, SceneEvent
from edge_asc.listen.sinks.base import Health, SinkState
from edge_asc.listen.troubles import Troubles

FLOWING_S = 3.0
"""Sound flows when a block came within this time."""
LONG_START_S = 1800
"""What a service gets to start with, instead of its unit's TimeoutStartSec, once it has said that it takes time."""
CLIPPED = 0.9999
"""A sample at or beyond this is at the end of the scale: the largest of 16 bits is 0.99997."""
_SMOOTHING_S = 1.0
_BATCH_S = 0.1
_TICK_S = 1.0


class Notifier:
    """Tells systemd about this service; without systemd every call does nothing. See sd_notify(3)."""

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        # @ stands for the zero byte of Linux's abstract sockets.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if address else None
        self._is_ready = False

    def ready(self) -> None:
        """Listening has begun. Said once."""
        if not self._is_ready:
            self._is_ready = True
            self._send("READY=1")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def take_time(self, text: str) -> None:
        """A status, and the request for more time to start: what follows may be long on a small machine."""
        self._send(f"STATUS={text}\nEXTEND_TIMEOUT_USEC={LONG_START_S * 1_000_000}")

    def stopping(self) -> None:
        """The end has begun."""
        self._send("STOPPING=1")

    def close(self) -> None:
        if self._socket:
            self._socket.close()

    def _send(self, text: str) -> None:
        if self._socket:
            # A service manager that is gone is no reason to stop listening.
            with contextlib.suppress(OSError):
                self._socket.sendto(text.encode(), self._address)


@dataclass(frozen=True, kw_only=True)
class Level:
    """How loud the sound is, over about the last second."""

    rms_dbfs: float
    peak_dbfs: float
    dc_offset: float
    """Mean of the samples, in units of full scale."""


class Meter:
    """Looks at every block on its way from the source and counts what is wrong with it.

    Args:
        sample_rate_hz: Of the blocks.
    """

    def __init__(self, *, sample_rate_hz: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._power = self._mean = self._peak = 0.0
        self._n_samples = 0
        self._last_block_s: float | None = None
        self._waiting: list[NDArray[np.float32]] = []
        self._n_waiting = 0
        self._is_measured = False
        self.counts: Counter[str] = Counter(gaps=0, lost_samples=0, clipped_samples=0, silent_samples=0, restarts=0)

    def watch(self, source: Iterable[Block]) -> Iterator[Block]:
        """The same blocks."""
        for block in source:
            self.look_at(block)
            yield block

    def look_at(self, block: Block) -> None:
        """Take one block into account."""
        self._last_block_s = time.monotonic()
        self._n_samples += block.n_lost + block.samples.size
        self.counts["gaps"] += block.n_lost > 0
        self.counts["lost_samples"] += block.n_lost
        self.counts["restarts"] += block.is_restart
        self._waiting.append(block.samples)
        self._n_waiting += block.samples.size
        # Small blocks together: a microphone brings thirty a second.
        if self._n_waiting >= _BATCH_S * self._sample_rate_hz:
            self._measure(np.concatenate(self._waiting))
            self._waiting, self._n_waiting = [], 0

    def _measure(self, samples: NDArray[np.float32]) -> None:
        peak = float(max(samples.max(), -samples.min()))
        if peak >= CLIPPED:
            self.counts["clipped_samples"] += int(np.count_nonzero(np.abs(samples) >= CLIPPED))
        if peak == 0:
            self.counts["silent_samples"] += samples.size
        weight = 1 - math.exp(-samples.size / (_SMOOTHING_S * self._sample_rate_hz))
        self._power += weight * (float(np.dot(samples, samples)) / samples.size - self._power)
        self._mean += weight * (float(samples.mean()) - self._mean)
        self._peak = max(peak, (1 - weight) * self._peak)
        self._is_measured = True

    @property
    def level(self) -> Level | None:
        """None before the first tenth of a second."""
        if not self._is_measured:
            return None
        return Level(rms_dbfs=_db(self._power), peak_dbfs=_db(self._peak**2), dc_offset=self._mean)

    @property
    def audio_s(self) -> float:
        """Time on the audio clock."""
        return self._n_samples / self._sample_rate_hz

    @property
    def is_flowing(self) -> bool:
        """Whether sound came through within the last 3 s."""
        return self._last_block_s is not None and time.monotonic() - self._last_block_s < FLOWING_S


class Monitor:
    """A thread that reports the listener's health every few seconds and feeds systemd's watchdog while sound flows.

    Args:
        meter: What the sound goes through.
        report: Called with each report.
        health_s: Seconds between reports.
        more_counts: Counts that the meter cannot see, such as overflows.
        sinks: How the sinks are doing; their troubles are shown to systemd.
        bundle: The fingerprint of what listens.
        notify: Called with a sentence when a sink has been in trouble for a while, and when it is well again.
    """

    def __init__(self, meter: Meter, *, report: Callable[[Health], None], health_s: float = 10.0,
                 more_counts: Callable[[], dict[str, int]] = dict,
                 sinks: Callable[[], Mapping[str, SinkState]] = dict,
                 notify: Callable[[str], None] | None = None, bundle: str = "") -> None:
        self._meter, self._report, self._health_s, self._more_counts = meter, report, health_s, more_counts
        self._bundle, self._sinks, self._troubles = bundle, sinks, Troubles(notify or (lambda message: None))
        self._notifier = Notifier()
        self._started_s = time.monotonic()
        self._n_events = 0
        self._event: SceneEvent | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)
        self._thread.start()

    def saw(self, event: SceneEvent) -> None:
        """Take note of an event."""
        self._n_events += 1
        self._event = event

    def health(self, *, is_stopping: bool = False) -> Health:
        """The state of things now."""
        meter, level = self._meter, self._meter.level
        state = ("stopping" if is_stopping else "starting" if level is None
                 else "listening" if meter.is_flowing else "no audio")
        return Health(state=state, uptime_s=time.monotonic() - self._started_s, audio_s=meter.audio_s,
                      n_events=self._n_events, latency_ms=self._event.latency_ms if self._event else None,
                      level_dbfs=level.rms_dbfs if level else None, peak_dbfs=level.peak_dbfs if level else None,
                      dc_offset=level.dc_offset if level else None, counts={**meter.counts, **self._more_counts()},
                      sinks=self._sinks(), bundle=self._bundle)

    def close(self) -> None:
        """Report a last time and stop."""
        self._notifier.stopping()
        self._stop.set()
        self._thread.join()
        self._report(self.health(is_stopping=True))
        self._notifier.close()

    def _run(self) -> None:
        next_report_s = 0.0
        while not self._stop.wait(_TICK_S if self._meter.level else 0.1):
            if self._meter.is_flowing:
                self._notifier.ready()
                self._notifier.alive()
            health = self.health()
            self._notifier.status(_status(health, self._event))
            self._troubles.look_at(health.sinks)
            if time.monotonic() >= next_report_s:
                next_report_s = time.monotonic() + self._health_s
                self._report(health)


def _status(health: Health, event: SceneEvent | None) -> str:
    scene = f", {event.label} ({event.confidence:.0%})" if event else ""
    level = f", {health.level_dbfs:.0f} dBFS" if health.level_dbfs is not None else ""
    troubles = "".join(f"; {name}: {state.problem}" for name, state in health.sinks.items() if state.problem)
    return f"{health.state}{scene}{level}, {health.n_events} events in {health.uptime_s:.0f} s{troubles}"


def _db(power: float) -> float:
    # The floor is far below the noise of 24 bits.
    return 10 * math.log10(max(power, 1e-20))
