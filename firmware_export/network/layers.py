"""A member's network as plain layers and arrays: what stands between TFLite files and C.

Rows are mel bands, columns are frames: TFLite's [1, rows, columns, channels].
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Activation:
    """What flows between layers. A vector of n values is n rows, one column, one channel."""

    index: int
    name: str
    shape: Shape
    """Rows, columns, channels."""
    scale: np.float32
    zero_point: int

    @property
    def n_values(self) -> int:
        """Product of the shape."""
        return self.shape[0] * self.shape[1] * self.shape[2]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One operator. `inputs` and `output` are keys of `Network.activations`; `low` and `high` clamp the output."""

    name: str
    inputs: tuple[int, ...]
    output: int
    low: int = -128
    high: int = 127


@dataclass(frozen=True, kw_only=True)
class Conv(Layer):
    """Convolution, or depthwise convolution if `depth_multiplier` is not 0."""

    weights: NDArray[np.int8]
    """[output channel, kernel row, kernel column, input channel]; the last is 1 for depthwise."""
    bias: NDArray[np.int64]
    multipliers: NDArray[np.int64]
    shifts: NDArray[np.int64]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pad: tuple[int, int, int, int]
    """Rows above and below, columns before and after."""
    depth_multiplier: int = 0


@dataclass(frozen=True, kw_only=True)
class Dense(Layer):
    """Fully connected: every value of the input, in TFLite's order, to every output."""

    weights: NDArray[np.int8]
    """[output, input]"""
    bias: NDArray[np.int64]
    multipliers: NDArray[np.int64]
    shifts: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Pool(Layer):
    """Maximum or average over a rectangle; values outside the input do not count."""

    kind: str
    """"max" or "average"."""
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int]
    """Rows above, columns before."""


@dataclass(frozen=True, kw_only=True)
class Concat(Layer):
    """Channels of several inputs side by side."""


@dataclass(frozen=True, kw_only=True)
class Reshape(Layer):
    """The same values in the same order under another shape."""


@dataclass(frozen=True, kw_only=True)
class Pad(Layer):
    """Zero points around the input."""

    pad: tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Rescale(Layer):
    """Another scale and zero point, with a clamp: QUANTIZE and the RELU family."""

    multiplier: int
    shift: int


@dataclass(frozen=True, kw_only=True)
class Add(Layer):
    """Sum of two inputs of one shape, or of an input and a constant: first, second and sum are each scaled."""

    multipliers: tuple[int, int, int]
    shifts: tuple[int, int, int]
    constant: NDArray[np.int64] | None
    """One per channel, its zero point subtracted; None: the second input is an activation."""


@dataclass(frozen=True, kw_only=True)
class Multiply(Layer):
    """Product of an input and a constant."""

    multiplier: int
    shift: int
    constant: NDArray[np.int64]
    """One per channel, its zero point subtracted."""


@dataclass(frozen=True, kw_only=True)
class Softmax(Layer):
    """Over a vector."""

    multiplier: int
    shift: int
    least_difference: int


@dataclass(frozen=True)
class Network:
    """One member."""

    name: str
    activations: dict[int, Activation] = field(repr=False)
    layers: tuple[Layer, ...] = field(repr=False)
    input: int
    output: int

    def structure(self) -> object:
        """Equal for two networks that differ only in weights and quantisation: they share one plan."""
        skip = {"weights", "bias", "multipliers", "shifts", "multiplier", "shift", "least_difference", "low", "high",
                "constant"}
        return (self.input, self.output, {key: a.shape for key, a in self.activations.items()},
                [(type(layer).__name__, getattr(layer, "weights", np.zeros(0)).shape,
                  {f.name: getattr(layer, f.name) for f in dataclasses.fields(layer) if f.name not in skip})
                 for layer in self.layers])
