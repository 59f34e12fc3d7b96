"""A network that rounds as its int8 file will, for training that keeps pruned weights zero (tfmot calls it PQAT).

The rounding is tfmot's: the kernel quantiser of `Default8BitPrunePreserveQuantizeScheme`, which masks what was zero,
and its moving ranges. Its `quantize_apply` is not used; tried on these networks (tfmot 0.8.1, TensorFlow 2.21):

* I: refused; a BatchNorm behind a pool or a ReLU is not supported. Here it is the MUL and ADD that TFLite makes of it.
* V: the converter leaves the dense layer with a BatchNorm in float32, as its kernel has one scale for all channels.
  Here it has one for each, as after training. (And the converter fails on the rounding of such a kernel inside the
  graph, so what is converted leaves kernels as they are: it finds the same scales and whole numbers by itself.)
* Ranges begin at -6..6 and move by a thousandth a step, which never reaches decibels. Here they begin at what
  representative windows show. The input's stays there, the same for all members, which share one quantised window.
* An average pool gets a range of its own, and so an operator that converts between the two; TFLite wants one.
* Layers are copied, dropout with them, so that training could not go on after a kill as if nothing had happened. Here
  the layers of the plain network are used: what is trained is that network itself.

BatchNorm keeps its statistics: what is trained is then what the device computes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_asc.train.dropout import NewDropout
from edge_asc.train.keras2 import keras, tf, tfmot

Float32 = npt.NDArray[np.float32]

_layers, _quantizers = keras.layers, tfmot.quantization.keras.quantizers
_ASYMMETRIC: dict[str, Any] = {"num_bits": 8, "per_axis": False, "symmetric": False, "narrow_range": False}
_MOVING = _quantizers.MovingAverageQuantizer(**_ASYMMETRIC)
_COLLECTING = _quantizers.AllValuesQuantizer(**_ASYMMETRIC)
_CONSTANT = _quantizers.LastValueQuantizer(**_ASYMMETRIC)


@functools.cache
def _kernel_quantizer() -> Any:
    """The quantiser of kernels with a scale for each channel; tfmot gives it away for a convolution with weights.

    Not made on import: it sets TensorFlow to work, after which nobody can choose its threads.
    """
    layer = _layers.Conv2D(1, 1)
    layer.build((None, 1, 1, 1))
    registry = tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme().get_quantize_registry()
    return registry.get_quantize_config(layer).weight_quantizer


def wrap(model: keras.Model, *, dropout: NewDropout | None = None, for_conversion: bool = False) -> keras.Model:
    """A network around the variables of `model` that rounds every tensor which TFLite will have as int8.

    Args:
        model: As loaded from a file: layers of `edge_asc.train.models`, each called once.
        dropout: What stands for a Dropout layer in training; nothing if None.
        for_conversion: Leave constants as they are; the converter rounds them.
    """
    after = {layer.name: [node.outbound_layer for node in layer.outbound_nodes] for layer in model.layers}
    before = {layer.name: [other for other in model.layers if layer in after[other.name]] for layer in model.layers}

    def leads_to(layer: Any, kinds: Any) -> bool:
        return bool(after[layer.name]) and all(isinstance(other, kinds) for other in after[layer.name])

    def replace(layer: Any) -> Any:
        if isinstance(layer, (_layers.Conv2D, _layers.Dense)):
            folds = _is_linear(layer) and leads_to(layer, (_layers.BatchNormalization, _layers.ReLU))
            # What is joined has the range of the whole.
            return _Kernel(layer, rounds_output=not folds and not leads_to(layer, _layers.Concatenate),
                           rounds_constants=not for_conversion)
        if isinstance(layer, _layers.BatchNormalization):
            if _is_linear(before[layer.name][0]):
                return _FoldedNorm(layer, rounds_output=not leads_to(layer, _layers.ReLU))
            return _MultiplyAdd(layer, rounds_constants=not for_conversion)
        if isinstance(layer, (_layers.ReLU, _layers.Concatenate)):
            return _Output(layer)
        if isinstance(layer, _layers.Dropout):
            return dropout(layer) if dropout else _layers.Activation("linear", name=layer.name)
        return layer

    inner = keras.models.clone_model(model, clone_function=replace)
    inputs = keras.Input(model.input_shape[1:])
    return keras.Model(inputs, inner(_Input()(inputs)))


def calibrate(wrapped: keras.Model, windows: Float32) -> None:
    """Set every range to what clamped windows [n, n_mels, n_frames] show."""
    for variable in range_variables(wrapped).values():
        variable.assign(0.0)
    for layer in _rounding(wrapped):
        layer.collects = True
    for start in range(0, len(windows), 32):
        wrapped(windows[start:start + 32, ..., np.newaxis], training=False)
    for layer in _rounding(wrapped):
        layer.collects = False


def range_variables(wrapped: keras.Model) -> dict[str, tf.Variable]:
    """Names -> ends of the ranges of activations; those of constants follow from the constants."""
    return {f"{layer.name}/{tensor}/{end}": ends[f"{end}_var"] for layer in _rounding(wrapped)
            for tensor, ends in layer.ranges.items() for end in ("min", "max")}


def set_ranges(wrapped: keras.Model, ranges: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Ranges as `range_variables` named them.

    Raises:
        KeyError: One is missing.
    """
    for name, variable in range_variables(wrapped).items():
        variable.assign(ranges[name])


