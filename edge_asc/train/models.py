"""The two families of networks of Ooi et al. 2020, `V(a,b,c,d)` and `I(p,q,r)`, for any depths and widths.

The paper's figures were reconciled with its published parameter counts (2, 3 and 4 of its tables): six depths are
reproduced exactly. `x0.5` behind the depths halves every number of filters and hidden units; the paper has no such
thing. Every initial weight comes from the one `seed`, so a member can be built again bit for bit.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_asc.errors import RecipeError
from edge_asc.train.keras2 import keras

INPUT_SHAPE = (48, 467, 1)
V_FILTERS = (12, 16, 20, 24)
V_HEAD_FILTERS = 28
I_FILTERS = 16
DENSE_UNITS = 20
MIN_WIDTH, MAX_WIDTH = 0.05, 8
_DEPTHS = {"V": 4, "I": 3}


@dataclass(frozen=True)
class Architecture:
    """A family and its depths: `V` with four (modules per filter count) or `I` with three."""

    family: str
    depths: tuple[int, ...]
    width: float = 1.0
    """Factor on every number of filters and hidden units."""

    def __str__(self) -> str:
        return f"{self.family}({','.join(map(str, self.depths))})" + (f"x{self.width:g}" if self.width != 1 else "")

    def scaled(self, n: int) -> int:
        """A number of filters or units of the paper at this width: rounded, a half up, and never none."""
        return max(1, math.floor(n * self.width + 0.5))


def parse_architecture(text: str) -> Architecture:
    """Reads `"V(2,2,3,3)"`, `"I(2,1,2)"` or, at half the width, `"V(2,2,3,3)x0.5"`; blanks and case do not matter.

    Raises:
        RecipeError: It is none of these, has another number of depths or an impossible width.
    """
    match = re.fullmatch(r"([VI])\((\d+(?:,\d+)*)\)(?:X(\d+(?:\.\d{1,3})?))?", re.sub(r"\s", "", text).upper())
    depths = tuple(int(depth) for depth in match[2].split(",")) if match else ()
    width = float(match[3] or 1) if match else 0.0
    if not match or len(depths) != _DEPTHS[match[1]] or not MIN_WIDTH <= width <= MAX_WIDTH:
        raise RecipeError("unknown architecture", found=repr(text),
                          wanted=f"V(a,b,c,d) or I(p,q,r) with depths from 0, and if any a width from {MIN_WIDTH} to "
                          f"{MAX_WIDTH} with three decimals", fix="For example V(2,2,3,3), I(2,1,2) or V(2,2,3,3)x0.5.")
    return Architecture(match[1], depths, width)


def require_input(architecture: Architecture, *, n_mels: int, n_frames: int) -> None:
    """Raises RecipeError if pooling would leave nothing of such an input; `I` pads and always leaves something."""
    least = 2 ** len(V_FILTERS) if architecture.family == "V" else 1
    if min(n_mels, n_frames) < least:
        raise RecipeError(f"{architecture} halves its input four times and nothing is left",
                          found=f"{n_mels} bands x {n_frames} frames", wanted=f"at least {least} x {least}")


def build(architecture: str, *, input_shape: tuple[int, int, int] = INPUT_SHAPE, n_labels: int = 3, l2: float = 1e-3,
          dropout: float = 0.5, norm_momentum: float = 0.99, seed: int = 0) -> keras.Model:
    """An untrained network: features [n, n_mels, n_frames, 1] -> class probabilities [n, n_labels].

    Args:
        architecture: `V(a,b,c,d)` or `I(p,q,r)`, with a width such as `x0.5` behind it or without.
        input_shape: Bands, frames, 1.
        l2: Weight decay on every kernel of a convolution or dense layer; in `I` not on the last, as the authors ran it.
        dropout: Before both dense layers.
        norm_momentum: How slowly BatchNorm's moving statistics follow.
        seed: All initial weights come from it.

    Raises:
        RecipeError: The architecture is unknown, or the input is so small that pooling leaves nothing.
    """
    parsed = parse_architecture(architecture)
    parts = _Parts(l2, dropout, norm_momentum, np.random.SeedSequence([seed, *parsed.depths]))
    inputs = keras.Input(input_shape, name="features")
    network = _vgg if parsed.family == "V" else _inception
    outputs = network(parts, inputs, parsed, n_labels)
    return keras.Model(inputs, outputs, name=re.sub(r"[(,)]+", "_", str(parsed)).strip("_"))


def count_parameters(model: keras.Model) -> int:
    """Every variable's values, moving means and variances of BatchNorm included, as the paper counts."""
    return int(sum(np.prod(weight.shape) for weight in model.weights))


