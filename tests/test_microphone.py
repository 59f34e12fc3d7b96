"""The microphone without one: the ring by property, and a stand-in for sounddevice that plays what a test wants."""

from __future__ import annotations

import sys
import threading
import time
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_asc.errors import DeviceError, MissingDependencyError
from edge_asc.listen import microphone
from edge_asc.listen.microphone import Microphone, SampleRing, devices, find_device


def frames(start: int, n: int) -> np.ndarray:
    """Sample number i has the value i on the left and -i on the right."""
    numbers = np.arange(start, start + n, dtype=np.float32)
    return np.stack([numbers, -numbers], axis=1)


@given(st.integers(1, 50), st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=60))
@example(1, [(True, 2), (True, 0), (True, 2)])  # nothing is written between two losses: they are one
def test_the_ring_gives_every_sample_or_says_how_many_are_missing_where(capacity: int,
                                                                        steps: list[tuple[bool, int]]) -> None:
    ring = SampleRing(capacity=capacity, n_channels=2)
    n_offered, position = 0, 0
    for is_write, n in [*steps, (False, 0), (False, 0), *[(False, 0)] * len(steps)]:
        if is_write:
            ring.write(frames(n_offered, n))
            n_offered += n
            continue
        block, n_lost = ring.read()
        position += n_lost
        np.testing.assert_array_equal(block, frames(position, len(block)))
        position += len(block)
    n_pending = n_offered - position
    assert n_pending == 0 or ring.n_overflows, "what is still missing was lost at the very end"
    ring.write(frames(n_offered, 1))
    block, n_lost = ring.read()
    assert n_lost == n_pending
    np.testing.assert_array_equal(block, frames(n_offered, 1))


def test_writer_and_reader_in_their_own_threads_lose_nothing() -> None:
    ring, n = SampleRing(capacity=5000, n_channels=2), 300_000

    def write() -> None:
        at = 0
        while at < n:
            if ring._n_written - ring._n_read < 4000:
                ring.write(frames(at, 100))
                at += 100

    thread = threading.Thread(target=write)
    thread.start()
    position = 0
    while position < n:
        block, n_lost = ring.read()
        assert n_lost == 0
        np.testing.assert_array_equal(block[:, 0], np.arange(position, position + len(block), dtype=np.float32))
        position += len(block)
    thread.join()
    assert ring.n_overflows == 0


class StandIn(types.ModuleType):
    """As much of sounddevice as is used, with two microphones and a loudspeaker."""

    class PortAudioError(Exception):
        pass

    def __init__(self, *, rates: tuple[int, ...] = (48_000,)) -> None:
        super().__init__("sounddevice")
        self.rates = rates
        self.default = types.SimpleNamespace(device=[2, 0])
        self.streams: list[Any] = []
        self.opening: Exception | None = None

    def query_hostapis(self) -> list[dict[str, Any]]:
        return [{"name": "ALSA"}]

    def query_devices(self) -> list[dict[str, Any]]:
        return [{"name": name, "hostapi": 0, "max_input_channels": n, "default_samplerate": 44_100.0}
                for name, n in (("Speaker", 0), ("USB Mic one", 1), ("USB Mic two", 6))]

    def check_input_settings(self, *, samplerate: int, **others: Any) -> None:
        if samplerate not in self.rates:
            raise self.PortAudioError("Invalid sample rate")

    def RawInputStream(self, **settings: Any) -> Any:
        if self.opening:
            raise self.opening
        stream = types.SimpleNamespace(settings=settings, start=lambda: None, closed=False, active=True)
        stream.close = lambda ignore_errors: setattr(stream, "closed", True)
        self.streams.append(stream)
        return stream

    def play(self, block: np.ndarray, *, overflow: bool = False) -> None:
        status = types.SimpleNamespace(input_overflow=overflow)
        self.streams[-1].settings["callback"](block.tobytes(), len(block), None, status)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., StandIn]:
    def put(**settings: Any) -> StandIn:
        module = StandIn(**settings)
        monkeypatch.setitem(sys.modules, "sounddevice", module)
        return module

    return put


