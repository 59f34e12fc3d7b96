"""Training of one member: the loop over epochs, pruning on the way, a checkpoint that any kill leaves whole.

A killed run goes on with the batch after its last checkpoint and ends with the same weights as one that was never
killed: batches, augmentation and dropout follow from (seed, epoch, batch), everything else is in the checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from edge_asc.atomic import replacing
from edge_asc.errors import TrainingError
from edge_asc.train import checkpoint, pruning
from edge_asc.train.batches import Batch, Float32, Splits, Windows, clamped_chunks, n_batches
from edge_asc.train.execution import PLAIN, Execution, family
from edge_asc.train.feed import training_feed
from edge_asc.train.history import Row, TensorBoard, write_csv
from edge_asc.train.keras2 import keras, tf
from edge_asc.train.metrics import Scores, score
from edge_asc.train.models import build, count_nonzero, count_parameters, kernels
from edge_asc.train.progress import Reporter
from edge_asc.train.recipes import Recipe

CHECKPOINT_EVERY_S = 300.0


@dataclass
class _State:
    """What a checkpoint holds besides variables."""

    n_done: int = 0
    """Batches trained."""
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    """Over the windows of the unfinished epoch: cross-entropy, right answers, seconds."""
    rows: list[Row] = field(default_factory=list)
    best_rows: dict[str, Row] = field(default_factory=dict)
    """By split, the row of the epoch at final sparsity that did best on it."""


class MemberTraining:
    """One member being trained. `run` trains to the end or from wherever `folder` holds a checkpoint."""

    def __init__(self, name: str, *, recipe: Recipe, splits: Splits, folder: Path, progress: Reporter,
                 seed: int | None = None, execution: Execution = PLAIN, n_epochs_before: int = 0) -> None:
        self.name, self.recipe, self.splits, self.folder, self.progress = name, recipe, splits, folder, progress
        self.seed, settings = recipe.member_seed(name) if seed is None else seed, recipe.training
        self._n_epochs_before = n_epochs_before
        self.n_windows = settings.windows_per_epoch or len(splits.train)
        self.n_steps = n_batches(self.n_windows, settings.batch_size)
        self._judged = {"validation": splits.validation}
        if splits.selection is not None:
            self._judged["selection"] = splits.selection
        self.model = self._build()
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._wrapped = self._wrap(execution)
        self._learning_rate = _learning_rate(recipe, name, self.n_steps)
        self._optimizer = keras.optimizers.Adam(self._learning_rate, jit_compile=False)
        self._optimizer.build(self.model.trainable_variables)
        self._best_weights: dict[str, list[Any]] = {}
        self._state = _State()
        shape = (None, splits.spec.n_mels, splits.spec.n_frames, 1)
        signature = [tf.TensorSpec(shape, tf.float32), tf.TensorSpec([None], tf.int64)]
        if splits.teacher is not None:
            signature.append(tf.TensorSpec([None, len(splits.labels)], tf.float32))
        self._train_batch = tf.function(self._batch, input_signature=signature, jit_compile=execution.xla or None)
        self._predict_batch = tf.function(lambda x: self.model(x, training=False), input_signature=signature[:1])

    @property
    def checkpoint_path(self) -> Path:
        """Where this member's state is kept."""
        return self.folder / "checkpoint" / "state.npz"

    @property
    def rows(self) -> list[Row]:
        """The figures of every finished epoch."""
        return self._state.rows

    def resume(self) -> None:
        """Goes to where the checkpoint was written, if there is one."""
        if not self.checkpoint_path.is_file():
            return
        groups, meta = checkpoint.load(self.checkpoint_path)
        variables = self._variables()
        if [array.shape for array in groups["variables"]] != [tuple(variable.shape) for variable in variables]:
            raise TrainingError(f"{self.checkpoint_path} does not fit the recipe", found="other variables",
                                fix="Delete it to train this member anew.")
        for variable, array in zip(variables, groups["variables"], strict=True):
            variable.assign(array)
        self._state = _State(**self._in_todays_form(groups, meta))
        self._best_weights = {split: groups[f"best_on_{split}"] for split in self._state.best_rows}
        self._step.assign(self._state.n_done)
        pruning.set_step(self._wrapped, self._state.n_done)
        epoch, batch = divmod(self._state.n_done, self.n_steps)
        self.progress.skip(epoch * self.n_windows + batch * self.recipe.training.batch_size)
        self.progress.say(f"{self.name}: resumed after {epoch} epochs and {batch} batches")

    def run(self) -> dict[str, Any]:
        """Trains all epochs that are left and writes both models; returns what happened, for `state.json`.

        Raises:
            TrainingError: The loss is not a number, or weights that should be zero are not.
            DatasetError: A recording cannot be mixed from any more.
        """
        with (closing(TensorBoard(self.folder / "tensorboard")) as board,
              training_feed(self.splits, self.recipe, seed=self.seed, first=self._state.n_done,
                            n_epochs_before=self._n_epochs_before) as drawn):
            # A checkpoint may lie between an epoch's last batch and its row of figures: the rows count.
            for epoch in range(len(self._state.rows), self.recipe.training.epochs):
                self._train_epoch(epoch, drawn)
                row = self._finish_epoch(epoch)
                board.add(row)
                write_csv(self.folder / "history.csv", self._state.rows)
                self._save()
                self.progress.epoch(_describe(self.name, row, self.recipe.training.epochs))
        return self._finish()

    def predict(self, windows: Windows) -> Float32:
        """Class probabilities [n, n_labels] of the plain, masked model, without dropout or augmentation."""
        found = [np.empty((0, len(self.splits.labels)), np.float32)]
        found += [self._predict_batch(chunk[..., None]).numpy() for chunk in clamped_chunks(windows, self.splits.spec)]
        return np.concatenate(found)

    def _build(self) -> keras.Model:
        settings, spec = self.recipe.training, self.splits.spec
        return build(dict(self.recipe.members)[self.name], n_labels=len(self.splits.labels), l2=settings.l2,
                     seed=self.seed, dropout=settings.dropout, norm_momentum=settings.norm_momentum,
                     input_shape=(spec.n_mels, spec.n_frames, 1))

    def _wrap(self, execution: Execution) -> keras.Model:
        """What is trained: the same variables, with all that belongs to training alone."""
        return pruning.wrap(self.model, self.recipe.pruning, n_steps=self.n_steps, seed=self.seed, step=self._step,
                            execution=execution)

    def _variables(self) -> list[tf.Variable]:
        return [*self.model.weights, *pruning.mask_variables(self._wrapped), *self._optimizer.variables]

    def _batch(self, inputs: tf.Tensor, labels: tf.Tensor,
               answers: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """One step; `answers` are the teacher's. What is told, cross-entropy and right answers, is of the labels."""
        with tf.GradientTape() as tape:
            probabilities = self._wrapped(inputs, training=True)
            losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
            trained = losses
            if answers is not None:
                weight = self.recipe.distillation.weight
                taught = keras.losses.categorical_crossentropy(answers, probabilities)
                trained = (1 - weight) * losses + weight * taught
            loss = tf.add_n([tf.reduce_mean(trained), *self.model.losses])
        weights = self.model.trainable_variables
        self._optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        self._step.assign_add(1)
        right = tf.equal(tf.argmax(probabilities, axis=1), labels)
        return tf.reduce_sum(losses), tf.math.count_nonzero(right)

    def _train_epoch(self, epoch: int, drawn: Iterator[Batch]) -> None:
        state = self._state
        saved_s = clock_s = time.monotonic()
        for inputs, labels in islice(drawn, (epoch + 1) * self.n_steps - state.n_done):
            taught = () if self.splits.teacher is None else (self.splits.teacher(inputs[..., 0]),)
            loss, n_right = (float(value) for value in self._train_batch(inputs, labels, *taught))
            if not np.isfinite(loss):
                raise self._not_finite(inputs, epoch)
            now_s = time.monotonic()
            state.n_done += 1
            state.sums = [state.sums[0] + loss, state.sums[1] + n_right, state.sums[2] + now_s - clock_s]
            clock_s = now_s
            self.progress.advance(len(labels))
            if now_s - saved_s > CHECKPOINT_EVERY_S:
                self._save()
                saved_s = now_s

    def _finish_epoch(self, epoch: int) -> Row:
        pruning.apply_masks(self._wrapped)
        state, n_windows = self._state, self.n_windows
        row: Row = {"epoch": epoch + 1, "seconds": state.sums[2],
                    "learning_rate": float(self._learning_rate(state.n_done - 1)),
                    "kernel_sparsity": pruning.kernel_sparsity(self.model),
                    "cross_entropy": state.sums[0] / n_windows, "accuracy": state.sums[1] / n_windows}
        if (epoch + 1) % self.recipe.training.validate_every_epochs == 0 or epoch + 1 == self.recipe.training.epochs:
            for split, windows in self._judged.items():
                row |= _figures(split, score(self.predict(windows), windows.labels, labels=self.splits.labels))
        state.sums = [0.0, 0.0, 0.0]
        state.rows.append(row)
        at_final_sparsity = not self.recipe.pruning.enabled or epoch >= self.recipe.pruning.end_epoch
        for split in self._judged:
            if at_final_sparsity and _rank(row, split) > _rank(state.best_rows.get(split, {}), split):
                state.best_rows[split], self._best_weights[split] = row, self.model.get_weights()
        return row

    def _not_finite(self, inputs: Float32, epoch: int) -> TrainingError:
        at = f"{self.name}: the loss is not a number in epoch {epoch + 1}"
        if not np.isfinite(inputs).all():
            return TrainingError(at, found="features that are not numbers", wanted="finite decibels",
                                 fix="Look for damaged recordings: edge-asc dataset check.")
        return TrainingError(at, found="finite features, so the weights have run away",
                             fix="Train with a smaller rate: --set training.learning_rate=... and another -o.")

    def _in_todays_form(self, groups: dict[str, list[Any]], meta: dict[str, Any]) -> dict[str, Any]:
        """What a checkpoint says; those of earlier versions have one best epoch, on selection where there is one."""
        if "best" not in meta:
            return meta
        best = meta.pop("best")
        if best is None:
            return meta
        if "selection" in self._judged:
            raise TrainingError(f"{self.checkpoint_path} lacks the best epoch on the validation split",
                                found="a checkpoint of an earlier version",
                                fix="Delete it to train this member anew.")
        groups["best_on_validation"] = groups.pop("best")
        return {**meta, "best_rows": {"validation": best}}

    def _save(self) -> None:
        groups = {"variables": [variable.numpy() for variable in self._variables()],
                  **{f"best_on_{split}": weights for split, weights in self._best_weights.items()}}
        checkpoint.save(self.checkpoint_path, groups, vars(self._state))

    def _finish(self) -> dict[str, Any]:
        self._check_zeros()
        values = [kernel.numpy() for kernel in kernels(self.model).values()]
        n_kernel, n_zero = sum(v.size for v in values), sum(int((v == 0).sum()) for v in values)
        n_all, n_nonzero = count_parameters(self.model), count_nonzero(self.model)
        kept = {f"best_on_{split}": weights for split, weights in self._best_weights.items()}
        kept["last"] = self.model.get_weights()
        predictions: dict[str, dict[str, Float32]] = {split: {} for split in self._judged}
        for name, weights in kept.items():
            self.model.set_weights(weights)
            save_model(self.model, self.folder / f"{name}.keras")
            for split, found in predictions.items():
                found[name] = self.predict(self._judged[split])
        for split, found in predictions.items():
            with replacing(self.folder / f"{split}.npz") as file:
                np.savez(file, **found)  # type: ignore[arg-type]  # every key is an array's name
        return {"n_parameters": n_all, "n_nonzero": n_nonzero, "n_kernel_weights": n_kernel,
                "n_kernel_zeros": n_zero, "kernel_sparsity": n_zero / n_kernel, "last": self._state.rows[-1],
                **{f"best_on_{split}": row for split, row in self._state.best_rows.items()}}

    def _check_zeros(self) -> None:
        if not self.recipe.pruning.enabled:
            return
        for name, kernel in kernels(self.model).items():
            values = kernel.numpy()
            wanted = values.size - round(values.size * (1 - self.recipe.pruning.final_sparsity))
            if (values == 0).sum() < wanted:
                raise TrainingError(f"{self.name}: pruning left weights in {name}",
                                    found=f"{(values == 0).sum()} zeros of {values.size}", wanted=f"{wanted}")


def save_model(model: keras.Model, path: Path) -> None:
    """Writes a .keras file in one step."""
    temporary = path.with_name(f".{path.stem}.partial.keras")
    model.save(temporary)
    temporary.replace(path)


def _learning_rate(recipe: Recipe, name: str, n_steps: int) -> Any:
    settings = recipe.training
    factor = settings.i_rate_factor if family(dict(recipe.members)[name]) == "I" else 1.0
    return keras.optimizers.schedules.CosineDecay(factor * settings.learning_rate, settings.epochs * n_steps,
                                                  alpha=settings.final_learning_rate / settings.learning_rate)


def _rank(row: Row, split: str) -> tuple[float, float]:
    """Macro accuracy decides, as in the paper; among equals the smaller log-loss."""
    return row.get(f"{split}_macro_accuracy", -1.0), -row.get(f"{split}_log_loss", 0.0)


def _figures(split: str, scores: Scores) -> Row:
    return {f"{split}_log_loss": scores.log_loss, f"{split}_micro_accuracy": scores.micro_accuracy,
            f"{split}_macro_accuracy": scores.macro_accuracy}


def _describe(name: str, row: Row, n_epochs: int) -> str:
    split = "selection" if "selection_macro_accuracy" in row else "validation"
    judged = (f", {split} macro {row[f'{split}_macro_accuracy']:.3f} log-loss {row[f'{split}_log_loss']:.3f}"
              if f"{split}_macro_accuracy" in row else "")
    return (f"{name} epoch {row['epoch']:.0f}/{n_epochs}: cross-entropy {row['cross_entropy']:.3f}, accuracy "
            f"{row['accuracy']:.3f}, zeros {row['kernel_sparsity']:.2f}{judged}")