def count_nonzero(model: keras.Model) -> int:
    """Every value that is not exactly zero, BatchNorm included. On a fresh network zero biases are not counted."""
    return int(sum(np.count_nonzero(weight.numpy()) for weight in model.weights))


def count_macs(model: keras.Model) -> tuple[int, int]:
    """Multiplications for one window in convolutions and dense layers: all, and those by weights that are not zero."""
    n_all = n_nonzero = 0
    for layer in model.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            kernel, n_places = layer.kernel.numpy(), int(np.prod(layer.output_shape[1:-1]))
            n_all += n_places * kernel.size
            n_nonzero += n_places * int(np.count_nonzero(kernel))
    return n_all, n_nonzero


def kernels(model: keras.Model) -> dict[str, Any]:
    """The variables that pruning thins: layer name -> kernel, convolutions and dense layers alike."""
    return {layer.name: layer.kernel for layer in model.layers
            if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense))}


class _Parts:
    """Layers with the settings that all of them share, each with an initialiser seed of its own."""

    def __init__(self, l2: float, dropout: float, norm_momentum: float, seeds: np.random.SeedSequence) -> None:
        self._l2, self._dropout, self._norm_momentum, self._seeds = l2, dropout, norm_momentum, seeds

    def _kernel(self, *, decay: bool = True) -> dict[str, Any]:
        seed = int(self._seeds.spawn(1)[0].generate_state(1)[0] % 2**31)
        return {"kernel_initializer": keras.initializers.GlorotUniform(seed=seed),
                "kernel_regularizer": keras.regularizers.L2(self._l2) if decay and self._l2 else None}

    def conv(self, x: Any, n_filters: int, size: int, *, stride: int = 1, relu: bool = True) -> Any:
        return keras.layers.Conv2D(n_filters, size, strides=stride, padding="same",
                                   activation="relu" if relu else None, **self._kernel())(x)

    def conv_norm_relu(self, x: Any, n_filters: int, size: int) -> Any:
        return self.norm_relu(self.conv(x, n_filters, size, relu=False))

    def norm_relu(self, x: Any) -> Any:
        return keras.layers.ReLU()(self.norm(x))

    def norm(self, x: Any) -> Any:
        return keras.layers.BatchNormalization(momentum=self._norm_momentum)(x)

    def dense(self, x: Any, n_units: int, activation: str | None, *, decay: bool = True) -> Any:
        return keras.layers.Dense(n_units, activation=activation, **self._kernel(decay=decay))(x)

    def dropout(self, x: Any) -> Any:
        return keras.layers.Dropout(self._dropout)(x)


def _vgg(parts: _Parts, x: Any, architecture: Architecture, n_labels: int) -> Any:
    require_input(architecture, n_mels=x.shape[1], n_frames=x.shape[2])
    for n_filters, depth in zip(V_FILTERS, architecture.depths, strict=True):
        for _ in range(depth):
            x = parts.conv_norm_relu(x, architecture.scaled(n_filters), 3)
        x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Flatten()(parts.conv_norm_relu(x, architecture.scaled(V_HEAD_FILTERS), 1))
    x = parts.norm_relu(parts.dense(parts.dropout(x), architecture.scaled(DENSE_UNITS), None))
    return parts.dense(parts.dropout(x), n_labels, "softmax")


def _inception(parts: _Parts, x: Any, architecture: Architecture, n_labels: int) -> Any:
    def pool(x: Any, *, stride: int = 2) -> Any:
        return keras.layers.MaxPooling2D(3, strides=stride, padding="same")(x)

    def block(x: Any, n_filters: int) -> Any:
        three = parts.conv(parts.conv(x, n_filters, 1), n_filters, 3)
        five = parts.conv(parts.conv(x, n_filters, 1), n_filters, 5)
        pooled = parts.conv(pool(x, stride=1), n_filters, 1)
        return keras.layers.Concatenate()([three, five, pooled])

    p, q, r = architecture.depths
    few, many = architecture.scaled(I_FILTERS), architecture.scaled(2 * I_FILTERS)
    x = parts.norm(pool(parts.conv(x, few, 7, stride=2)))
    x = parts.conv(parts.conv(x, few, 1), few, 3)
    x = pool(parts.norm(x))
    for n_filters in [few] * p + [many] * q:
        x = block(x, n_filters)
    x = pool(x)
    for _ in range(r):
        x = block(x, many)
    x = keras.layers.AveragePooling2D(3, strides=2, padding="same")(pool(x))
    x = parts.dense(parts.dropout(keras.layers.Flatten()(x)), architecture.scaled(DENSE_UNITS), "relu")
    return parts.dense(parts.dropout(x), n_labels, "softmax", decay=False)
