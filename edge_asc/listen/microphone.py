"""The microphone, through PortAudio: found by index or name, opened at a rate it can do, read without loss or wait.

PortAudio's thread only copies into a bounded ring; decoding, resampling and reporting happen on the reader's side.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asc.audio import StreamResampler, to_mono
from edge_asc.errors import DeviceError, MissingDependencyError
from edge_asc.listen.events import Block
from edge_asc.listen.reopening import SteadySource
from edge_asc.quiet import captured_stderr

RING_S = 5.0
STUCK_S = 2.5
"""A microphone that delivers nothing for so long is dead."""
_DOUBTFUL_S = 0.5
"""After so long without samples PortAudio is asked whether the stream still lives."""
BLOCK_S = 0.05
"""What PortAudio is asked to hand over at a time: waking up more often costs more than the sound itself. Hops are whole
numbers of blocks, so every window waits equally long for the end of its last block: 16 ms of the paper's 9.984 s."""
_LOOK_S = 0.25
"""How often the reader looks up while nothing arrives."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device that can record."""

    index: int
    name: str
    host_api: str
    n_channels: int
    default_sample_rate_hz: int
    is_default: bool


class SampleRing:
    """Samples between the audio thread, which only writes, and the reader. It never waits for either.

    When it is full, new samples are dropped and counted, and the reader learns where they are missing. No lock: each
    side writes its own counter only, and assigning an int is atomic in Python.
    """

    def __init__(self, *, capacity: int, n_channels: int) -> None:
        self._buffer = np.zeros((capacity, n_channels), np.float32)
        self._n_written = 0
        self._n_read = 0
        self._n_lost_now = 0
        self._gaps: deque[tuple[int, int]] = deque()
        self.n_overflows = 0
        """Losses: of blocks dropped here and of those that PortAudio reports."""
        self.last_write_s = time.monotonic()

    def write(self, frames: NDArray[np.float32], *, lost_before: bool = False) -> None:
        """Copy frames [n, n_channels] in, all or none. `lost_before`: the driver says that it dropped some."""
        self.last_write_s = time.monotonic()
        n, capacity = len(frames), len(self._buffer)
        self.n_overflows += lost_before
        if n > capacity - (self._n_written - self._n_read):
            self.n_overflows += not self._n_lost_now
            self._n_lost_now += n
            return
        if self._n_lost_now and n:
            self._gaps.append((self._n_written, self._n_lost_now))
            self._n_lost_now = 0
        start = self._n_written % capacity
        first = min(n, capacity - start)
        self._buffer[start : start + first] = frames[:first]
        self._buffer[: n - first] = frames[first:]
        self._n_written += n

    def read(self) -> tuple[NDArray[np.float32], int]:
        """All frames up to the next gap [n, n_channels], and how many were lost just before them."""
        n_lost, end, capacity = 0, self._n_written, len(self._buffer)
        if self._gaps and self._gaps[0][0] == self._n_read < end:
            n_lost = self._gaps.popleft()[1]
        if self._gaps:
            end = min(end, self._gaps[0][0])
        start, n = self._n_read % capacity, end - self._n_read
        first = min(n, capacity - start)
        frames = np.concatenate([self._buffer[start : start + first], self._buffer[: n - first]])
        self._n_read = end
        return frames, n_lost


