"""int8 in, int8 out: the two formulas of TFLite's affine quantisation, used by every engine and by the C exporter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_JUST_BELOW_A_HALF = np.nextafter(np.float32(0.5), np.float32(0))


def quantize(values: NDArray[np.float32], *, scale: float, zero_point: int) -> NDArray[np.int8]:
    """round(values / scale) + zero_point, clipped to int8; halves go away from zero, as std::round in TFLite's
    QUANTIZE kernel, and the division is done in float32 as there."""
    steps: NDArray[np.float32] = np.asarray(values, np.float32) / np.float32(scale)
    # Not 0.5: the sum itself would round 0.49999997 up to 1. This one reaches the next integer from a half on.
    steps += np.copysign(_JUST_BELOW_A_HALF, steps)
    np.trunc(steps, out=steps)
    steps += np.float32(zero_point)
    return np.clip(steps, -128, 127, out=steps).astype(np.int8)


def dequantize(values: NDArray[np.int8], *, scale: float, zero_point: int) -> NDArray[np.float32]:
    """(values - zero_point) * scale in float32."""
    return (values.astype(np.int32) - np.int32(zero_point)).astype(np.float32) * np.float32(scale)
