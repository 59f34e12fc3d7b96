"""libsoxr as a stream: through the package `soxr`, or, where that has no wheel (32-bit ARM), the system's library.

Both are the same C code. It is loaded only when a rate has to be changed.
"""

from __future__ import annotations

import ctypes
import importlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge_asc.errors import MissingDependencyError

Float32 = NDArray[np.float32]


class Resampler(Protocol):
    """A mono stream that changes its rate."""

    def resample_chunk(self, samples: Float32, last: bool = False) -> Float32:
        """Take in float32 [n] and return what is ready, float32 [k]; with `last` everything."""


def open_resampler(from_hz: int, to_hz: int) -> Resampler:
    """A stream from one rate to another, at soxr's quality HQ.

    Raises:
        MissingDependencyError: Neither the package nor the library is installed.
    """
    try:
        soxr = importlib.import_module("soxr")
    except ImportError:
        return SystemSoxr(from_hz, to_hz)
    stream: Resampler = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")
    return stream


class SystemSoxr:
    """A stream through libsoxr.so.0, whose defaults are float32 and HQ.

    Args:
        from_hz: Rate of what goes in.
        to_hz: Rate of what comes out.

    Raises:
        MissingDependencyError: The library is not installed.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._handle: int | None = None
        self._library = _load()
        self._ratio = to_hz / from_hz
        error = ctypes.c_char_p()
        self._handle = self._library.soxr_create(float(from_hz), float(to_hz), 1, ctypes.byref(error), None, None, None)
        if not self._handle:
            raise MissingDependencyError(f"libsoxr cannot go from {from_hz} to {to_hz} Hz", found=error.value)

    def __del__(self) -> None:
        if self._handle:
            self._library.soxr_delete(self._handle)

    def resample_chunk(self, samples: Float32, last: bool = False) -> Float32:
        """See `Resampler`."""
        samples = np.ascontiguousarray(samples, np.float32)
        parts, n_done = [], 0
        while n_done < samples.size:
            n_read, part = self._process(samples[n_done:])
            n_done += n_read
            parts.append(part)
        # Without input the library gives out what it holds back, until it gives nothing more.
        while last:
            _, part = self._process(None)
            parts.append(part)
            last = part.size > 0
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def _process(self, samples: Float32 | None) -> tuple[int, Float32]:
        n_in = 0 if samples is None else samples.size
        out = np.empty(int(n_in * self._ratio) + 4096, np.float32)
        n_read, n_written = ctypes.c_size_t(), ctypes.c_size_t()
        error = self._library.soxr_process(self._handle, None if samples is None else samples.ctypes.data, n_in,
                                           ctypes.byref(n_read), out.ctypes.data, out.size, ctypes.byref(n_written))
        if error:
            raise MissingDependencyError("libsoxr failed", found=error.decode())
        return n_read.value, out[: n_written.value]


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libsoxr.so.0")
    except OSError as error:
        raise MissingDependencyError("changing a sample rate needs soxr", found=str(error),
                                     fix="Run: sudo apt install libsoxr0, or: pip install soxr") from error
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    library.soxr_create.restype = pointer
    library.soxr_create.argtypes = [ctypes.c_double, ctypes.c_double, ctypes.c_uint, pointer, pointer, pointer, pointer]
    library.soxr_process.restype = ctypes.c_char_p
    library.soxr_process.argtypes = [pointer, pointer, size, pointer, pointer, size, pointer]
    library.soxr_delete.restype = None
    library.soxr_delete.argtypes = [pointer]
    return library
