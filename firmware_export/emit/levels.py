"""Levels in dB as the members' 8-bit input tensor holds them: the numbers behind asc_frontend_quantise() in C."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asc.spec import FeatureSpec


@dataclass(frozen=True, kw_only=True)
class InputQuantization:
    """Of the members' input tensor: level in dB = scale * (q - zero_point), q being an int8."""

    scale: float
    zero_point: int


def fixed_quantiser(quantization: InputQuantization) -> tuple[int, int, int]:
    """(factor, offset, shift): q = (level in 1/256 dB * factor + offset) >> shift, all within 32 bits."""
    shift = 21 + math.frexp(quantization.scale)[1]
    return round(2**shift / (256 * quantization.scale)), round((quantization.zero_point + 0.5) * 2**shift), shift


def quantise_window(levels: NDArray[Any], spec: FeatureSpec, quantization: InputQuantization) -> NDArray[np.int8]:
    """What the C makes of the levels of a window: quantised, then clamped to `top_db` below the loudest.

    Args:
        levels: [n_mels, n], not clamped: float32 in dB, or int16 in 1/256 dB as the integer front end has them.
        spec: The front end.
        quantization: Of the members' input tensor.

    Returns:
        int8 [n, n_mels], the order in which the C keeps a window; bit for bit what a member sees there.
    """
    is_fixed = levels.dtype == np.int16
    window = _quantised(levels.T.astype(np.int32) if is_fixed else levels.T, quantization)
    if spec.top_db is None or levels.size == 0:
        return window
    loudest = levels.max(keepdims=True)
    floor = loudest.astype(np.int32) - round(spec.top_db * 256) if is_fixed else loudest - np.float32(spec.top_db)
    return np.maximum(window, _quantised(floor, quantization))


def _quantised(levels: NDArray[Any], quantization: InputQuantization) -> NDArray[np.int8]:
    q: NDArray[Any]
    if levels.dtype == np.int32:
        factor, offset, shift = fixed_quantiser(quantization)
        q = np.clip((levels * factor + offset) >> shift, -128, 127)
    else:
        raised = levels * np.float32(1 / quantization.scale) + np.float32(quantization.zero_point + 128.5)
        q = np.clip(raised, 0, 255).astype(np.int32) - 128
    return q.astype(np.int8)