def _is_linear(layer: Any) -> bool:
    return (isinstance(layer, (_layers.Conv2D, _layers.Dense))
            and layer.activation is keras.activations.linear)


def _rounding(wrapped: keras.Model) -> Iterator[Any]:
    inner = wrapped.layers[-1]
    return (layer for layer in (*wrapped.layers, *inner.layers) if isinstance(layer, _Rounding))


class _Rounding(keras.layers.Layer):
    """Has activations that are int8 in TFLite, named in `tensors`."""

    tensors: tuple[str, ...] = ("output",)
    collects = False

    def __init__(self, layer: Any = None, *, rounds_constants: bool = True, name: str = "") -> None:
        super().__init__(name=name or layer.name)
        self.layer, self.rounds_constants = layer, rounds_constants
        self.ranges: dict[str, dict[str, tf.Variable]] = {}

    def build(self, input_shape: Any) -> None:
        self.ranges = {tensor: _MOVING.build(None, tensor, self) for tensor in self.tensors}

    def rounded(self, values: Any, tensor: str, training: Any) -> Any:
        if tensor not in self.ranges:
            return values
        if self.collects:
            return _COLLECTING(values, True, weights=self.ranges[tensor])
        return _MOVING(values, bool(training), weights=self.ranges[tensor])


class _Input(_Rounding):
    def __init__(self) -> None:
        super().__init__(name="input")

    def call(self, inputs: Any) -> Any:
        return self.rounded(inputs, "output", training=False)


class _Output(_Rounding):
    """Rounds what a layer without weights gives."""

    def call(self, inputs: Any, training: Any = None) -> Any:
        return self.rounded(self.layer(inputs), "output", training)


class _Kernel(_Rounding):
    """A convolution or dense layer with its kernel rounded, one scale for each channel; zeros stay zero."""

    def __init__(self, layer: Any, *, rounds_output: bool, rounds_constants: bool) -> None:
        super().__init__(layer, rounds_constants=rounds_constants)
        self.tensors = ("output",) if rounds_output else ()

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self._kernel_range = _kernel_quantizer().build(self.layer.kernel.shape, "kernel", self)

    def call(self, inputs: Any, training: Any = None) -> Any:
        layer, kernel = self.layer, self.layer.kernel
        if self.rounds_constants:
            kernel = _kernel_quantizer()(kernel, True, weights=self._kernel_range)
        convolves = isinstance(layer, _layers.Conv2D)
        sums = layer.convolution_op(inputs, kernel) if convolves else tf.matmul(inputs, kernel)
        sums = tf.nn.bias_add(sums, layer.bias)
        if layer.activation is keras.activations.softmax:  # whose output has a fixed range
            return tf.nn.softmax(self.rounded(sums, "output", training))
        return self.rounded(layer.activation(sums), "output", training)


class _FoldedNorm(_Rounding):
    """A BatchNorm that the converter folds into the kernel before it."""

    def __init__(self, layer: Any, *, rounds_output: bool) -> None:
        super().__init__(layer)
        self.tensors = ("output",) if rounds_output else ()

    def call(self, inputs: Any, training: Any = None) -> Any:
        return self.rounded(self.layer(inputs, training=False), "output", training)


class _MultiplyAdd(_Rounding):
    """A BatchNorm that cannot be folded: two operators, each with a constant that has one scale for all channels."""

    tensors = ("product", "output")

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self._constants = {name: _CONSTANT.build(None, name, self) for name in ("factor", "offset")}

    def call(self, inputs: Any, training: Any = None) -> Any:
        norm = self.layer
        factor = norm.gamma * tf.math.rsqrt(norm.moving_variance + norm.epsilon)
        offset = norm.beta - norm.moving_mean * factor
        if self.rounds_constants:
            factor = _CONSTANT(factor, True, weights=self._constants["factor"])
            offset = _CONSTANT(offset, True, weights=self._constants["offset"])
        return self.rounded(self.rounded(inputs * factor, "product", training) + offset, "output", training)
