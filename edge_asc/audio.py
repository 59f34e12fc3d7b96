"""The one way sound enters, in training and on the device: decode, take the mean of the channels, resample.

Everything here is float32 with full scale 1.0. Files are read in blocks and only as far as asked; a part of a file is
the same as a slice of the whole, but for float32 rounding in lossy formats and in resampling.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_asc.atomic import write_bytes
from edge_asc.decoding import SoundSource, import_soundfile, open_sound
from edge_asc.errors import AudioError, InputError
from edge_asc.resampling import Resampler, open_resampler

Float32 = NDArray[np.float32]

# Samples at the lower of two rates that are read around a part, so that the resampler sees what it would see in
# the whole file. soxr's HQ filter is shorter than half of this.
_MARGIN = 1024


@dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """What a file's header says. The length of AAC, and of MP3 without a length header, is an estimate."""

    sample_rate_hz: int
    n_channels: int
    n_frames: int
    duration_s: float


def audio_info(path: str | os.PathLike[str]) -> AudioInfo:
    """Rate, channels and length of a sound file, without decoding it.

    Raises:
        AudioError: See `read_audio`.
    """
    with open_sound(path) as sound:
        return AudioInfo(sample_rate_hz=sound.sample_rate_hz, n_channels=sound.n_channels, n_frames=sound.n_frames,
                         duration_s=sound.n_frames / sound.sample_rate_hz)


def read_audio(path: str | os.PathLike[str], *, sample_rate_hz: int = 48_000, start_s: float = 0.0,
               duration_s: float | None = None) -> Float32:
    """A sound file, or a part of it, as mono samples.

    Args:
        path: WAV, FLAC, Ogg or MP3; AAC and M4A with the extra `train`.
        sample_rate_hz: The rate wanted; a file with another one is resampled (soxr, quality HQ).
        start_s: Where to begin.
        duration_s: How much to read; None reads to the end. A file that ends earlier gives fewer samples.

    Returns:
        float32 [n], the mean of the channels. Only the part asked for is read from disk (and a few milliseconds
        around it when resampling; AAC is decoded from its start).

    Raises:
        AudioError: Missing, empty, cut short, damaged, not sound, a NaN or infinite sample, or `start_s` not
            inside the file. Silence is sound: see `require_sound`.
    """
    start = _samples(start_s, sample_rate_hz, "start_s")
    stop = None if duration_s is None else start + _samples(duration_s, sample_rate_hz, "duration_s")
    with open_sound(path) as sound:
        parts = list(_mono_blocks(path, sound, sample_rate_hz, start, stop, size=1 << 16))
        length_s = sound.n_frames / sound.sample_rate_hz
    if not parts and (stop is None or stop > start):
        raise AudioError(f"{path} has no sound from {start_s:g} s on", found=f"a length of {length_s:g} s",
                         wanted=f"more than {start_s:g} s")
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


def blocks(path: str | os.PathLike[str], *, sample_rate_hz: int = 48_000, block_s: float = 0.1) -> Iterator[Float32]:
    """A sound file as a sequence of mono blocks: together, exactly what `read_audio` gives.

    Args:
        path: As for `read_audio`.
        sample_rate_hz: The rate wanted.
        block_s: About how long a block is; resampling makes the lengths vary a little.

    Yields:
        float32 [n > 0].

    Raises:
        AudioError: As for `read_audio`, when the damaged place is reached.
    """
    with open_sound(path) as sound:
        size = max(1, round(block_s * sound.sample_rate_hz))
        heard = False
        for block in _mono_blocks(path, sound, sample_rate_hz, 0, None, size=size):
            heard = True
            yield block
    if not heard:
        raise AudioError(f"{path} has no sound", found="a header and no samples", wanted="at least one sample")


def to_mono(block: ArrayLike) -> Float32:
    """The mean of the channels of floating-point samples [n, n_channels] or [n]; float32 [n].

    Raises:
        AudioError: Not floating-point numbers, or not one or two dimensions.
    """
    array: NDArray[Any] = np.asarray(block)
    if not np.issubdtype(array.dtype, np.floating) or array.ndim not in (1, 2) or 0 in array.shape[1:]:
        raise AudioError("the samples cannot be used", found=f"{array.dtype} of shape {array.shape}",
                         wanted="floating-point samples [n, channels], full scale 1.0")
    if array.ndim == 1:
        return array.astype(np.float32)
    # Channel by channel: many times faster than mean(axis=1), and the same for every cut into blocks.
    mono: Float32 = array[:, 0].astype(np.float32)
    for channel in range(1, array.shape[1]):
        mono += array[:, channel].astype(np.float32, copy=False)
    mono /= np.float32(array.shape[1])
    return mono


