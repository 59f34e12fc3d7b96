"""Fine-tuning of a pruned member with int8's rounding in the network: what `[quantization] aware_epochs` asks for.

It begins with the last epoch's weights and leaves its files in the member's folder `aware/`: the plain network, the
ranges of its activations, the probabilities that it gives plain and rounded, its history. Killed, it goes on as the
training before it does.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from edge_asc.atomic import replacing
from edge_asc.errors import TrainingError
from edge_asc.train import rounding
from edge_asc.train.batches import Splits
from edge_asc.train.dropout import repeatable_dropouts
from edge_asc.train.execution import Execution
from edge_asc.train.keras2 import keras, tf
from edge_asc.train.member import MemberTraining, save_model
from edge_asc.train.models import kernels
from edge_asc.train.progress import Reporter
from edge_asc.train.recipe_parts import Pruning
from edge_asc.train.recipes import Recipe
from edge_asc.train.run import RANGES
from edge_asc.train.training_data import representative_windows

_SEED_STEP = 100_000
"""Other draws than those of the training before."""


class AwareTraining(MemberTraining):
    """As `MemberTraining`, of the network in a .keras file, rounding as in int8; its rows are judged rounded."""

    def __init__(self, name: str, *, source: Path, recipe: Recipe, splits: Splits, folder: Path,
                 progress: Reporter) -> None:
        self._source = source
        settings = dataclasses.replace(recipe.training, epochs=recipe.quantization.aware_epochs,
                                       learning_rate=recipe.quantization.learning_rate,
                                       final_learning_rate=recipe.quantization.final_learning_rate)
        # Nothing is pruned further; the rounding keeps zeros.
        super().__init__(name, recipe=dataclasses.replace(recipe, training=settings, pruning=Pruning(final_sparsity=0)),
                         splits=splits, folder=folder, progress=progress, seed=recipe.member_seed(name) + _SEED_STEP,
                         n_epochs_before=recipe.training.epochs)
        self.name = f"{name}, aware of int8"
        self._zeros = {layer: kernel.numpy() == 0 for layer, kernel in kernels(self.model).items()}
        rounding.calibrate(self._wrapped, representative_windows(recipe, splits))
        self._predict_plain = self._predict_batch
        self._predict_batch = tf.function(lambda x: self._wrapped(x, training=False),
                                          input_signature=self._predict_plain.input_signature)

    def _build(self) -> keras.Model:
        return keras.models.load_model(self._source, compile=False)

    def _wrap(self, execution: Execution) -> keras.Model:
        return rounding.wrap(self.model, dropout=repeatable_dropouts(seed=self.seed, step=self._step))

    def _variables(self) -> list[tf.Variable]:
        return [*super()._variables(), *rounding.range_variables(self._wrapped).values()]

    def _finish(self) -> dict[str, Any]:
        for layer, kernel in kernels(self.model).items():
            if np.any(kernel.numpy()[self._zeros[layer]]):
                raise TrainingError(f"{self.name}: a pruned weight of {layer} is not zero any more",
                                    fix="This is a bug; please report it.")
        rounded = self.predict(self.splits.validation)
        self._predict_batch = self._predict_plain
        save_model(self.model, self.folder / "last.keras")
        ranges = {place: variable.numpy() for place, variable in rounding.range_variables(self._wrapped).items()}
        arrays = {RANGES: ranges, "validation.npz": {"last": self.predict(self.splits.validation), "rounded": rounded}}
        for file_name, content in arrays.items():
            with replacing(self.folder / file_name) as file:
                np.savez(file, **content)
        return {"epochs": self.recipe.training.epochs, "learning_rate": self.recipe.training.learning_rate,
                "n_kernel_zeros": int(sum(zeros.sum() for zeros in self._zeros.values())), "last": self.rows[-1]}
