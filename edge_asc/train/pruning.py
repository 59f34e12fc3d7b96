"""Magnitude pruning with tensorflow-model-optimization on the paper's schedule, counted in epochs.

tfmot's own PolynomialDecay counts steps from 1 and so updates one batch before the epoch that is meant; the
schedule here looks the formula up by epoch and updates on the first batch of each due epoch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_asc.train.dropout import repeatable_dropouts
from edge_asc.train.execution import PLAIN, Execution
from edge_asc.train.execution_layers import executed
from edge_asc.train.keras2 import keras, tf, tfmot
from edge_asc.train.models import kernels
from edge_asc.train.recipe_parts import Pruning

_sparsity = tfmot.sparsity.keras


class EpochSchedule(_sparsity.PruningSchedule):  # type: ignore[name-defined]
    """`Pruning.sparsity` at every due epoch, for tfmot, which counts batches from 1.

    Args:
        pruning: The formula and its epochs.
        n_steps: Batches in one epoch.
    """

    def __init__(self, pruning: Pruning, *, n_steps: int) -> None:
        self.pruning, self.n_steps = pruning, n_steps
        self._sparsity = np.array([pruning.sparsity(epoch) for epoch in range(pruning.end_epoch + 1)], np.float32)
        self._due = np.array([pruning.is_due(epoch) for epoch in range(pruning.end_epoch + 1)])

    def __call__(self, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch = tf.cast(step, tf.int64) - 1
        epoch = tf.minimum(batch // self.n_steps, self.pruning.end_epoch)
        is_first = tf.equal(batch, epoch * self.n_steps)
        return is_first & tf.gather(self._due, epoch), tf.gather(self._sparsity, epoch)

    def get_config(self) -> dict[str, Any]:
        """Only for tfmot's interface: pruned models are saved without their wrappers."""
        return {"class_name": type(self).__name__, "config": {"n_steps": self.n_steps}}


def wrap(model: keras.Model, pruning: Pruning, *, n_steps: int, seed: int, step: tf.Variable,
         execution: Execution = PLAIN) -> keras.Model:
    """A model for training around the same variables: prunable layers wrapped by tfmot, dropout made repeatable.

    What is trained and masked is `model` itself, so nothing has to be stripped afterwards, however a step is computed.
    """
    schedule = EpochSchedule(pruning, n_steps=n_steps) if pruning.enabled else None
    dropout = repeatable_dropouts(seed=seed, step=step)

    def replace(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.layers.Dropout):
            return dropout(layer)
        own = new_layer(layer)
        if schedule is not None and layer.name in prunable:
            # Left to itself, tfmot's wrapper would have every map in bfloat16 made float32, and back.
            return _sparsity.prune_low_magnitude(own, pruning_schedule=schedule, autocast=False)
        return own

    new_layer, prunable = executed(model, execution), kernels(model)
    wrapped = keras.models.clone_model(model, clone_function=replace)
    set_step(wrapped, 0)
    return wrapped


def _wrappers(wrapped: keras.Model) -> list[Any]:
    return [layer for layer in wrapped.layers if hasattr(layer, "pruning_vars")]


def set_step(wrapped: keras.Model, step: int) -> None:
    """Tells tfmot how many batches were trained; a resumed run needs it."""
    for layer in _wrappers(wrapped):
        layer.pruning_step.assign(step)


def mask_variables(wrapped: keras.Model) -> list[tf.Variable]:
    """Masks and thresholds, the part of tfmot's state that is not in the plain model."""
    return [variable for layer in _wrappers(wrapped) for _, mask, threshold in layer.pruning_vars
            for variable in (mask, threshold)]


def apply_masks(wrapped: keras.Model) -> None:
    """Zeroes what is masked: the last gradient step of an epoch has moved those weights off zero."""
    for layer in _wrappers(wrapped):
        for weight, mask, _ in layer.pruning_vars:
            weight.assign(weight * mask)


def kernel_sparsity(model: keras.Model) -> float:
    """Share of exact zeros among all kernel weights, counted in the weights themselves."""
    weights = [kernel.numpy() for kernel in kernels(model).values()]
    return 1.0 - sum(int(np.count_nonzero(weight)) for weight in weights) / sum(weight.size for weight in weights)