class StreamResampler:
    """Resamples a mono stream, block by block: push samples, get those that are ready; `finish` gives the rest.

    The result does not depend on how the stream is cut. With equal rates `push` returns what it was given.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._from_hz, self._to_hz = from_hz, to_hz
        self._begin()

    def push(self, samples: Float32) -> Float32:
        """Takes in float32 [n], n >= 0, and returns float32 [k] at the other rate; k is 0 at first."""
        return self._resample(samples, last=False)

    def finish(self) -> Float32:
        """The last samples, float32 [k]; the next `push` begins a new stream."""
        rest = self._resample(np.empty(0, np.float32), last=True)
        self._begin()
        return rest

    def _begin(self) -> None:
        self._stream: Resampler | None = None
        if self._from_hz != self._to_hz:
            self._stream = open_resampler(self._from_hz, self._to_hz)

    def _resample(self, samples: Float32, *, last: bool) -> Float32:
        samples = np.ascontiguousarray(samples, dtype=np.float32)
        if self._stream is None:
            return samples
        resampled: Float32 = self._stream.resample_chunk(samples, last=last)
        return resampled


def require_sound(samples: Float32, path: str | os.PathLike[str]) -> Float32:
    """The same samples, if at least one is not zero: what a recording to learn from or to classify must have.

    Raises:
        AudioError: All samples are zero, or there are none.
    """
    # Nearly always the first samples tell.
    if not np.any(samples[:1024]) and not np.any(samples):
        raise AudioError(f"{path} is digital silence", found=f"{len(samples)} samples, all zero",
                         wanted="recorded sound", fix="Check the recorder's input, or leave this file out.")
    return samples


def write_wav(path: str | os.PathLike[str], samples: ArrayLike, *, sample_rate_hz: int,
              subtype: str = "PCM_24") -> None:
    """Writes mono samples as a WAV file, whole or not at all.

    Args:
        path: Where; a file there is replaced, its folder must exist.
        samples: Floating-point [n]; values beyond full scale 1.0 are clipped by the PCM subtypes.
        sample_rate_hz: Samples per second.
        subtype: PCM_16, PCM_24, PCM_32 or FLOAT. Samples that came from PCM of no more bits are kept exactly.

    Raises:
        AudioError: A sample is NaN or infinite.
        OSError: The disk is full or the folder cannot be written.
    """
    path, mono = Path(path), to_mono(samples)
    _require_finite(mono, path, 0, sample_rate_hz)
    # Encoded in memory: a full disk is then an OSError with its number, and not a libsndfile message.
    encoded = io.BytesIO()
    import_soundfile().write(encoded, _quantized(mono, subtype), sample_rate_hz, format="WAV", subtype=subtype)
    write_bytes(path, encoded.getvalue())


def _mono_blocks(path: str | os.PathLike[str], sound: SoundSource, rate_hz: int, start: int, stop: int | None, *,
                 size: int) -> Iterator[Float32]:
    """Mono samples [start, stop) counted at `rate_hz`, in blocks of about `size` samples of the file."""
    from_hz = sound.sample_rate_hz
    # The grids of both rates meet every `step_in` samples of the file, `step_out` of the result. Reading begins at
    # such a point, a margin ahead, so that a part is resampled at the same instants as the whole.
    common = math.gcd(from_hz, rate_hz)
    step_in, step_out = from_hz // common, rate_hz // common
    margin = 0 if from_hz == rate_hz else math.ceil(_MARGIN * max(1.0, from_hz / rate_hz))
    meeting = max(0, (start * step_in // step_out - margin) // step_in)
    at, position = meeting * step_out, meeting * step_in
    end = None if stop is None else math.ceil(stop * step_in / step_out) + margin
    resampler = StreamResampler(from_hz, rate_hz)

    def resampled() -> Iterator[Float32]:
        nonlocal position
        for chunk in sound.chunks(start=position, stop=end, size=size):
            mono = to_mono(chunk) if chunk.ndim == 2 else chunk
            _require_finite(mono, path, position, from_hz)
            position += len(mono)
            yield resampler.push(mono)
        yield resampler.finish()

    for block in resampled():
        wanted = block[max(0, start - at) : None if stop is None else max(0, stop - at)]
        at += len(block)
        if wanted.size:
            yield wanted


def _require_finite(samples: Float32, path: str | os.PathLike[str], position: int, rate_hz: int) -> None:
    finite = np.isfinite(samples)
    if not finite.all():
        first = position + int(np.argmin(finite))
        raise AudioError(f"{path} has samples that are no numbers", found=f"NaN or infinity at {first / rate_hz:.3f} s",
                         wanted="finite samples", fix="Write the file again from its source, or leave it out.")


def _quantized(samples: Float32, subtype: str) -> Float32 | NDArray[np.int32]:
    """Samples for libsndfile to write: it takes the upper bits of an int32, but scales floats by 1 less than full."""
    if not subtype.startswith("PCM_"):
        return samples
    n_bits = int(subtype.removeprefix("PCM_"))
    full_scale = 2.0 ** (n_bits - 1)
    levels = np.clip(np.rint(samples.astype(np.float64) * full_scale), -full_scale, full_scale - 1)
    return levels.astype(np.int32) << (32 - n_bits)


def _samples(seconds: float, rate_hz: int, name: str) -> int:
    if not (math.isfinite(seconds) and seconds >= 0):
        raise InputError(f"impossible {name}", found=seconds, wanted="0 or more seconds")
    return round(seconds * rate_hz)
