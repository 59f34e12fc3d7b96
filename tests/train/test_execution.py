"""Widened or compiled, a training step is the same function; what a machine does best is tried once and kept to."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from edge_asc.train import execution, pruning
from edge_asc.train.execution import PLAIN, Execution, best_execution, fastest
from edge_asc.train.fit import train_member
from edge_asc.train.member import MemberTraining
from edge_asc.train.models import build
from edge_asc.train.progress import Silent
from edge_asc.train.recipe_parts import Pruning
from edge_asc.train.run import Run
from tests.train import synthetic

pytestmark = pytest.mark.train

INPUTS = np.random.default_rng(0).normal(0, 1, (6, 32, 48, 1)).astype(np.float32)


def step(architecture: str, multiple: int, *, training: bool) -> tuple[list[np.ndarray], list[str]]:
    """Probabilities, gradients, and all variables after a step of one network, and its layers' shapes."""
    model, number = build(architecture, input_shape=INPUTS.shape[1:], seed=4), tf.Variable(0, dtype=tf.int64)
    wrapped = pruning.wrap(model, Pruning(begin_epoch=0, end_epoch=2, every_epochs=1), n_steps=1, seed=1, step=number,
                           channel_multiple=multiple)

    @tf.function
    def gradients() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            probabilities = wrapped(INPUTS, training=training)
            loss = -tf.reduce_mean(tf.math.log(probabilities[:, 0]))
        return probabilities, tape.gradient(loss, model.trainable_variables)

    probabilities, found = gradients()
    values = [probabilities, *found, *model.weights, *pruning.mask_variables(wrapped)]
    return [value.numpy() for value in values], [str(layer.output_shape) for layer in wrapped.layers]


@pytest.mark.parametrize(("multiple", "training"), [(8, True), (16, False)])
def test_a_widened_network_is_the_same_function(multiple: int, training: bool) -> None:
    plain, _ = step("V(1,1,1,1)", 1, training=training)
    wide, shapes = step("V(1,1,1,1)", multiple, training=training)
    assert any(", 16)" in shape for shape in shapes)
    assert len(plain) == len(wide)
    for a, b in zip(plain, wide, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5)


def test_what_puts_channels_side_by_side_is_left_alone() -> None:
    assert step("I(1,0,0)", 1, training=False)[1] == step("I(1,0,0)", 16, training=False)[1]


def test_a_compiled_step_is_the_same_function(tmp_path: Path) -> None:
    losses = []  # without dropout, for which XLA draws other numbers
    for way in (PLAIN, Execution(channel_multiple=8, xla=True)):
        training = MemberTraining("v1", recipe=synthetic.recipe(dropout=0.0), splits=synthetic.splits(),
                                  folder=tmp_path, progress=Silent(), execution=way)
        db, labels = synthetic.windows(16, 0).parts[0], synthetic.windows(16, 0).labels
        losses.append([float(training._train_batch(db[..., None], labels)[0]) for _ in range(2)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)


def test_the_same_way_gives_the_same_bits(tmp_path: Path) -> None:
    way = Execution(channel_multiple=16)
    states = [train_member("v1", recipe=synthetic.recipe(), splits=synthetic.splits(), folder=tmp_path / str(number),
                           progress=Silent(), execution=way)["last"] for number in range(2)]
    assert [{**state, "seconds": 0} for state in states] == [{**states[0], "seconds": 0}] * 2


def test_a_way_that_is_not_plain_must_be_clearly_quicker() -> None:
    wide = Execution(channel_multiple=8)
    assert fastest({PLAIN: 1.0, wide: 0.95}) == PLAIN
    assert fastest({PLAIN: 1.0, wide: 0.6, Execution(xla=True): 0.7}) == wide


def test_a_model_card_names_the_way() -> None:
    assert str(PLAIN) == "plain"
    assert str(Execution(channel_multiple=8)) == "channels in multiples of 8"
    assert str(Execution(channel_multiple=16, xla=True)) == "channels in multiples of 16, compiled by XLA"


def test_a_machine_is_tried_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    n_trials = []
    found = {PLAIN: 1.0, Execution(channel_multiple=8): 0.5}
    monkeypatch.setattr(execution, "trial", lambda: n_trials.append(1) or found)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert best_execution() == best_execution() == Execution(channel_multiple=8)
    assert len(n_trials) == 1
    for n, damaged in enumerate(("{", "[]", '{"a": 1}', json.dumps({execution._device(): {"other": 1}})), start=2):
        (tmp_path / "edge-asc" / "execution.json").write_text(damaged)
        assert best_execution() == Execution(channel_multiple=8)
        assert len(n_trials) == n


def test_the_real_trial_tries_every_way() -> None:
    seconds = execution.trial()
    assert {way.channel_multiple for way in seconds} == set(execution.MULTIPLES)
    assert any(way.xla for way in seconds)
    assert min(seconds.values()) > 0


def test_a_run_keeps_to_the_way_it_began_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("edge_asc.train.fit.best_execution", lambda: Execution(channel_multiple=16))
    synthetic.train(tmp_path, members=["v1"])
    assert json.loads((tmp_path / "run.json").read_text())["execution"] == asdict(Execution(channel_multiple=16))
    monkeypatch.setattr("edge_asc.train.fit.best_execution", lambda: pytest.fail("asked again"))
    synthetic.train(tmp_path, members=["v2"])
    assert Run.load(tmp_path).finished == ["v1", "v2"]
