"""Dropout that a resumed run repeats: the same units drop at the same step, whoever draws them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from edge_asc.train.keras2 import keras, tf

NewDropout = Callable[[keras.layers.Dropout], keras.layers.Layer]


class RepeatableDropout(keras.layers.Dropout):
    """Dropout whose mask follows from a seed and the step alone."""

    def __init__(self, rate: float, *, seed: int, step: tf.Variable, **arguments: Any) -> None:
        super().__init__(rate, **arguments)
        # Behind a function, or Keras would count the step among this layer's weights.
        self._mask_seed = lambda: tf.stack([tf.constant(seed, tf.int64), step])

    def call(self, inputs: Any, training: Any = None) -> Any:
        """As keras.layers.Dropout."""
        if not training or self.rate == 0:
            return inputs
        return tf.nn.experimental.stateless_dropout(inputs, self.rate, self._mask_seed())


def repeatable_dropouts(*, seed: int, step: tf.Variable) -> NewDropout:
    """What stands for a network's Dropout layers in training, one after the other, each with a seed of its own."""
    numbers = itertools.count(1)
    return lambda layer: RepeatableDropout(layer.rate, seed=seed * 100 + next(numbers), step=step, name=layer.name)
