"""What a library for a machine with megabytes to spare has ready: unpacked taps, factors in floating point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_export.emit.step_numbers import ordered_weights, tap_distances
from firmware_export.network.layers import Conv
from firmware_export.planning.lower import Buffer, Step

_TOGETHER = 4
"""Taps that a kernel takes at a time: those of an output are padded to whole groups."""


@dataclass(frozen=True)
class ReadyTaps:
    """The non-zero weights of a convolution, one output after the other, padded with zeros."""

    values: NDArray[np.int8]
    distances: NDArray[np.uint32]
    """Of each value's input from the kernel's corner."""
    counts: NDArray[np.uint16]
    """Values per output, padding included."""


def ready_taps(layer: Conv, step: Step, source: Buffer) -> ReadyTaps:
    """The taps of a layer, with all distances worked out."""
    plane_bytes = source.plane_bytes * layer.stride[0] * layer.stride[1]
    per_channel = np.array(tap_distances(layer, step, source))
    distances = (np.arange(layer.weights.shape[3])[:, None] * plane_bytes + per_channel).reshape(-1)
    values_of, distances_of, counts = [], [], []
    for row in ordered_weights(layer, source):
        at = np.flatnonzero(row)
        n_padding = -at.size % _TOGETHER
        values_of.append(np.append(row[at], np.zeros(n_padding, np.int8)))
        distances_of.append(np.append(distances[at], np.zeros(n_padding, int)))
        counts.append(at.size + n_padding)
    return ReadyTaps(np.concatenate(values_of), np.concatenate(distances_of).astype(np.uint32),
                     np.array(counts, np.uint16))


def float_rescaling(multiplier: int, shift: int, *, zero: int, low: int, high: int, bound: int) -> tuple[float, float]:
    """A factor and a summand in float32 with which accumulators become what the integer rule makes of them.

    The nearest integer to `accumulator * factor + summand`, plus 128, is the stored byte. It never decreases, and
    neither does the integer rule: they agree everywhere if they agree on both sides of each place where the byte
    changes. That is what is tried here.

    Args:
        multiplier, shift: As for `rescale`; the shift is to the right.
        zero: The output's zero point, stored.
        low, high: Bytes outside are clamped to these.
        bound: No accumulator is further from 0; below 2^23.

    Returns:
        The two numbers; (0, 0) if none were found for which this holds.
    """
    if multiplier == 0 or shift > 0:
        return 0.0, 0.0
    stored = np.arange(low + 1, high + 1)
    changes, wanted = _changes(stored - zero, multiplier, shift), stored - 128
    # As far as accumulators reach: at `above` the byte must have changed, at `below` it may not have.
    there, beyond = changes <= bound, changes > -bound
    above, below = (np.clip(at, -bound, bound).astype(np.float64) for at in (changes[there], changes[beyond] - 1))
    nearest = np.float32(multiplier * 2.0 ** (shift - 31))
    for factor in (nearest, np.nextafter(nearest, np.float32(1)), np.nextafter(nearest, np.float32(0))):
        # In the middle of what the changes leave to choose.
        least, most = wanted[there] - 0.5 - above * float(factor), wanted[beyond] - 0.5 - below * float(factor)
        if not least.size or not most.size:
            break
        summand = np.float32(np.rint((least.max() + most.min()) * 2.0**23) / 2.0**24)
        # So products and sums are exact in float64; the processor rounds once, to float32.
        ups, downs = (np.rint((at * float(factor) + float(summand)).astype(np.float32)) for at in (above, below))
        if (ups >= wanted[there]).all() and (downs < wanted[beyond]).all():
            return float(factor), float(summand)
    return 0.0, 0.0


def _changes(results: NDArray[np.int64], multiplier: int, shift: int) -> NDArray[np.int64]:
    """For each result the least accumulator that gives it or more."""
    guess = np.floor((results - 0.5) * 2.0 ** (31 - shift) / multiplier).astype(np.int64)
    around = guess[:, None] + np.arange(-2, 4)
    high = (around * multiplier + (1 << 30)) >> 31
    mask = (1 << -shift) - 1
    found = (high >> -shift) + ((high & mask) > (mask >> 1) + (high < 0))
    return np.asarray(around[:, 0] + (found < results[:, None]).sum(axis=1))