class Microphone:
    """Blocks from a microphone, for as long as it lives. Use it as a context manager.

    Args:
        device: Index, name or part of a name; None is the system's default.
        sample_rate_hz: The rate of the blocks. A device that cannot do it is opened at its own and resampled.

    Raises:
        MissingDependencyError: sounddevice or PortAudio is not installed.
        DeviceError: There is no such device, or it cannot be opened.
    """

    def __init__(self, device: int | str | None = None, *, sample_rate_hz: int) -> None:
        sounddevice = import_sounddevice()
        self.device = find_device(device)
        self.sample_rate_hz = sample_rate_hz
        self.n_channels = min(2, self.device.n_channels)
        self.device_rate_hz = self._usable_rate(sounddevice)
        self.ring = SampleRing(capacity=round(RING_S * self.device_rate_hz), n_channels=self.n_channels)
        # Locked while nothing new is in the ring. Unlike a condition or an event, a plain lock is released without
        # taking another one, so that the callback never waits.
        self._nothing_new = threading.Lock()
        self._nothing_new.acquire()
        try:
            with captured_stderr():
                # Raw: sounddevice's way to make arrays is deprecated by NumPy 2.5.
                self._stream = sounddevice.RawInputStream(
                    device=self.device.index, channels=self.n_channels, samplerate=self.device_rate_hz,
                    dtype="float32", callback=self._callback, blocksize=round(BLOCK_S * self.device_rate_hz))
                self._stream.start()
        except sounddevice.PortAudioError as error:
            raise DeviceError(f"the microphone {self.device.name!r} cannot be opened: {error}",
                              fix="Close other programs that use it, or choose another: edge-asc devices") from error
        _forget_configuration()

    @property
    def description(self) -> str:
        """One line: name, rate, channels."""
        resampled = f", resampled to {self.sample_rate_hz}" if self.device_rate_hz != self.sample_rate_hz else ""
        return f"{self.device.name}, {self.device_rate_hz} Hz, {self.n_channels} channel(s){resampled}"

    def __enter__(self) -> Microphone:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop recording."""
        with captured_stderr():
            self._stream.close(ignore_errors=True)

    def __iter__(self) -> Iterator[Block]:
        """Blocks as they arrive.

        Raises:
            DeviceError: The stream is dead, or nothing has arrived for 2.5 s.
        """
        resampler = StreamResampler(self.device_rate_hz, self.sample_rate_hz)
        self.ring.last_write_s = time.monotonic()
        while True:
            self._nothing_new.acquire(timeout=_LOOK_S)
            arrived_s = self.ring.last_write_s
            frames, n_lost = self.ring.read()
            if not len(frames):
                silent_s = time.monotonic() - arrived_s
                if silent_s > STUCK_S or (silent_s > _DOUBTFUL_S and not self._stream.active):
                    raise DeviceError(f"the microphone {self.device.name!r} has gone silent on us",
                                      found=f"no samples for {silent_s:.1f} s", wanted="a steady stream",
                                      fix="Check the plug and the sound server, then start again.")
                continue
            n_lost = round(n_lost * self.sample_rate_hz / self.device_rate_hz)
            samples = resampler.push(to_mono(frames))
            if samples.size or n_lost:
                yield Block(samples=samples, n_lost=n_lost, arrived_s=arrived_s)

    def _callback(self, buffer: Any, n_frames: int, clock: Any, status: Any) -> None:
        del clock
        frames = np.frombuffer(buffer, np.float32).reshape(n_frames, self.n_channels)
        self.ring.write(frames, lost_before=bool(status.input_overflow))
        if self._nothing_new.locked():
            self._nothing_new.release()

    def _usable_rate(self, sounddevice: ModuleType) -> int:
        try:
            with captured_stderr():
                sounddevice.check_input_settings(device=self.device.index, channels=self.n_channels,
                                                 dtype="float32", samplerate=self.sample_rate_hz)
        except (sounddevice.PortAudioError, ValueError):
            return self.device.default_sample_rate_hz
        return self.sample_rate_hz


class SteadyMicrophone:
    """A microphone that is opened anew whenever it fails; see `SteadySource`.

    Args:
        device: As for `Microphone`.
        sample_rate_hz: The rate of the blocks.
        notify: Called with a sentence when it is opened, fails and is back.
    """

    def __init__(self, device: int | str | None = None, *, sample_rate_hz: int, notify: Callable[[str], None]) -> None:
        self._device, self._sample_rate_hz, self._notify = device, sample_rate_hz, notify
        self._current: Microphone | None = None
        self._is_first = True
        self._n_overflows_before = 0

    def __iter__(self) -> Iterator[Block]:
        return iter(SteadySource(self._open, sample_rate_hz=self._sample_rate_hz, notify=self._notify, block_s=BLOCK_S))

    def counts(self) -> dict[str, int]:
        """How often sound was lost on its way to us."""
        return {"overflows": self._n_overflows_before + (self._current.ring.n_overflows if self._current else 0)}

    def _open(self) -> Microphone:
        if self._current is not None:
            self._n_overflows_before += self._current.ring.n_overflows
            # A number may be another device's by now; a name stays.
            if self._device is not None:
                self._device = self._current.device.name
            self._current, self._is_first = None, False
        if not self._is_first:
            refresh_devices()
        self._current = Microphone(self._device, sample_rate_hz=self._sample_rate_hz)
        # Events carry the audio's time; this is where it lies on the wall clock.
        since = f"; second 0 is {datetime.now(UTC).isoformat(timespec='milliseconds')}" if self._is_first else ""
        self._notify(f"listening to {self._current.description}{since}")
        return self._current


def refresh_devices() -> None:
    """Look for microphones anew: PortAudio knows only those that were there when it was started.

    No stream may be open.
    """
    sounddevice = import_sounddevice()
    with captured_stderr():
        sounddevice._terminate()
        sounddevice._initialize()


def _forget_configuration() -> None:
    """Have ALSA free what it read and loaded to look for devices: its plugins pull in codecs, 11 MB on a desktop."""
    with contextlib.suppress(OSError, AttributeError):  # where there is no ALSA
        ctypes.CDLL("libasound.so.2").snd_config_update_free_global()


def devices() -> list[Device]:
    """Every device that can record.

    Raises:
        MissingDependencyError: sounddevice or PortAudio is not installed.
    """
    sounddevice = import_sounddevice()
    host_apis = [api["name"] for api in sounddevice.query_hostapis()]
    default = sounddevice.default.device[0]
    return [Device(index=index, name=device["name"], host_api=host_apis[device["hostapi"]],
                   n_channels=device["max_input_channels"], is_default=index == default,
                   default_sample_rate_hz=round(device["default_samplerate"]))
            for index, device in enumerate(sounddevice.query_devices()) if device["max_input_channels"] > 0]


def find_device(wanted: int | str | None) -> Device:
    """The device with that index, that name, or the only one whose name contains the text, in any case.

    Raises:
        DeviceError: None or several fit, or there is no default device.
    """
    known = devices()
    listing = "; ".join(f"{device.index}: {device.name}" for device in known) or "no device that records"
    if wanted is None:
        fitting = [device for device in known if device.is_default] or known[:1]
    elif str(wanted).isdecimal():
        fitting = [device for device in known if device.index == int(wanted)]
    else:
        text = str(wanted).casefold()
        fitting = ([device for device in known if device.name.casefold() == text]
                   or [device for device in known if text in device.name.casefold()])
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        what = "no microphone" if wanted is None else f"no microphone {wanted!r}"
        raise DeviceError(what, found=listing, fix="Plug one in, or choose one that `edge-asc devices` lists.")
    raise DeviceError(f"{wanted!r} fits several microphones", found="; ".join(f"{d.index}: {d.name}" for d in fitting),
                      wanted="one", fix="Give the number.")


def import_sounddevice() -> ModuleType:
    """The sounddevice module.

    Raises:
        MissingDependencyError: It or the PortAudio library is not installed.
    """
    try:
        with captured_stderr():
            import sounddevice
    except ImportError as error:
        raise MissingDependencyError.extra("the microphone", "mic") from error
    except OSError as error:  # what sounddevice raises when it does not find the library
        raise MissingDependencyError("the microphone needs the PortAudio library", found=str(error),
                                     fix="Run: sudo apt install libportaudio2") from error
    return sounddevice  # type: ignore[no-any-return]
