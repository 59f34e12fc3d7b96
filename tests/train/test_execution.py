"""However it is computed, a training step is the same function; what a machine does best is tried once and kept to."""

from __future__ import annotations

import functools
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from edge_asc.errors import InputError
from edge_asc.train import execution_trial, pruning
from edge_asc.train.execution import PLAIN, Execution, describe, executions_from_json, executions_to_json
from edge_asc.train.execution_trial import WAYS, best_executions, fastest, trial
from edge_asc.train.fit import train_member
from edge_asc.train.member import MemberTraining
from edge_asc.train.models import build
from edge_asc.train.progress import Silent
from edge_asc.train.recipe_parts import Pruning
from edge_asc.train.run import Run
from tests.train import synthetic

pytestmark = pytest.mark.train

INPUTS = np.random.default_rng(0).normal(-40, 10, (6, 32, 48, 1)).astype(np.float32)
WIDE, HALF = Execution(channel_multiple=8), Execution(precision="bfloat16")
VGG, INCEPTION = "V(1,1,1,1)", "I(1,0,0)"


@functools.cache
def step(architecture: str, execution: Execution, *, training: bool = True) -> dict[str, list[tf.Tensor]]:
    """Probabilities, gradients, and all variables after a step of one network; and its layers' shapes and types."""
    model, number = build(architecture, input_shape=INPUTS.shape[1:], seed=4), tf.Variable(0, dtype=tf.int64)
    wrapped = pruning.wrap(model, Pruning(begin_epoch=0, end_epoch=2, every_epochs=1), n_steps=1, seed=1, step=number,
                           execution=execution)

    @tf.function
    def gradients() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            probabilities = wrapped(INPUTS, training=training)
            loss = -tf.reduce_mean(tf.math.log(probabilities[:, 0]))
        return probabilities, tape.gradient(loss, model.trainable_variables)

    probabilities, found = gradients()
    operators = {operator.type for operator in gradients.get_concrete_function().graph.get_operations()
                 if operator.outputs and operator.outputs[0].dtype == tf.bfloat16}
    return {"probabilities": [probabilities], "gradients": found, "weights": model.weights,
            "masks": pruning.mask_variables(wrapped), "shapes": [str(layer.output_shape) for layer in wrapped.layers],
            "types": [layer.output.dtype for layer in wrapped.layers], "in bfloat16": sorted(operators)}


def assert_close(found: dict[str, list[tf.Tensor]], plain: dict[str, list[tf.Tensor]], *, rtol: float,
                 atol: float) -> None:
    for name in ("probabilities", "gradients", "weights", "masks"):
        for a, b in zip(found[name], plain[name], strict=True):
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=name)


@pytest.mark.parametrize(("architecture", "execution", "training"), [
    (VGG, WIDE, True), (VGG, Execution(channel_multiple=16), False),
    (INCEPTION, Execution(pointwise_matmul=True), True),
    (VGG, Execution(channel_multiple=8, pointwise_matmul=True), True)])
def test_a_network_in_float32_is_the_same_function(architecture: str, execution: Execution, training: bool) -> None:
    found, plain = (step(architecture, way, training=training) for way in (execution, PLAIN))
    assert any(", 16)" in shape for shape in found["shapes"])
    assert_close(found, plain, rtol=2e-3, atol=5e-5)


@pytest.mark.parametrize(("architecture", "execution"), [(VGG, Execution(channel_multiple=16, precision="bfloat16")),
                                                         (INCEPTION, HALF)])
def test_maps_in_bfloat16_leave_variables_and_the_loss_in_float32(architecture: str, execution: Execution) -> None:
    found, plain = step(architecture, execution), step(architecture, PLAIN)
    types = found["types"]
    n_maps = sum(shape.count(",") == 3 for shape in found["shapes"])
    assert types[:n_maps] == [tf.float32] + [tf.bfloat16] * (n_maps - 1), "all maps but the features"
    assert set(types[n_maps:]) == {tf.float32}, "dense layers and softmax"
    assert {"Conv2D", "Conv2DBackpropFilter", "Conv2DBackpropInput"} <= set(found["in bfloat16"])
    assert not plain["in bfloat16"]
    assert {value.dtype for name in ("probabilities", "gradients", "weights", "masks") for value in found[name]} == {
        tf.float32}
    np.testing.assert_allclose(found["probabilities"][0], plain["probabilities"][0], atol=0.15)
    one, other = (np.concatenate([np.ravel(each) for each in way["gradients"]]) for way in (found, plain))
    assert one @ other > 0.9 * np.linalg.norm(one) * np.linalg.norm(other), "the same direction"


def test_no_channels_are_added_where_they_stand_side_by_side() -> None:
    assert step(INCEPTION, PLAIN)["shapes"] == step(INCEPTION, Execution(channel_multiple=16))["shapes"]


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


