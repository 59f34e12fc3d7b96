"""Training that is aware of int8: the rounding is TFLite's, zeros stay zeros, a bad int8 file becomes a good one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras

from edge_asc.bundle import Bundle
from edge_asc.errors import RecipeError, TrainingError
from edge_asc.parity import compare_bundle, installed_engines
from edge_asc.parity.layers import real, stored_input
from edge_asc.runtime import verify_bundle
from edge_asc.tflite_file import compact, read_model
from edge_asc.train import member, rounding
from edge_asc.train.aware import AwareTraining
from edge_asc.train.batches import clamp_windows
from edge_asc.train.convert import KERAS_BEFORE, convert_run
from edge_asc.train.converted import answers
from edge_asc.train.fit import train_ensemble, train_on
from edge_asc.train.keras_reference import keras_reference
from edge_asc.train.member_files import convert_member, predict
from edge_asc.train.models import kernels
from edge_asc.train.progress import Silent
from edge_asc.train.recipes import Recipe, override, scaled
from edge_asc.train.run import Run
from edge_asc.train.training_data import representative_windows
from firmware_export.network.read import read_network
from tests.golden import make_models
from tests.train import synthetic, tiny_sounds

pytestmark = pytest.mark.train


def recipe(*settings: str) -> Recipe:
    return override(synthetic.recipe(), ["quantization.aware_epochs=3", "quantization.learning_rate=1e-3", *settings])


# The file

@pytest.fixture(scope="module", params=["V(1,0,1,0)", "I(1,0,1)"])
def pair(request) -> tuple[keras.Model, bytes, bytes, np.ndarray]:
    """A network with a channel of zeros; its int8 file after training, and with ranges; its windows."""
    windows = make_models.windows()
    model = make_models.seeded(request.param, windows, seed=1)
    kernel = list(kernels(model).values())[1]
    values = kernel.numpy()
    values[..., 0] = 0
    kernel.assign(values)
    wrapped = rounding.wrap(model)
    rounding.calibrate(wrapped, windows)
    ranges = {name: variable.numpy() for name, variable in rounding.range_variables(wrapped).items()}
    usual = convert_member(model, ["int8-dense"], windows)["int8-dense"]
    learnt = convert_member(model, ["int8-dense"], windows, ranges=ranges)["int8-dense"]
    simulated = wrapped(windows[..., None], training=False).numpy()
    return usual, learnt, simulated, windows


def test_the_file_has_the_operators_types_and_scales_of_one_made_after_training(pair):
    usual, learnt, _, _ = (read_model(each) if isinstance(each, bytes) else each for each in pair)
    assert [each.name for each in learnt.operators] == [each.name for each in usual.operators]
    for ours, theirs in zip(learnt.operators, usual.operators, strict=True):
        assert ours.options == theirs.options
        for index, other in zip((*ours.inputs, *ours.outputs), (*theirs.inputs, *theirs.outputs), strict=True):
            a, b = learnt.tensors[index], usual.tensors[other]
            assert (a.shape, a.dtype, a.quantization.scale.shape) == (b.shape, b.dtype, b.quantization.scale.shape)
            if a.data is not None and a.dtype == np.int8:
                np.testing.assert_array_equal(a.data == 0, b.data == 0)
    a, b = (model.tensors[model.inputs[0]].quantization for model in (learnt, usual))
    assert (a.scale, a.zero_point) == (b.scale, b.zero_point), "the input's range is that of the representative windows"


def test_it_is_as_small(pair):
    usual, learnt, _, _ = pair
    assert len(compact(learnt, sparse=True)) == pytest.approx(len(compact(usual, sparse=True)), abs=64)
    assert len(compact(learnt)) == pytest.approx(len(compact(usual)), abs=64)


def test_it_computes_what_training_saw_and_the_same_on_a_microcontroller(pair):
    _, learnt, simulated, windows = pair
    model = read_model(learnt)
    inputs, output = stored_input(model, windows), model.tensors[model.outputs[0]]
    with installed_engines() as engines:
        found = {engine.name: engine.run(learnt, inputs)[0] for engine in engines if engine.takes(learnt, "int8-dense")}
    assert np.abs(found["LiteRT reference"].astype(int) - found["TFLite Micro"]).max() <= 2
    difference = np.abs(real(found["LiteRT reference"], output) - simulated)
    assert difference.mean() < 0.01
    assert difference.max() < 0.05
    assert read_network(learnt, name="v1").layers


# The training

@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("aware")
    train_on(synthetic.splits(), recipe(), folder, members=["v1"], data=synthetic.DATA, progress=Silent())
    return Run.load(folder)


def test_zeros_stay_zeros_and_other_weights_move(run):
    before, after = (kernels(keras.models.load_model(run.model_path("v1", which), compile=False))
                     for which in ("last", "aware"))
    n_zeros = 0
    for old, new in zip(before.values(), after.values(), strict=True):
        zeros = old.numpy() == 0
        n_zeros += zeros.sum()
        assert not new.numpy()[zeros].any()
        assert (new.numpy()[~zeros] != old.numpy()[~zeros]).mean() > 0.9
    assert n_zeros == run.state("v1")["aware"]["n_kernel_zeros"] == run.state("v1")["n_kernel_zeros"]


def test_the_run_says_what_was_done(run):
    state = run.state("v1")["aware"]
    assert (state["epochs"], state["last"]["epoch"], state["learning_rate"]) == (3, 3, 1e-3)
    rows = (run.folder("v1") / "aware" / "history.csv").read_text().splitlines()
    assert len(rows) == 4
    results = json.loads((run.path / "results.json").read_text())
    assert results["aware"]["v1"]["macro_accuracy"] == pytest.approx(state["last"]["validation_macro_accuracy"])
    assert run.usual_weights == "aware"


class _Killed(Silent):
    """Stops the program in the middle of the second epoch with int8's rounding, after a checkpoint."""

    def __init__(self) -> None:
        self.n_left = 9 * 75 + 75 + 40

    def advance(self, n_windows: int) -> None:
        self.n_left -= n_windows
        if self.n_left < 0:
            raise KeyboardInterrupt


