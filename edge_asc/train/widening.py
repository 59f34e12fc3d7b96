"""Training in channel counts that the processor likes: V's 12 and 20 channels computed as 16 and 24, or 16 and 32.

oneDNN has fast convolutions and batch normalisation for whole vectors of channels, and slow ones for the rest:
BatchNorm over 12 channels takes many times as long as over 16. The channels added are zero and stay zero, no variable
changes its shape, and the network is the same function; what changes is its rounding, and how long a step takes.
"""

from __future__ import annotations

from typing import Any

from edge_asc.train.keras2 import keras, tf


def can_widen(model: keras.Model) -> bool:
    """Whether no layer puts the channels of several others side by side, zeros between them."""
    return not any(isinstance(layer, keras.layers.Concatenate) for layer in model.layers)


def widened(layer: keras.layers.Layer, multiple: int) -> keras.layers.Layer:
    """A layer around the same variables that computes with channels rounded up to a multiple.

    Args:
        layer: Built, and of a network of which `can_widen` is true.
        multiple: 1 gives every layer back as it is.
    """
    if multiple == 1:
        return layer
    if isinstance(layer, keras.layers.Conv2D):
        return WideConv2D(layer, multiple)
    if isinstance(layer, keras.layers.BatchNormalization) and len(layer.input_shape) == 4:
        return WideBatchNormalization(layer)
    if isinstance(layer, keras.layers.Flatten):
        return NarrowFlatten(layer.input_shape[-1], name=layer.name)
    if layer.weights:
        return layer
    # Poolings and the like take any number of channels, but one layer is to have one shape.
    return type(layer).from_config(layer.get_config())


class WideConv2D(keras.layers.Layer):
    """A 'same'-padded convolution with zero filters added."""

    def __init__(self, conv: keras.layers.Conv2D, multiple: int) -> None:
        super().__init__(name=conv.name)
        self._conv, self._multiple = conv, multiple

    def get_prunable_weights(self) -> list[tf.Variable]:
        """What tfmot prunes."""
        return [self._conv.kernel]

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[n, height, width, channels], wide -> the same."""
        n_in, n_out = self._conv.kernel.shape[2:]
        n_more = -n_out % self._multiple
        kernel = tf.pad(self._conv.kernel, [[0, 0], [0, 0], [0, inputs.shape[-1] - n_in], [0, n_more]])
        outputs = tf.nn.conv2d(inputs, kernel, self._conv.strides, "SAME")
        return self._conv.activation(tf.nn.bias_add(outputs, tf.pad(self._conv.bias, [[0, n_more]])))


class WideBatchNormalization(keras.layers.Layer):
    """Batch normalisation that keeps zero channels zero."""

    def __init__(self, norm: keras.layers.BatchNormalization) -> None:
        super().__init__(name=norm.name)
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
    """Flattens the true channels alone."""

    def __init__(self, n_channels: int, *, name: str) -> None:
        super().__init__(name=name)
        self._n_channels = n_channels

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[n, height, width, channels], wide -> [n, height * width * true channels]."""
        _, height, width, _ = inputs.shape
        return tf.reshape(inputs[..., :self._n_channels], [-1, height * width * self._n_channels])
