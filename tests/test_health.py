"""Health: what happened to the sound, and a watchdog that is fed only while sound flows."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_asc.listen.events import Block
from edge_asc.listen.health import Meter, Monitor, Notifier
from edge_asc.listen.sinks.base import Health, SinkState
from tests.announcements import event
from tests.broker import wait_until
from tests.conftest import noise, tone

RATE = 48_000


def block(samples: np.ndarray, **values: object) -> Block:
    return Block(samples=samples.astype(np.float32), **values)  # type: ignore[arg-type]


class Systemd:
    """The receiving end of sd_notify."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)
        self.heard: list[str] = []

    def listen(self) -> list[str]:
        try:
            while True:
                self.heard.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return self.heard


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    name = str(tmp_path / "notify")
    is_abstract = request.param == "abstract"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if is_abstract else name)
    systemd = Systemd(f"\0{name}" if is_abstract else name)
    yield systemd
    systemd.socket.close()


def test_notifier_speaks_to_a_real_socket(systemd: Systemd) -> None:
    notifier = Notifier()
    notifier.ready()
    notifier.ready()
    notifier.alive()
    notifier.status("listening, ünïcode")
    notifier.take_time("compiling")
    notifier.stopping()
    notifier.close()
    assert systemd.listen() == ["READY=1", "WATCHDOG=1", "STATUS=listening, ünïcode",
                                "STATUS=compiling\nEXTEND_TIMEOUT_USEC=1800000000", "STOPPING=1"]


def test_notifier_survives_a_manager_that_is_gone(systemd: Systemd, tmp_path: Path) -> None:
    notifier = Notifier()
    systemd.socket.close()
    (tmp_path / "notify").unlink(missing_ok=True)
    notifier.alive()
    notifier.close()


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notifier = Notifier()
    notifier.ready()
    notifier.close()


def test_watchdog_is_fed_only_while_sound_flows(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_asc.listen.health.FLOWING_S", 0.3)
    monkeypatch.setattr("edge_asc.listen.health._TICK_S", 0.05)
    meter = Meter(sample_rate_hz=RATE)
    reports: list[Health] = []
    monitor = Monitor(meter, report=reports.append, health_s=0.1)
    time.sleep(0.3)
    assert not {"READY=1", "WATCHDOG=1"} & set(systemd.listen())
    meter.look_at(block(noise(4800)))
    wait_until(lambda: {"READY=1", "WATCHDOG=1"} <= set(systemd.listen()))
    time.sleep(0.5)
    n_fed = systemd.listen().count("WATCHDOG=1")
    time.sleep(0.3)
    assert systemd.listen().count("WATCHDOG=1") == n_fed
    assert systemd.heard.count("READY=1") == 1
    monitor.saw(event())
    monitor.close()
    assert systemd.listen()[-1] == "STOPPING=1"
    states = [report.state for report in reports]
    assert list(dict.fromkeys(states)) == ["starting", "listening", "no audio", "stopping"]
    assert reports[-1].n_events == 1
    assert any(text.startswith("STATUS=no audio") for text in systemd.heard)


def test_what_is_wrong_with_a_sink_is_said_once_and_shown_to_systemd(systemd: Systemd,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_asc.listen.troubles.TROUBLE_S", 0.3)
    monkeypatch.setattr("edge_asc.listen.health._TICK_S", 0.05)
    said: list[str] = []
    sinks = {"mqtt": SinkState(problem="no broker"), "file": SinkState()}
    monitor = Monitor(Meter(sample_rate_hz=RATE), report=lambda health: None, sinks=lambda: sinks, notify=said.append)
    started_s = time.monotonic()
    wait_until(lambda: said)
    assert time.monotonic() - started_s >= 0.25, "a short trouble is not worth a line"
    wait_until(lambda: any(text.endswith("; mqtt: no broker") for text in systemd.listen()))
    time.sleep(0.5)
    sinks["mqtt"] = SinkState()
    wait_until(lambda: len(said) > 1)
    monitor.close()
    assert said == ["mqtt: no broker", "mqtt: all is well again"]


def test_meter_measures_level_peak_and_offset() -> None:
    meter = Meter(sample_rate_hz=RATE)
    assert meter.level is None
    sound = tone(10 * RATE, level=0.5) + 0.1
    for part in np.split(sound, 100):
        meter.look_at(block(part))
    assert meter.level
    assert meter.level.rms_dbfs == pytest.approx(10 * np.log10(0.125 + 0.01), abs=0.05)
    assert meter.level.peak_dbfs == pytest.approx(20 * np.log10(0.6), abs=0.1)
    assert meter.level.dc_offset == pytest.approx(0.1, abs=1e-3)
    assert meter.audio_s == pytest.approx(10)


def test_meter_counts_what_is_wrong() -> None:
    meter = Meter(sample_rate_hz=RATE)
    clipped = noise(4800)
    clipped[:7] = 1.0
    clipped[7] = -1.0
    seen = list(meter.watch([block(clipped), block(np.zeros(4700)), block(np.zeros(4900)),
                             block(noise(10), n_lost=480), block(noise(10), n_lost=4800, is_restart=True)]))
    assert len(seen) == 5
    assert dict(meter.counts) == {"gaps": 2, "lost_samples": 5280, "clipped_samples": 8, "silent_samples": 9600,
                                  "restarts": 1}
    assert meter.audio_s == pytest.approx((3 * 4800 + 20 + 5280) / RATE)