def test_a_killed_run_resumes_to_the_same_weights_and_ranges(run, tmp_path, monkeypatch):
    monkeypatch.setattr(member, "CHECKPOINT_EVERY_S", 0.0)

    def train(progress: Silent) -> None:
        train_on(synthetic.splits(), recipe(), tmp_path, members=["v1"], data=synthetic.DATA, progress=progress)

    with pytest.raises(KeyboardInterrupt):
        train(_Killed())
    assert not (tmp_path / "members" / "v1" / "state.json").exists()
    told: list[str] = []
    progress = Silent()
    progress.say = told.append  # type: ignore[method-assign]
    train(progress)
    assert any(line.startswith("v1, aware of int8: resumed after 1 epochs and 2") for line in told), told
    resumed, straight = (keras.models.load_model(each.model_path("v1", "aware"), compile=False).get_weights()
                         for each in (Run.load(tmp_path), run))
    for ours, theirs in zip(resumed, straight, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    ours, theirs = (np.load(each / "members" / "v1" / "aware" / "ranges.npz") for each in (tmp_path, run.path))
    assert set(ours) == set(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_a_network_that_int8_spoils_is_mended(run, tmp_path):
    """One channel of the dense layer 300 times as large, its weights as much smaller: the same in floating point."""
    model = keras.models.load_model(run.model_path("v1", "last"), compile=False)
    norm = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)][-1]
    factor = np.ones(norm.gamma.shape[0], np.float32)
    factor[0] = 300
    norm.gamma.assign(norm.gamma * factor)
    norm.beta.assign(norm.beta * factor)
    model.layers[-1].kernel.assign(model.layers[-1].kernel / factor[:, None])
    model.save(tmp_path / "spoilt.keras")
    splits = synthetic.splits()
    truth, windows = splits.validation.labels, clamp_windows(splits.validation.gather(np.arange(30)), splits.spec)
    representative = representative_windows(recipe(), splits)

    def right(found: np.ndarray) -> float:
        return float((found.argmax(axis=1) == truth).mean())

    files = convert_member(model, ["int8-dense"], representative)
    before = right(answers(files["int8-dense"], windows))
    assert before < right(predict(model, windows)) - 0.05
    (tmp_path / "aware").mkdir()
    longer = recipe("quantization.aware_epochs=6")
    training = AwareTraining("v1", source=tmp_path / "spoilt.keras", recipe=longer, splits=splits,
                             folder=tmp_path / "aware", progress=Silent())
    training.run()
    with np.load(tmp_path / "aware" / "ranges.npz") as ranges:
        files = convert_member(training.model, ["int8-dense", "int8-sparse"], representative, ranges=dict(ranges))
    assert right(answers(files["int8-dense"], windows)) > before + 0.05
    assert all(not new.numpy()[old.numpy() == 0].any() for old, new
               in zip(kernels(model).values(), kernels(training.model).values(), strict=True))
    assert len(files["int8-sparse"]) < 0.8 * len(files["int8-dense"])