def test_devices_are_those_that_record(stand_in: Callable[..., StandIn]) -> None:
    stand_in()
    assert [(device.index, device.name, device.n_channels, device.is_default) for device in devices()] == [
        (1, "USB Mic one", 1, False), (2, "USB Mic two", 6, True)]


@pytest.mark.parametrize(("wanted", "index"), [(None, 2), (1, 1), ("1", 1), ("usb mic ONE", 1), ("two", 2)])
def test_a_device_is_found(stand_in: Callable[..., StandIn], wanted: int | str | None, index: int) -> None:
    stand_in()
    assert find_device(wanted).index == index


@pytest.mark.parametrize(("wanted", "message"), [
    ("usb", "'usb' fits several microphones; found 1: USB Mic one; 2: USB"),
    ("0", "no microphone '0'; found 1: USB Mic one"),
    ("banjo", "no microphone 'banjo'")])
def test_a_device_is_not_found(stand_in: Callable[..., StandIn], wanted: str, message: str) -> None:
    stand_in()
    with pytest.raises(DeviceError, match=message):
        find_device(wanted)


def test_blocks_are_the_mean_of_at_most_two_channels(stand_in: Callable[..., StandIn]) -> None:
    module = stand_in()
    with Microphone(sample_rate_hz=48_000) as source:
        assert source.description == "USB Mic two, 48000 Hz, 2 channel(s)"
        module.play(np.array([[1.0, 0.0], [0.5, -0.5]], np.float32))
        block = next(iter(source))
        assert block.samples.tolist() == [0.5, 0.0]
        assert block.n_lost == 0
        assert block.arrived_s is not None
        assert block.arrived_s <= time.monotonic()
    assert module.streams[0].closed


def test_a_device_that_cannot_do_the_rate_is_resampled(stand_in: Callable[..., StandIn]) -> None:
    module = stand_in(rates=(44_100,))
    with Microphone("one", sample_rate_hz=48_000) as source:
        assert source.description == "USB Mic one, 44100 Hz, 1 channel(s), resampled to 48000"
        module.play(np.ones((44_100, 1), np.float32))
        samples = next(iter(source)).samples
        assert samples.size == pytest.approx(48_000, abs=2000)
        assert samples[1000:-1000] == pytest.approx(1, abs=1e-3)


def test_lost_blocks_are_counted_at_the_rate_of_the_blocks(stand_in: Callable[..., StandIn]) -> None:
    module = stand_in(rates=(44_100,))
    with Microphone("one", sample_rate_hz=48_000) as source:
        for _ in range(7):  # the ring holds 5 s
            module.play(np.zeros((44_100, 1), np.float32))
        blocks = iter(source)
        assert next(blocks).n_lost == 0
        module.play(np.zeros((100, 1), np.float32))
        assert next(blocks).n_lost == 96_000
        module.play(np.zeros((100, 1), np.float32), overflow=True)
        assert source.ring.n_overflows == 2


def test_a_dead_microphone_is_noticed(stand_in: Callable[..., StandIn], monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in()
    monkeypatch.setattr(microphone, "STUCK_S", 0.05)
    with Microphone(sample_rate_hz=48_000) as source, pytest.raises(DeviceError, match="gone silent"):
        next(iter(source))


def test_a_device_that_is_taken_is_an_error(stand_in: Callable[..., StandIn]) -> None:
    module = stand_in()
    module.opening = module.PortAudioError("Device unavailable")
    with pytest.raises(DeviceError, match="'USB Mic two' cannot be opened: Device unavailable"):
        Microphone(sample_rate_hz=48_000)


def test_without_sounddevice_the_pip_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'edge-asc\[mic\]'"):
        devices()