def test_another_way_must_be_quicker_and_one_that_computes_otherwise_clearly_so() -> None:
    half = Execution(channel_multiple=8, precision="bfloat16")
    assert fastest({PLAIN: 1.0, WIDE: 0.99}) == PLAIN
    assert fastest({PLAIN: 1.0, WIDE: 0.95}) == WIDE
    assert fastest({PLAIN: 1.0, WIDE: 0.6, half: 0.55}) == WIDE
    assert fastest({PLAIN: 1.0, WIDE: 0.6, half: 0.5}) == half
    assert fastest({PLAIN: 1.0, WIDE: 0.95, half: 0.88}) == WIDE
    assert fastest({PLAIN: 1.0, WIDE: 0.99, half: 0.88}) == half
    compiled = Execution(channel_multiple=8, xla=True)
    assert fastest({PLAIN: 1.0, WIDE: 0.6, half: 0.9, compiled: 0.58}) == WIDE
    assert fastest({PLAIN: 1.0, WIDE: 0.6, half: 0.9, compiled: 0.5}) == compiled


def test_a_model_card_names_the_ways() -> None:
    assert str(PLAIN) == "plain"
    assert str(Execution(channel_multiple=16, xla=True)) == "channels in multiples of 16, compiled by XLA"
    ways = {"V": Execution(channel_multiple=8, precision="bfloat16"), "I": Execution(pointwise_matmul=True)}
    assert describe(ways) == "V: channels in multiples of 8, bfloat16; I: 1x1 convolutions as matrix products"
    assert executions_from_json(json.loads(json.dumps(executions_to_json(ways)))) == ways


def test_older_runs_have_one_way_for_all_or_say_nothing() -> None:
    old = executions_from_json({"channel_multiple": 8, "xla": False})
    assert old["V"] == old["I"] == WIDE
    assert executions_from_json({}) == {}
    assert describe({}) == "plain"


def test_a_machine_is_tried_once_for_each_family(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tried = []
    found = {"V": {PLAIN: 1.0, WIDE: 0.5}, "I": {PLAIN: 1.0, HALF: 0.5}}

    def counted(family: str, shape: tuple[int, int, int], *, lower_precision: bool) -> dict[Execution, float]:
        tried.append((family, shape))
        return found[family] if lower_precision else {PLAIN: 1.0}

    monkeypatch.setattr(execution_trial, "trial", counted)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("EDGE_ASC_STEPS", "bfloat16")
    recipe, cache = synthetic.recipe(), tmp_path / "edge-asc" / "execution.json"
    cache.parent.mkdir()
    old = {execution_trial._device(): {"channel_multiple": 16, "xla": False}}  # one for all families
    cache.write_text(json.dumps(old))
    assert best_executions(recipe) == best_executions(recipe) == {"V": WIDE, "I": HALF}
    shape = (recipe.training.batch_size, recipe.features.n_mels, recipe.features.n_frames)
    assert tried == [("V", shape), ("I", shape)]
    assert len(json.loads(cache.read_text())) == 3
    for n, damaged in enumerate(("{", "[]", '{"a": 1}', json.dumps({"V": {"other": 1}})), start=2):
        cache.write_text(damaged)
        assert best_executions(recipe) == {"V": WIDE, "I": HALF}
        assert len(tried) == 2 * n
    monkeypatch.delenv("EDGE_ASC_STEPS")
    assert best_executions(recipe) == {"V": PLAIN, "I": PLAIN}, "no lower precision unless it is asked for"
    assert len(json.loads(cache.read_text())) == 4
    monkeypatch.setenv("EDGE_ASC_STEPS", "bfloat16")
    assert best_executions(recipe) == {"V": WIDE, "I": HALF}


def test_plain_steps_need_no_trial_and_other_words_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution_trial, "trial", lambda *_, **__: pytest.fail("tried"))
    monkeypatch.setenv("EDGE_ASC_STEPS", "plain")
    assert best_executions(synthetic.recipe()) == {}
    monkeypatch.setenv("EDGE_ASC_STEPS", "fast")
    with pytest.raises(InputError, match=r"EDGE_ASC_STEPS .* found fast; wanted float32, bfloat16 or plain"):
        best_executions(synthetic.recipe())


@pytest.mark.parametrize("family", ["V", "I"])
def test_the_real_trial_tries_every_way(family: str) -> None:
    seconds = trial(family, (2, 32, 48))
    assert set(seconds) > set(WAYS[family])
    assert any(way.xla for way in seconds)
    assert min(seconds.values()) > 0
    assert {way.precision for way in trial(family, (2, 32, 48), lower_precision=False)} == {"float32"}


def test_a_run_keeps_to_the_ways_it_began_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ways = {"V": Execution(channel_multiple=16), "I": HALF}
    monkeypatch.setattr("edge_asc.train.fit.best_executions", lambda recipe: ways)
    synthetic.train(tmp_path, members=["v1"])
    assert json.loads((tmp_path / "run.json").read_text())["execution"] == {
        name: asdict(way) for name, way in ways.items()}
    monkeypatch.setattr("edge_asc.train.fit.best_executions", lambda recipe: pytest.fail("asked again"))
    synthetic.train(tmp_path, members=["v2"])
    assert Run.load(tmp_path).finished == ["v1", "v2"]
