"""Distillation: the teacher hears what the network hears, and the network learns from it what the recipe says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edge_asc.spec import LABELS
from edge_asc.train.batches import Float32, Teacher, Windows
from edge_asc.train.fit import train_on
from edge_asc.train.member import MemberTraining
from edge_asc.train.progress import Silent
from edge_asc.train.recipe_parts import Distillation
from edge_asc.train.teacher import band_teacher
from tests.train import synthetic

pytestmark = pytest.mark.train


def taught(train: Windows, *, penalty: float = 0.05, gain_db: float = 0.0) -> Teacher:
    return band_teacher(Distillation(weight=1.0, penalty=penalty), train, spec=synthetic.SPEC, n_labels=3, seed=1,
                        augment=lambda db, rng: db + np.float32(gain_db))


def next_label(db: Float32) -> Float32:
    """A teacher that is sure of the label after the right one."""
    loudest = np.stack([db[:, 5 * label:5 * label + 5].mean(axis=(1, 2)) for label in range(3)]).argmax(axis=0)
    return np.eye(3, dtype=np.float32)[(loudest + 1) % 3]


def test_the_teacher_knows_the_bands_and_is_the_same_every_time() -> None:
    train, other = synthetic.windows(75, 0), synthetic.windows(30, 9).gather(np.arange(30))
    answers = taught(train)(other)
    assert (answers.argmax(axis=1) == np.arange(30) // 5 % 3).mean() > 0.9
    assert np.allclose(answers.sum(axis=1), 1)
    assert np.array_equal(answers, taught(train)(other))


def test_a_larger_penalty_makes_softer_answers() -> None:
    train, other = synthetic.windows(75, 0), synthetic.windows(30, 9).gather(np.arange(30))
    largest = [taught(train, penalty=penalty)(other).max(axis=1).mean() for penalty in (0.01, 0.1, 1.0)]
    assert largest == sorted(largest, reverse=True)
    assert largest[0] - largest[-1] > 0.1


def test_the_teacher_is_fitted_to_changed_windows() -> None:
    train, other = synthetic.windows(75, 0), synthetic.windows(30, 9).gather(np.arange(30))
    assert np.allclose(taught(train)(other), taught(train, gain_db=20.0)(other + 20), atol=1e-3)


def test_mixed_windows_do_not_teach() -> None:
    train = synthetic.windows(75, 0)
    mixed = Windows([*train.parts, np.zeros((30, 16, 32), np.float32)], np.append(train.labels, np.zeros(30, int)),
                    np.append(train.recordings, np.full(30, -1)))
    other = synthetic.windows(30, 9).gather(np.arange(30))
    assert np.array_equal(taught(train)(other), taught(mixed)(other))


@pytest.mark.parametrize("weight", [0.9, 0.0])
def test_the_network_follows_its_teacher_as_far_as_the_recipe_says(tmp_path: Path, weight: float) -> None:
    recipe = dataclasses.replace(synthetic.recipe(epochs=30), distillation=Distillation(weight=weight))
    splits = synthetic.splits(teacher=next_label if weight else None)
    run = train_on(splits, recipe, tmp_path, members=["v1"], data=synthetic.DATA, progress=Silent())
    with np.load(run.folder("v1") / "validation.npz") as archive:
        answers = archive["last"].argmax(axis=1)
    assert (answers == (splits.validation.labels + bool(weight)) % 3).mean() > 0.8


def test_what_is_told_of_a_step_is_of_the_labels_and_what_is_trained_is_of_both(tmp_path: Path) -> None:
    splits = synthetic.splits()
    inputs, labels = splits.train.gather(np.arange(16))[..., None], splits.train.labels[:16]
    told, biases = [], []
    for weight in (0.0, 0.25, 1.0):
        recipe = dataclasses.replace(synthetic.recipe(), distillation=Distillation(weight=weight))
        training = MemberTraining("i1", recipe=recipe, splits=dataclasses.replace(splits, teacher=next_label),
                                  folder=tmp_path, progress=Silent())
        told.append([float(value) for value in training._train_batch(inputs, labels, next_label(inputs[..., 0]))])
        biases.append(training._optimizer.variables[-2].numpy())
    assert told[0] == told[1] == told[2]
    # Adam's first momentum is a tenth of the gradient, and the gradient is linear in the weight.
    assert len(LABELS) in [variable.size for variable in biases]
    assert np.allclose(biases[1], 0.75 * biases[0] + 0.25 * biases[2], atol=1e-6)
