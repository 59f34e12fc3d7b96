"""The log-mel front end, in NumPy alone: the same numbers for a whole clip and for a stream cut up in any way.

Samples come in and decibels go out as float32. In between it is double precision, as in librosa: a float32 FFT has
a noise floor 140 dB below the loudest bin, which would show in the quiet bands of a tone.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge_asc.errors import AudioError, InputError
from edge_asc.spec import FeatureSpec

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# Values of one batch of frames: so many that a second of sound is one batch, for NumPy takes microseconds to begin each
# step; larger ones would gain nothing and leave the cache.
_BATCH_VALUES = 98_304
_RFFT_TAKES_OUT = np.lib.NumpyVersion(np.__version__) >= "2.0.0"
# Slaney's mel scale: linear up to 1 kHz (15 mel), then 27 steps per factor of 6.4.
_KNEE_HZ, _KNEE_MEL, _STEPS, _FACTOR = 1000.0, 15.0, 27.0, 6.4


@functools.lru_cache(maxsize=32)
def filterbank(spec: FeatureSpec) -> Float32:
    """Triangular mel filters, Slaney scale and Slaney area normalisation (librosa's default).

    Returns:
        float32 [n_mels, n_fft // 2 + 1], read-only, shared between callers.

    Raises:
        InputError: A band lies between two FFT bins and would always be silent.
    """
    weights = _triangles(spec, spec.n_mels).astype(np.float32)
    silent = np.flatnonzero(~weights.any(axis=1))
    if silent.size:
        raise _silent_bands(spec, silent)
    weights.setflags(write=False)
    return weights


def mel_db(samples: ArrayLike, spec: FeatureSpec) -> Float32:
    """Mel power in dB (reference 1.0) of every complete frame, before the clamp to `top_db`.

    Args:
        samples: Mono floating-point samples [n], full scale 1.0, at `spec.sample_rate_hz`.
        spec: The front end.

    Returns:
        float32 [n_mels, k], k = 1 + (n - n_fft) // hop_length, or 0 if n < n_fft. Frames are not centred.

    Raises:
        AudioError: The samples are not mono floating-point numbers, or one is NaN or infinite.
        InputError: The specification has silent bands, see `filterbank`.
    """
    return _kernel(spec).mel_db(_checked(samples))


def clamp(db: Float32, spec: FeatureSpec) -> Float32:
    """Raises what is more than `top_db` below the largest value to that level: the last step, over a whole window.

    Args:
        db: float32 [n_mels, n], from `mel_db` or `MelStream`.
        spec: The front end.

    Returns:
        A new float32 array of the same shape.
    """
    db = np.asarray(db, dtype=np.float32)
    if spec.top_db is None or db.size == 0:
        return db.copy()
    clamped: Float32 = np.maximum(db, db.max() - np.float32(spec.top_db))
    return clamped


def log_mel(samples: ArrayLike, spec: FeatureSpec) -> Float32:
    """The features of one window, as a member sees them: the first `n_frames` frames in dB, clamped.

    Args:
        samples: Mono floating-point samples [n >= spec.window_samples]; those after the window are not looked at.
        spec: The front end.

    Returns:
        float32 [n_mels, n_frames].

    Raises:
        AudioError: Too few samples, not mono floating-point numbers, or one is NaN or infinite.
    """
    window = np.asarray(samples)[: spec.window_samples]
    if window.shape[:1] < (spec.window_samples,):
        raise AudioError("the clip is shorter than one window",
                         found=f"{len(window)} samples ({len(window) / spec.sample_rate_hz:.3f} s)",
                         wanted=f"{spec.window_samples} samples ({spec.window_s:.3f} s)", fix="Use a longer clip.")
    return clamp(mel_db(window, spec), spec)


class MelStream:
    """Push samples of any length, get the frames they complete.

    However the samples are cut up, the frames are bit for bit those of `mel_db` on all of them together. At most
    n_fft samples are kept between calls. A NaN or an infinity is refused before it is taken in, so it can never
    spoil later frames: after that AudioError the stream is as it was, and the caller may push something else in
    place of the bad block (silence, say) or `reset`.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self._kernel = _kernel(spec)
        self.reset()

    def reset(self) -> None:
        """Forgets all samples: the next push starts a new recording."""
        self._pending: Float32 = np.empty(0, np.float32)

    def push(self, samples: ArrayLike) -> Float32:
        """Takes in mono floating-point samples [n], n >= 0, full scale 1.0.

        Returns:
            float32 [n_mels, k]: the newly completed frames in dB, not clamped; k is often 0.

        Raises:
            AudioError: Not mono floating-point numbers, or one is NaN or infinite; nothing was taken in.
        """
        new = _checked(samples)
        pending = np.concatenate([self._pending, new]) if self._pending.size else new
        db = self._kernel.mel_db(pending)
        # A copy: neither the caller's array nor a long block is to be kept alive by a few left-over samples.
        self._pending = pending[db.shape[1] * self.spec.hop_length :].copy()
        return db


class _Kernel:
    """What is computed once per specification, and the arithmetic.

    No step lets one frame's result depend on how many frames are computed with it (a BLAS product would). The mel
    product visits only the non-zeros: a filter overlaps its two neighbours and no others, so all even filters fit
    side by side in one row of weights and all odd ones in another, and each sum is over a stretch of bins.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        # Periodic Hann: the period is n_fft, not n_fft - 1 as in np.hanning.
        self.window: Float64 = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(spec.n_fft) / spec.n_fft)
        weights = filterbank(spec).astype(np.float64)
        first = (weights > 0).argmax(axis=1)
        self.rows = [(weights[parity::2].sum(axis=0), first[parity::2]) for parity in (0, 1) if parity < spec.n_mels]
        self._scratch = _Scratch(spec.n_fft)

    def mel_db(self, samples: Float32) -> Float32:
        spec = self.spec
        if samples.size < spec.n_fft:
            return np.empty((spec.n_mels, 0), np.float32)
        n_frames = 1 + (samples.size - spec.n_fft) // spec.hop_length
        frames: Float32 = np.ndarray((n_frames, spec.n_fft), np.float32, samples,
                                     strides=(spec.hop_length * samples.itemsize, samples.itemsize))
        mel = np.empty((n_frames, spec.n_mels))
        step = max(1, _BATCH_VALUES // spec.n_fft)
        for start in range(0, n_frames, step):
            batch = slice(start, start + step)
            windowed, spectrum, power, weighted = self._scratch.rows(min(step, n_frames - start))
            windowed[:] = frames[batch]
            windowed *= self.window
            parts = _rfft(windowed, spectrum).view(np.float64)
            parts *= parts
            np.add(parts[:, ::2], parts[:, 1::2], out=power)
            for parity, (weights, first) in enumerate(self.rows):
                np.multiply(power, weights, out=weighted)
                np.add.reduceat(weighted, first, axis=1, out=mel[batch, parity::2])
        np.log10(np.maximum(mel, spec.amin, out=mel), out=mel)
        mel *= 10.0
        return np.ascontiguousarray(mel.T, dtype=np.float32)


class _Scratch(threading.local):
    """Working memory, each thread's own, kept from call to call and only as large as it had to be.

    Where the allocator returns memory of this size to the system after each call, and some processes' does, taking it
    anew costs three times the arithmetic in page faults.
    """

    def __init__(self, n_fft: int) -> None:
        self._n_fft, self._n_rows = n_fft, 0

    def rows(self, n: int) -> tuple[Float64, NDArray[np.complex128], Float64, Float64]:
        """For n frames: windowed samples [n, n_fft]; spectrum, power and weighted power [n, n_fft // 2 + 1]."""
        if n > self._n_rows:
            n_bins, self._n_rows = self._n_fft // 2 + 1, n
            self._windowed, self._spectrum = np.empty((n, self._n_fft)), np.empty((n, n_bins), np.complex128)
            self._power, self._weighted = np.empty((n, n_bins)), np.empty((n, n_bins))
        return self._windowed[:n], self._spectrum[:n], self._power[:n], self._weighted[:n]


def _rfft(frames: Float64, spectrum: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Along the last axis, into `spectrum` where NumPy can."""
    return np.fft.rfft(frames, out=spectrum) if _RFFT_TAKES_OUT else np.fft.rfft(frames)


@functools.lru_cache(maxsize=32)
def _kernel(spec: FeatureSpec) -> _Kernel:
    return _Kernel(spec)


def _checked(samples: ArrayLike) -> Float32:
    """The samples as float32 [n], if they are usable sound."""
    array: NDArray[Any] = np.asarray(samples)
    if array.ndim != 1 or not (np.issubdtype(array.dtype, np.floating) or array.size == 0):
        raise AudioError("the samples cannot be used", found=f"{array.dtype} of shape {array.shape}",
                         wanted="floating-point samples of one channel, full scale 1.0",
                         fix="Take the mean of the channels; divide integers by their full scale.")
    array = np.ascontiguousarray(array, dtype=np.float32)
    finite = np.isfinite(array)
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise AudioError("the samples cannot be used", found=f"{bad.size} NaN or infinite, the first at {bad[0]}",
                         wanted="finite numbers", fix="Repair or leave out that part of the sound.")
    return array


def _triangles(spec: FeatureSpec, n_mels: int) -> Float64:
    """Filter j rises from mel point j to j + 1 and falls to j + 2; its area over frequency in Hz is 1."""
    edges_hz = _mel_to_hz(np.linspace(_hz_to_mel(spec.fmin_hz), _hz_to_mel(spec.fmax_hz), n_mels + 2))
    bins_hz = np.arange(spec.n_fft // 2 + 1) * (spec.sample_rate_hz / spec.n_fft)
    distance_hz = bins_hz - edges_hz[:, None]
    widths_hz = np.diff(edges_hz)[:, None]
    rising, falling = distance_hz[:-2] / widths_hz[:-1], -distance_hz[2:] / widths_hz[1:]
    area = 2.0 / (edges_hz[2:] - edges_hz[:-2])
    shape = np.minimum(rising, falling)
    # A bin that lies on an edge gets 0, not what rounding left of it.
    weights: Float64 = np.where(shape > 1e-9, shape, 0.0) * area[:, None]
    return weights


def _hz_to_mel(hz: float) -> float:
    if hz < _KNEE_HZ:
        return hz * _KNEE_MEL / _KNEE_HZ
    return float(_KNEE_MEL + _STEPS * np.log(hz / _KNEE_HZ) / np.log(_FACTOR))


def _mel_to_hz(mel: Float64) -> Float64:
    hz: Float64 = np.where(mel < _KNEE_MEL, mel * (_KNEE_HZ / _KNEE_MEL),
                           _KNEE_HZ * _FACTOR ** ((np.maximum(mel, _KNEE_MEL) - _KNEE_MEL) / _STEPS))
    return hz


def _silent_bands(spec: FeatureSpec, silent: NDArray[np.intp]) -> InputError:
    """The error for filters that fall between FFT bins; it names the largest number of bands that has none."""
    fits = next((n for n in range(spec.n_mels - 1, 0, -1) if _triangles(spec, n).any(axis=1).all()), None)
    shown = ", ".join(map(str, silent[:8])) + (", ..." if silent.size > 8 else "")
    fix = f"Use n_mels = {fits} or fewer, or a larger n_fft." if fits else "Use a larger n_fft or a wider band."
    return InputError(f"n_mels = {spec.n_mels} is too many for n_fft = {spec.n_fft} at {spec.sample_rate_hz} Hz",
                      found=f"no FFT bin in {silent.size} band(s): {shown}", wanted="at least one in every band",
                      fix=fix)
