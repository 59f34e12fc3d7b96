"""Training steps, ours against Keras `fit` on the same pruned network with the same windows in memory.

Both begin from the same weights and drop the same units, and the loss of the first batch must be the same. Then they
take turns; CPU time per step counts, which other work on the machine disturbs least.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge_asc.bench.statistics import ratio
from edge_asc.errors import VerificationError
from edge_asc.spec import LABELS
from edge_asc.train import pruning
from edge_asc.train.batches import Splits, Windows, batches, draw_epoch
from edge_asc.train.execution import Execution, executions_to_json
from edge_asc.train.execution_trial import best_executions
from edge_asc.train.keras2 import keras, tf, tfmot
from edge_asc.train.member import MemberTraining
from edge_asc.train.models import build
from edge_asc.train.progress import Silent
from edge_asc.train.recipes import Recipe, load_recipe

MEMBERS = {"V": "v1", "I": "i1"}
TOLERANCES = {"float32": 1e-3, "bfloat16": 2e-2}
"""Of the first batch's cross-entropy; the two round differently."""
_N_STEPS = 2


def measure(*, n_rounds: int = 3, batch_size: int = 128) -> dict[str, Any]:
    """CPU seconds per step of one member of each family in each round, and the ratios, of the ensemble too.

    Raises:
        VerificationError: The two do not start with the same loss.
    """
    recipe = load_recipe("paper-model3")
    recipe = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, batch_size=batch_size))
    executions = best_executions(recipe)
    found: dict[str, Any] = {"execution": executions_to_json(executions), "batch_size": batch_size}
    for family, member in MEMBERS.items():
        found[family] = _family(member, recipe, executions[family], n_rounds=n_rounds)
    rounds = {name: [5 * v + i for v, i in zip(*(found[family]["cpu_s"][name] for family in MEMBERS), strict=True)]
              for name in found["V"]["cpu_s"]}
    found["5V + 1I"] = ratio(*([[cpu_s] for cpu_s in rounds[name]] for name in ("Keras fit", "edge-asc"))).to_json()
    return found


def _family(member: str, recipe: Recipe, execution: Execution, *, n_rounds: int) -> dict[str, Any]:
    splits = _splits(recipe, _N_STEPS * recipe.training.batch_size)
    keras.backend.clear_session()
    with tempfile.TemporaryDirectory(prefix="edge-asc-steps-") as folder:
        ours, our_loss = _ours(member, recipe, splits, execution, Path(folder))
        theirs, their_loss = _theirs(member, recipe, splits)
        if not abs(our_loss - their_loss) <= TOLERANCES[execution.precision] * their_loss:
            raise VerificationError(f"the first batch of {member} has another loss than in Keras fit", found=our_loss,
                                    wanted=their_loss)
        cpu_s: dict[str, list[float]] = {"edge-asc": [], "Keras fit": []}
        for _ in range(n_rounds):
            cpu_s["edge-asc"].append(_cpu_s(ours) / _N_STEPS)
            cpu_s["Keras fit"].append(_cpu_s(theirs) / _N_STEPS)
    return {"cpu_s": cpu_s, "first_loss": {"edge-asc": our_loss, "Keras fit": their_loss},
            "ratio": ratio(*([[step_s] for step_s in cpu_s[name]] for name in ("Keras fit", "edge-asc"))).to_json()}


def _splits(recipe: Recipe, n: int) -> Splits:
    rng = np.random.default_rng(0)
    shape = (n, recipe.features.n_mels, recipe.features.n_frames)
    windows = Windows([rng.normal(-50, 10, shape).astype(np.float32)], rng.integers(0, len(LABELS), n), np.arange(n))
    return Splits(spec=recipe.features, labels=LABELS, train=windows, validation=windows)


def _ours(member: str, recipe: Recipe, splits: Splits, execution: Execution,
          folder: Path) -> tuple[Callable[[], object], float]:
    """An epoch of `MemberTraining`, and the mean cross-entropy of the first batch."""
    training = MemberTraining(member, recipe=recipe, splits=splits, folder=folder, progress=Silent(),
                              execution=execution)
    seed, size = recipe.member_seed(member), recipe.training.batch_size
    order = draw_epoch(splits.train, balance="none", n_windows=0, mixed_share=0.0, seed=seed, epoch=0)
    inputs, labels = next(batches(splits.train, np.arange(len(order)), batch_size=size, spec=splits.spec, augment=None,
                                  seed=seed, epoch=0))
    loss = float(training._train_batch(inputs, labels)[0]) / len(labels)

    def epoch() -> None:
        # As MemberTraining does it: gathered, clamped, trained on.
        for x, y in batches(splits.train, order, batch_size=size, spec=splits.spec, augment=None, seed=seed, epoch=1):
            [float(value) for value in training._train_batch(x, y)]

    epoch()
    return epoch, loss


def _theirs(member: str, recipe: Recipe, splits: Splits) -> tuple[Callable[[], object], float]:
    """An epoch of Keras `fit` with tfmot's callback, on clamped windows in one array; and its first loss."""
    training, size = recipe.training, recipe.training.batch_size
    model = build(dict(recipe.members)[member], l2=training.l2, dropout=training.dropout,
                  norm_momentum=training.norm_momentum, seed=recipe.member_seed(member))
    wrapped = pruning.wrap(model, recipe.pruning, n_steps=_N_STEPS, seed=recipe.member_seed(member),
                           step=tf.Variable(0, dtype=tf.int64))
    wrapped.compile(keras.optimizers.Adam(training.learning_rate), "sparse_categorical_crossentropy",
                    metrics=["sparse_categorical_crossentropy", "accuracy"])
    whole = list(batches(splits.train, np.arange(len(splits.train)), batch_size=size, spec=splits.spec, augment=None,
                         seed=0, epoch=0))
    x, y = np.concatenate([batch for batch, _ in whole]), np.concatenate([labels for _, labels in whole])
    callbacks = [tfmot.sparsity.keras.UpdatePruningStep()]

    def fit(n: int, *, shuffle: bool = True) -> Any:
        return wrapped.fit(x[:n], y[:n], batch_size=size, epochs=1, verbose=0, callbacks=callbacks, shuffle=shuffle)

    # In order: dropout goes by the place in the batch.
    loss = fit(size, shuffle=False).history["sparse_categorical_crossentropy"][0]
    fit(len(x))
    return lambda: fit(len(x)), loss


def _cpu_s(task: Callable[[], object]) -> float:
    begin_s = time.process_time()
    task()
    return time.process_time() - begin_s
