"""Layers around a network's own variables that compute the same function in another way, as an `Execution` says.

* Channel counts that the processor likes: V's 12 and 20 channels computed as 16 and 24, or 16 and 32. oneDNN has fast
  convolutions and batch normalisation for whole vectors of channels, and slow ones for the rest. The channels added
  are zero and stay zero.
* 1x1 convolutions as matrix products: oneDNN's gradient of their kernels takes up to six times as long as the product.
* Maps in bfloat16: half the memory to move, and twice the products in an instruction where the processor has them.

No variable changes its shape or its precision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_asc.train.execution import Execution
from edge_asc.train.keras2 import keras, tf

NewLayer = Callable[[keras.layers.Layer], keras.layers.Layer]


def executed(model: keras.Model, execution: Execution) -> NewLayer:
    """What stands for each layer of a built network in a step computed that way; the layer itself where nothing is
    to change. No channels are added where some layer puts those of several others side by side, zeros between them."""
    joins = any(isinstance(layer, keras.layers.Concatenate) for layer in model.layers)
    multiple = 1 if joins else execution.channel_multiple
    changes_maps = multiple > 1 or execution.precision != "float32"

    def replace(layer: keras.layers.Layer) -> keras.layers.Layer:
        is_map = len(layer.output_shape) == 4
        if isinstance(layer, keras.layers.Conv2D):
            as_matrix = execution.pointwise_matmul and layer.kernel_size == layer.strides == (1, 1)
            return (Convolution(layer, multiple=multiple, as_matrix=as_matrix, precision=execution.precision)
                    if changes_maps or as_matrix else layer)
        if not changes_maps:
            return layer
        if isinstance(layer, keras.layers.BatchNormalization) and is_map:
            return Normalization(layer, precision=execution.precision)
        if isinstance(layer, keras.layers.Flatten):
            return NarrowFlatten(layer, precision=execution.precision)
        if layer.weights:
            return layer
        # Poolings and the like take any number of channels, but one layer is to have one shape.
        return type(layer).from_config({**layer.get_config(), "dtype": execution.precision if is_map else "float32"})

    return replace


class Convolution(keras.layers.Layer):
    """A 'same'-padded convolution: zero filters added, as a matrix product, or in lower precision.

    The features come in as float32 and are convolved in float32: rounded to bfloat16 they would be off by up to a
    quarter of a decibel. Only what comes out is rounded.
    """

    def __init__(self, conv: keras.layers.Conv2D, *, multiple: int, as_matrix: bool, precision: str) -> None:
        super().__init__(name=conv.name, dtype=precision, autocast=False)
        self._conv, self._multiple, self._as_matrix = conv, multiple, as_matrix

    def get_prunable_weights(self) -> list[tf.Variable]:
        """What tfmot prunes."""
        return [self._conv.kernel]

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[n, height, width, channels], wide -> the same."""
        n_in, n_out = self._conv.kernel.shape[2:]
        n_more = -n_out % self._multiple
        kernel = tf.pad(self._conv.kernel, [[0, 0], [0, 0], [0, inputs.shape[-1] - n_in], [0, n_more]])
        kernel, bias = (tf.cast(each, inputs.dtype) for each in (kernel, tf.pad(self._conv.bias, [[0, n_more]])))
        sums = _product(inputs, kernel) if self._as_matrix else tf.nn.conv2d(inputs, kernel, self._conv.strides, "SAME")
        return tf.cast(self._conv.activation(tf.nn.bias_add(sums, bias)), self.compute_dtype)


def _product(inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """A 1x1 convolution."""
    _, height, width, n_in = inputs.shape
    rows = tf.matmul(tf.reshape(inputs, [-1, n_in]), tf.reshape(kernel, kernel.shape[2:]))
    return tf.reshape(rows, [-1, height, width, kernel.shape[-1]])


class Normalization(keras.layers.Layer):
    """Batch normalisation that keeps zero channels zero."""

    def __init__(self, norm: keras.layers.BatchNormalization, *, precision: str) -> None:
        super().__init__(name=norm.name, dtype=precision)
        self._norm = norm

    def call(self, inputs: tf.Tensor, training: bool = False) -> Any:
        """[n, height, width, channels], wide -> the same."""
        norm = self._norm
        n = norm.gamma.shape[0]
        gamma, beta, mean, variance = (tf.pad(variable, [[0, inputs.shape[-1] - n]]) for variable in (
            norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance))
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, gamma, beta, mean, variance, epsilon=norm.epsilon, is_training=training,
            exponential_avg_factor=1 - norm.momentum if training else 1.0)
        if training:
            norm.moving_mean.assign(mean[:n])
            norm.moving_variance.assign(variance[:n])
        return outputs


class NarrowFlatten(keras.layers.Layer):
    """Flattens the true channels alone, for dense layers in float32."""

    def __init__(self, flatten: keras.layers.Flatten, *, precision: str) -> None:
        super().__init__(name=flatten.name, dtype=precision)
        self._n_channels = flatten.input_shape[-1]

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[n, height, width, channels], wide -> [n, height * width * true channels]."""
        _, height, width, _ = inputs.shape
        flat = tf.reshape(inputs[..., :self._n_channels], [-1, height * width * self._n_channels])
        return tf.cast(flat, tf.float32)
