"""Level and colour, changed at random: gains, low-passes and equalisers as additions in dB before the clamp.

A microphone with another gain, a codec without treble and a room are to a mel spectrum in dB each a constant per
band, so that thousands of windows are changed without touching a sample. The numbers come from a recipe
(`recipes.Augmentation`); everything random comes from the generator that is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from edge_asc.features import filterbank
from edge_asc.spec import FeatureSpec
from edge_asc.train.recipe_parts import Augmentation

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

# Order of the low-pass, log-uniform: from a soft microphone (12 dB per octave) to a codec's edge (192 dB per octave).
_ORDERS = (2.0, 32.0)
_LARGEST_LOSS_DB = 100.0
# The equaliser is a sum of so many cosines over the mel bands: no wiggle is narrower than a quarter of the range.
_N_COSINES = 4


def augmenter(settings: Augmentation, spec: FeatureSpec) -> Callable[[Float32, np.random.Generator], Float32]:
    """A function that changes a batch of windows, each in its own way.

    Args:
        settings: Ranges and probabilities; empty ranges leave things as they are.
        spec: The front end that made the windows.

    Returns:
        (un-clamped dB, float32 [n, n_mels, n_frames]; generator) -> a new array of that shape. What was too quiet
        for the front end (`spec.amin`) stays at its floor, and nothing falls below it.
    """
    shift_db = band_shifter(settings, spec)

    def augment(windows_db: Float32, rng: np.random.Generator) -> Float32:
        return shifted(windows_db, shift_db(len(windows_db), rng)[:, :, None], spec)

    return augment


def shifted(windows_db: Float32, shift_db: Float32 | float, spec: FeatureSpec) -> Float32:
    """Windows as they would be at another level or with another colour: a new array.

    Args:
        windows_db: Un-clamped dB, float32 [..., n_mels, n_frames].
        shift_db: What is added; anything that broadcasts.
        spec: The front end that made the windows: nothing falls below the dB of its `amin`.
    """
    floor_db = np.float32(10 * np.log10(spec.amin))
    found = np.maximum(windows_db + np.float32(shift_db), floor_db)
    # A gain cannot bring back what the floor swallowed.
    found[windows_db <= floor_db] = floor_db
    return found


def band_shifter(settings: Augmentation, spec: FeatureSpec) -> Callable[[int, np.random.Generator], Float32]:
    """A function (n, generator) -> float32 [n, n_mels]: what is added to each band of each of n windows, in dB."""
    weights = filterbank(spec).astype(np.float64)
    weights /= weights.sum(axis=1, keepdims=True)
    bins_hz = np.fft.rfftfreq(spec.n_fft, 1 / spec.sample_rate_hz).astype(np.float64)
    bands = (np.arange(spec.n_mels) + 0.5) / spec.n_mels
    cosines = np.cos(np.pi * np.arange(1, _N_COSINES + 1)[:, None] * bands)

    def shift_db(n: int, rng: np.random.Generator) -> Float32:
        shift = np.zeros((n, spec.n_mels))
        if settings.gain_db:
            shift += _uniform(settings.gain_db, n, rng)
        if settings.low_pass_hz:
            corner_hz = np.exp(_uniform(np.log(settings.low_pass_hz), n, rng))
            order = np.exp(_uniform(np.log(_ORDERS), n, rng))
            chosen = rng.random((n, 1)) < settings.low_pass_probability
            shift += np.where(chosen, low_pass_db(bins_hz, corner_hz, order, weights), 0.0)
        if settings.equaliser_db:
            curves = rng.standard_normal((n, _N_COSINES)) @ cosines
            largest = np.abs(curves).max(axis=1, keepdims=True)
            shift += curves / largest * _uniform((0, settings.equaliser_db), n, rng)
        return shift.astype(np.float32)

    return shift_db


def low_pass_db(bins_hz: Float64, corner_hz: Float64, order: Float64, weights: Float64) -> Float64:
    """What a Butterworth low-pass does to each band of sound that is flat within the band.

    Args:
        bins_hz: [n_bins] frequencies.
        corner_hz: [n, 1], where 3 dB are lost.
        order: [n, 1]; 6 dB per octave and order.
        weights: [n_mels, n_bins], each row summing to 1.

    Returns:
        [n, n_mels] dB, 0 or less, at least -100.
    """
    # 1 / (1 + (f / fc)^(2 order)), written so that no power overflows.
    exponent = 2 * order * (np.log(np.maximum(bins_hz, 1e-3)) - np.log(corner_hz))
    response = np.exp(-np.logaddexp(0.0, exponent))
    passed = response @ weights.T
    loss_db: Float64 = 10 * np.log10(np.maximum(passed, 10 ** (-_LARGEST_LOSS_DB / 10)))
    return loss_db


def _uniform(ends: Sequence[float] | Float64, n: int, rng: np.random.Generator) -> Float64:
    """[n, 1], uniform between two ends."""
    return rng.uniform(ends[0], ends[1], size=(n, 1))
