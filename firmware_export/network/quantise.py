"""TFLite's integer arithmetic as far as it happens before run time: real scales -> 31-bit multipliers and shifts.

Formulas: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", section 2.2; which products are taken in float32 and which in float64 follows TFLite Micro, whose results
the generated C equals bit for bit.
"""

from __future__ import annotations

import math

import numpy as np


def quantise_multiplier(real: float) -> tuple[int, int]:
    """A real factor as (multiplier, shift): real ~ multiplier / 2**31 * 2**shift, multiplier in [2**30, 2**31)."""
    if real == 0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * (1 << 31) + 0.5)
    if multiplier == 1 << 31:
        multiplier, shift = multiplier // 2, shift + 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def rescale(value: int, multiplier: int, shift: int) -> int:
    """What asc_rescale (asc_requant.h) gives: the high half of the doubled product, then a shift, both rounded."""
    high = (value * (1 << max(0, shift)) * multiplier + (1 << 30)) >> 31
    mask = (1 << max(0, -shift)) - 1
    return (high >> max(0, -shift)) + ((high & mask) > (mask >> 1) + (high < 0))


def product_scale(input_scale: np.float32, weight_scale: np.float32, output_scale: np.float32) -> float:
    """What turns an accumulator into an output step: products and quotients in float64."""
    return float(input_scale) * float(weight_scale) / float(output_scale)


def activation_range(name: str, *, scale: np.float32, zero_point: int) -> tuple[int, int] | None:
    """The int8 values that a fused activation leaves, lowest and highest; None for one that is not a clamp."""
    def quantised(value: float) -> int:
        steps = np.float32(value) / scale
        return zero_point + math.floor(float(abs(steps)) + 0.5) * (1 if steps >= 0 else -1)
    bounds = {"NONE": (-128, 127), "RELU": (quantised(0), 127), "RELU6": (quantised(0), quantised(6)),
              "RELU_N1_TO_1": (quantised(-1), quantised(1))}
    if name not in bounds:
        return None
    low, high = bounds[name]
    return max(-128, low), min(127, high)


def softmax_numbers(beta: float, input_scale: np.float32) -> tuple[int, int, int]:
    """(multiplier, left shift, least difference): the input scaled to 5 integer bits, below which it counts as 0."""
    real = min(beta * float(input_scale) * (1 << 26), float((1 << 31) - 1))
    multiplier, shift = quantise_multiplier(real)
    return multiplier, shift, -math.floor(31 * (1 << 26) / (1 << shift)) if shift >= 0 else -(1 << 31)