# The bundle

@pytest.fixture(scope="module")
def bundle(sounds, tmp_path_factory) -> tuple[Bundle, Path]:
    folder = tmp_path_factory.mktemp("aware")
    short = {"training.epochs": 4, "pruning.end_epoch": 3, "quantization.aware_epochs": 1}
    aware = override(tiny_sounds.recipe(), [f"{name}={value}" for name, value in short.items()])
    train_ensemble(aware, sounds, folder / "run", n_jobs=1)
    return convert_run(folder / "run", folder / "bundle", variants=("int8-sparse", "float32-sparse")), folder / "run"


def test_a_bundle_of_aware_members_verifies_and_says_so(bundle):
    made, run_dir = bundle
    assert made.made["weights"] == "aware"
    assert all(check.ok for check in verify_bundle(made, variants=made.variants))
    audit = made.audit()
    assert set(audit["scores"]) == {"keras", KERAS_BEFORE, *made.variants}
    assert "then 1 epochs with int8's rounding, zeros kept" in made.model_card()
    for each in made.members:
        n_zeros = audit["agreement"]["int8-sparse"][each.name]["n_kernel_zeros"]
        assert n_zeros == Run.load(run_dir).state(each.name)["aware"]["n_kernel_zeros"]


def test_runtimes_agree_on_it_and_keras_is_the_yardstick(bundle):
    made, run_dir = bundle
    windows = np.stack([made.golden().features])
    reference = keras_reference(run_dir, made, windows)
    assert reference.name.endswith("weights aware")
    with installed_engines() as engines:
        parity = compare_bundle(made, windows, engines=engines, reference=reference)
    assert parity.disagreements == []
    rows = {(each.variant, each.engine): each for each in parity.ensembles()}
    assert rows["float32-sparse", "LiteRT built-in"].largest_difference < 1e-5


# The recipe

def test_the_section_of_a_recipe():
    assert not synthetic.recipe().quantization.enabled
    assert scaled(recipe("quantization.aware_epochs=20"), 0.1).quantization.aware_epochs == 2
    assert scaled(synthetic.recipe(), 0.1).quantization.aware_epochs == 0
    for setting in ("aware_epochs=-1", "learning_rate=0", "epochs=3"):
        with pytest.raises(RecipeError):
            recipe(f"quantization.{setting}")


def test_weights_that_were_not_trained_are_not_there(run, tmp_path):
    shutil.copy(run.path / "run.json", tmp_path)
    (tmp_path / "members" / "v1").mkdir(parents=True)
    state = {name: value for name, value in run.state("v1").items() if name != "aware"}
    (tmp_path / "members" / "v1" / "state.json").write_text(json.dumps(state))
    with pytest.raises(TrainingError, match=r"no weights aware; found last, best_on_validation.*aware_epochs=20"):
        Run.load(tmp_path).model_path("v1", "aware")
