"""One member's numbers for the steps of its program: what an AscLayer holds (firmware_export/c/asc_tables.h)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_export.emit.weights import SparseWeights, encode
from firmware_export.network.layers import Add, Conv, Dense, Layer, Multiply, Network, Pool, Rescale, Softmax
from firmware_export.network.quantise import rescale
from firmware_export.planning.lower import Buffer, Program, Step

TIMES, PLUS = 1, 2
_OFFSET = 128
"""Values are stored as int8 plus 128."""


@dataclass(frozen=True, kw_only=True)
class StepNumbers:
    """Everything that differs between members of one architecture."""

    weights: SparseWeights | None = None
    bias: list[int] = field(default_factory=list)
    multipliers: list[int] = field(default_factory=list)
    shifts: list[int] = field(default_factory=list)
    encoding: int = 0
    zero: int = 0
    output_zero: int = 0
    low: int = 0
    high: int = 255
    narrow: bool = False


def step_numbers(network: Network, program: Program) -> list[StepNumbers]:
    """For every step of the program."""
    return [_numbers(network, program, step) for step in program.steps]


def fills(network: Network, program: Program) -> list[int]:
    """For every buffer the byte that stands for padding: the zero point."""
    return [network.activations[buffer.activation].zero_point + _OFFSET for buffer in program.buffers]


def ordered_weights(layer: Conv | Dense, source: Buffer) -> NDArray[np.int8]:
    """The weights in the order in which the C code meets them.

    Returns:
        Convolution: [output, (input channel, kernel column, kernel row)].
        Dense: [input column, (output, input channel, input row)].
    """
    if isinstance(layer, Conv):
        return layer.weights.transpose(0, 3, 2, 1).reshape(layer.weights.shape[0], -1)
    weights = layer.weights.reshape(-1, source.n_rows, source.n_columns, source.n_planes)
    return weights.transpose(2, 0, 3, 1).reshape(source.n_columns, -1)


def tap_distances(layer: Conv, step: Step, buffer: Buffer) -> list[int]:
    """Byte of every tap of one input channel, counted from the kernel's corner."""
    distances = []
    for kernel_column in range(layer.weights.shape[2]):
        for kernel_row in range(layer.weights.shape[1]):
            row, column = kernel_row * layer.dilation[0], kernel_column * layer.dilation[1]
            phase = row % layer.stride[0] * layer.stride[1] + column % layer.stride[1]
            distances.append(phase * buffer.plane_bytes + column // layer.stride[1] * buffer.pitch
                             + row // layer.stride[0])
    return distances


def _numbers(network: Network, program: Program, step: Step) -> StepNumbers:
    if not step.layers:
        return StepNumbers()
    layer = network.layers[step.layers[0]]
    last = network.layers[step.layers[-1]]
    source, target = network.activations[layer.inputs[0]], network.activations[last.output]
    common: dict[str, Any] = {"zero": source.zero_point + _OFFSET, "output_zero": target.zero_point + _OFFSET,
              "low": last.low + _OFFSET, "high": last.high + _OFFSET}
    match layer:
        case Conv() | Dense():
            return _weighted(layer, program.buffers[step.inputs[0]], common)
        case Pool():
            return StepNumbers(**common)
        case Rescale():
            return StepNumbers(multipliers=[layer.multiplier], shifts=[layer.shift], **common)
        case Softmax():
            return StepNumbers(multipliers=[layer.multiplier], shifts=[layer.shift], bias=[layer.least_difference])
        case Multiply():
            return _affine(network, layer, last if isinstance(last, Add) else None, common)
        case Add() if layer.constant is not None:
            return _affine(network, None, layer, common)
        case Add():
            second = network.activations[layer.inputs[1]].zero_point + _OFFSET
            return StepNumbers(multipliers=list(layer.multipliers), shifts=list(layer.shifts), bias=[second], **common)
    raise AssertionError(f"no numbers for {layer}")


def _weighted(layer: Conv | Dense, buffer: Buffer, common: dict[str, Any]) -> StepNumbers:
    sums = layer.weights.astype(np.int64).reshape(layer.weights.shape[0], -1).sum(axis=1)
    bias, multipliers, shifts = layer.bias - common["zero"] * sums, layer.multipliers.copy(), layer.shifts.copy()
    for output in np.flatnonzero(~layer.weights.reshape(layer.weights.shape[0], -1).any(axis=1)):
        # Without weights only a constant is left; as twice that times one half its numbers are small.
        constant = rescale(int(bias[output]), int(multipliers[output]), int(shifts[output]))
        bias[output], multipliers[output], shifts[output] = 2 * max(-512, min(512, constant)), 1 << 30, 0
    bound = accumulator_bounds(layer, bias)
    largest_result = bound * (multipliers / 2.0**31) * 2.0**shifts
    narrow = bool((bound < 1 << 23).all() and (shifts <= 0).all() and (shifts >= -20).all()
                  and (largest_result < 32000).all())
    return StepNumbers(weights=encode(ordered_weights(layer, buffer)), bias=bias.tolist(),
                       multipliers=multipliers.tolist(), shifts=shifts.tolist(), narrow=narrow, **common)


def accumulator_bounds(layer: Conv | Dense, bias: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """How far from 0 each output's accumulator can be, at any point of its sum."""
    magnitudes = np.abs(layer.weights.astype(np.int64)).reshape(layer.weights.shape[0], -1)
    return np.asarray(255 * magnitudes.sum(axis=1) + np.abs(np.asarray(bias, np.int64)))


def _affine(network: Network, times: Multiply | None, plus: Add | None, common: dict[str, Any]) -> StepNumbers:
    first: Layer | None = times or plus
    assert first is not None
    n_channels = network.activations[first.output].shape[2]
    factors = [1] * n_channels if times is None else times.constant.tolist()
    summands, multipliers, shifts = [0] * n_channels, [0] * 4, [0] * 4
    middle = [0, 0, 0]
    if times is not None:
        multipliers[3], shifts[3] = times.multiplier, times.shift
        zero = network.activations[times.output].zero_point
        # Without an addition the result is the output: the middle clamp is left to the last one.
        middle = [0, -(1 << 30), 1 << 30] if plus is None else [zero, times.low, times.high]
    if plus is not None:
        assert plus.constant is not None
        multipliers[:3], shifts[:3] = plus.multipliers, plus.shifts
        summands = [rescale(c * (1 << 20), plus.multipliers[1], plus.shifts[1]) for c in plus.constant.tolist()]
    pairs = [number for pair in zip(factors, summands, strict=True) for number in pair]
    return StepNumbers(bias=middle + pairs, multipliers=multipliers, shifts=shifts,
                       encoding=(TIMES if times is not None else 0) | (PLUS if plus is not None else 0), **common)
