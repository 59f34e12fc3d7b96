"""Training prunes on the paper's schedule, survives a kill unchanged and leaves true zeros."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tensorflow_model_optimization.sparsity.keras import strip_pruning

from edge_asc import features
from edge_asc.errors import InputError, RecipeError, TrainingError
from edge_asc.spec import LABELS, FeatureSpec
from edge_asc.train import checkpoint, pruning
from edge_asc.train.batches import Splits, Windows, batches, clamp_windows, draw_epoch
from edge_asc.train.fit import train_member, train_on, write_results
from edge_asc.train.member import MemberTraining
from edge_asc.train.models import build, count_nonzero, count_parameters, kernels
from edge_asc.train.progress import Silent
from edge_asc.train.recipe_parts import Pruning
from edge_asc.train.recipes import from_mapping
from edge_asc.train.run import Run
from tests.train import synthetic

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    synthetic.train(folder, members=["v1", "i1"])
    return Run.load(folder)


def history(folder: Path) -> list[dict[str, float]]:
    with (folder / "history.csv").open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


# The schedule

def test_tfmot_sees_the_formula_at_every_epoch_and_updates_on_first_batches_only():
    paper, n_steps = Pruning(), 7
    schedule = pruning.EpochSchedule(paper, n_steps=n_steps)
    for batch in range(400 * n_steps):
        epoch, within = divmod(batch, n_steps)
        if within > 1 and epoch % 10:
            continue
        due, sparsity = schedule(tf.constant(batch + 1, tf.int64))  # tfmot counts from 1
        assert bool(due) == (within == 0 and paper.is_due(epoch)), (epoch, within)
        if epoch >= 100:
            assert float(sparsity) == np.float32(paper.sparsity(epoch))


assert 5 * 17115 + 34183 == 119758  # the paper's ensemble


@pytest.mark.parametrize(("architecture", "n_left"), [("V(2,2,3,3)", 17115), ("I(2,1,2)", 34183)])
def test_non_zero_parameters_after_pruning_and_stripping_are_as_published(architecture, n_left):
    model, step = build(architecture), tf.Variable(0, dtype=tf.int64)
    schedule = Pruning(initial_sparsity=0.1, final_sparsity=0.8, begin_epoch=0, end_epoch=2, every_epochs=1)
    wrapped = pruning.wrap(model, schedule, n_steps=1, seed=1, step=step)
    for weight in model.weights:  # the paper's counts include biases and BatchNorm, which are not zero once trained
        if not weight.numpy().all():
            weight.assign(weight + 0.01)
    for n_batches in (1, 2, 3):  # what tfmot's layers do when they are called in training, without the network's work
        pruning.set_step(wrapped, n_batches)
        for layer in wrapped.layers:
            if hasattr(layer, "pruning_obj"):
                layer.pruning_obj.conditional_mask_update()
    pruning.apply_masks(wrapped)
    assert count_nonzero(model) == n_left
    stripped = strip_pruning(wrapped)
    assert count_nonzero(stripped) == n_left
    assert count_parameters(stripped) == count_parameters(model)


def test_sparsity_follows_the_schedule_in_a_real_run(run):
    schedule = run.recipe.pruning
    for row in history(run.folder("v1")):
        assert row["kernel_sparsity"] == pytest.approx(schedule.sparsity(int(row["epoch"]) - 1), abs=0.002)


# What a run leaves

def test_a_run_learns_and_leaves_its_files(run):
    for name in ("v1", "i1"):
        names = {path.name for path in run.folder(name).iterdir()}
        assert {"state.json", "last.keras", "best_on_validation.keras", "history.csv", "curves.png", "tensorboard",
                "validation.npz"} <= names
        assert (run.folder(name) / "curves.png").read_bytes().startswith(b"\x89PNG")
        assert list((run.folder(name) / "tensorboard").iterdir())
    assert run.state("v1")["last"]["validation_macro_accuracy"] > 0.8
    assert not list(run.path.rglob("*partial*"))


@pytest.mark.parametrize("which", ["last", "best", "best_on_validation"])
def test_saved_models_are_plain_and_truly_zero(run, which):
    model = keras.models.load_model(run.model_path("v1", which), compile=False)
    assert not [layer for layer in model.layers if type(layer).__module__.startswith(("edge_asc", "tensorflow_model"))]
    for kernel in kernels(model).values():
        size = int(np.prod(kernel.shape))
        assert np.count_nonzero(kernel.numpy()) == round(size * 0.2)
    if which == "last":
        assert count_nonzero(model) == run.state("v1")["n_nonzero"]


def test_best_is_chosen_at_final_sparsity_only(run):
    best = run.state("v1")["best_on_validation"]
    rows = [row for row in history(run.folder("v1")) if row["epoch"] > 6]
    assert best["epoch"] > 6
    top = max(row["validation_macro_accuracy"] for row in rows)
    assert best["validation_macro_accuracy"] == pytest.approx(top, abs=1e-5)


def test_run_json_tells_how_the_run_was_made(run):
    about = json.loads((run.path / "run.json").read_text())
    assert about["members"]["i1"] == {"architecture": "I(0,0,0)", "seed": 6}
    assert from_mapping(about["recipe"]) == run.recipe
    assert about["made_with"]["versions"]["tensorflow"] == tf.__version__
    assert FeatureSpec.from_json(about["features"]) == synthetic.SPEC


def test_results_name_the_optimistic_choice_and_judge_the_mean(run):
    results = json.loads((run.path / "results.json").read_text())
    assert "optimistic" in results["note"]
    assert set(results["last"]) == set(results["best_on_validation"]) == {"v1", "i1", "ensemble"}
    saved = [np.load(run.folder(name) / "validation.npz")["last"] for name in ("v1", "i1")]
    truth = synthetic.splits().validation.labels
    right = np.mean(saved, axis=0).argmax(axis=1) == truth
    assert results["last"]["ensemble"]["micro_accuracy"] == pytest.approx(right.mean())


def test_a_finished_member_is_not_trained_again(run):
    before = {path: path.stat().st_mtime_ns for path in run.folder("v1").rglob("*")}
    synthetic.train(run.path, members=["v1"])
    assert {path: path.stat().st_mtime_ns for path in run.folder("v1").rglob("*")} == before


@pytest.fixture(scope="module")
def held_out(tmp_path_factory) -> Run:
    """A run with a selection split, whose labels are those of the validation split in another order."""
    folder = tmp_path_factory.mktemp("held_out")
    train_on(synthetic.splits(selection=contrary()), synthetic.recipe(), folder, members=["v1"], data=synthetic.DATA,
             progress=Silent())
    return Run.load(folder)


def contrary() -> Windows:
    """Windows on which the best epoch is the one that has learnt the least."""
    plain = synthetic.windows(30, 2)
    return Windows(plain.parts, (plain.labels + 1) % 3, plain.recordings)


def test_with_a_selection_split_both_rules_are_kept(held_out):
    rows = [row for row in history(held_out.folder("v1")) if row["epoch"] > 6]
    results, state = json.loads((held_out.path / "results.json").read_text()), held_out.state("v1")
    for split in "validation", "selection":
        rule = f"best_on_{split}"
        best = max(rows, key=lambda row: (row[f"{split}_macro_accuracy"], -row[f"{split}_log_loss"]))
        assert state[rule]["epoch"] == best["epoch"]
        assert results[rule]["v1"]["log_loss"] == pytest.approx(best["validation_log_loss"], abs=1e-5)
        assert held_out.model_path("v1", rule) == held_out.folder("v1") / f"{rule}.keras"
        with np.load(held_out.folder("v1") / f"{split}.npz") as archive:
            assert sorted(archive) == ["best_on_selection", "best_on_validation", "last"]
    assert state["best_on_validation"]["epoch"] != state["best_on_selection"]["epoch"]
    assert held_out.weights("v1", "best") == "best_on_selection"
    assert "optimistic" in results["note"]


def test_a_run_of_an_earlier_version_is_read(held_out, tmp_path):
    shutil.copytree(held_out.path, tmp_path / "run")
    path = tmp_path / "run/members/v1/state.json"
    state = json.loads(path.read_text())
    del state["best_on_validation"]
    path.write_text(json.dumps({**state, "chosen_on": "selection"}))
    old = Run.load(tmp_path / "run")
    assert old.model_path("v1", "best").name == "best_on_selection.keras"
    with pytest.raises(TrainingError, match=r"no weights best_on_validation; found last, best_on_selection"):
        old.model_path("v1", "best_on_validation")
    write_results(old, synthetic.splits())
    assert {"last", "best_on_selection"} < set(json.loads((old.path / "results.json").read_text()))
    with pytest.raises(TrainingError, match=r"no weights aware.*aware_epochs=20"):
        old.model_path("v1", "aware")


# Kill and resume

class Told(Silent):
    """Remembers what must be seen."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def final_weights(folder: Path) -> list[np.ndarray]:
    return keras.models.load_model(folder / "members/v1/last.keras", compile=False).get_weights()


def test_a_killed_run_resumes_to_the_same_weights(tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    program = [sys.executable, str(Path(synthetic.__file__))]
    environment = dict(os.environ, PYTHONWARNINGS="ignore")
    process = subprocess.Popen([*program, str(killed)], env=environment, stderr=subprocess.PIPE)
    table, checkpoint = killed / "members/v1/history.csv", killed / "members/v1/checkpoint/state.npz"
    deadline_s = time.monotonic() + 120
    while not (table.is_file() and len(table.read_text().splitlines()) >= 5):  # four epochs: pruning has begun
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert checkpoint.is_file()
    assert not (killed / "members/v1/state.json").exists()
    told = Told()
    synthetic.train(killed, members=["v1"], progress=told)
    assert "resumed after" in told.lines[0]
    synthetic.train(straight, members=["v1"])
    for a, b in zip(final_weights(straight), final_weights(killed), strict=True):
        assert np.array_equal(a, b)
    rows = [[row[key] for key in row if key != "seconds"] for row in history(straight / "members/v1")]
    assert rows == [[row[key] for key in row if key != "seconds"] for row in history(killed / "members/v1")]


def test_a_damaged_checkpoint_is_an_error_that_says_what_to_do(tmp_path):
    path = tmp_path / "checkpoint" / "state.npz"
    path.parent.mkdir()
    path.write_bytes(b"PK\x03\x04 not an archive")
    training = MemberTraining("v1", recipe=synthetic.recipe(), splits=synthetic.splits(), folder=tmp_path,
                              progress=Silent())
    with pytest.raises(TrainingError, match="Delete it"):
        training.resume()


@pytest.mark.parametrize("selection", [None, contrary()], ids=["validation", "selection"])
def test_a_checkpoint_of_an_earlier_version_is_taken_up_or_refused(selection, tmp_path):
    splits, recipe = synthetic.splits(selection=selection), synthetic.recipe()
    state = train_member("v1", recipe=recipe, splits=splits, folder=tmp_path, progress=Silent())
    path, rule = tmp_path / "checkpoint" / "state.npz", "best_on_selection" if selection else "best_on_validation"
    groups, meta = checkpoint.load(path)
    del meta["best_rows"]
    checkpoint.save(path, {"variables": groups["variables"], "best": groups[rule]}, {**meta, "best": state[rule]})
    training = MemberTraining("v1", recipe=recipe, splits=splits, folder=tmp_path, progress=Silent())
    if selection:
        with pytest.raises(TrainingError, match=r"lacks the best epoch on the validation split.*Delete it"):
            training.resume()
    else:
        training.resume()
        assert training.run() == {key: state[key] for key in state if key not in ("name", "architecture", "seed")}
    checkpoint.save(path, {"variables": groups["variables"]}, {**meta, "best": None})
    MemberTraining("v1", recipe=recipe, splits=splits, folder=tmp_path, progress=Silent()).resume()


# What stops a run

def test_nan_in_the_features_stops_the_run(tmp_path):
    good = synthetic.splits()
    db = good.train.parts[0].copy()
    db[7, 0, 0] = np.nan
    bad = Splits(spec=good.spec, labels=LABELS, train=Windows([db], good.train.labels, good.train.recordings),
                 validation=good.validation)
    with pytest.raises(TrainingError, match=r"not a number in epoch 1.*features that are not numbers"):
        train_member("v1", recipe=synthetic.recipe(), splits=bad, folder=tmp_path, progress=Silent())


def test_members_of_family_i_are_trained_at_a_rate_of_their_own(tmp_path):
    recipe = synthetic.recipe(i_rate_factor=0.25)
    rates = {name: MemberTraining(name, recipe=recipe, splits=synthetic.splits(), folder=tmp_path,
                                  progress=Silent())._learning_rate for name in ("v1", "i1")}
    assert [float(rate(0)) for rate in rates.values()] == pytest.approx([3e-3, 0.75e-3])
    assert [float(rate(10**6)) for rate in rates.values()] == pytest.approx([1e-3, 0.25e-3])


def test_weights_that_run_away_stop_the_run(tmp_path):
    with pytest.raises(TrainingError, match="smaller rate"):
        train_member("v1", recipe=synthetic.recipe(learning_rate=1e38, final_learning_rate=1e38),
                     splits=synthetic.splits(), folder=tmp_path, progress=Silent())


def test_another_recipe_or_other_data_in_the_same_folder_is_an_error(run):
    with pytest.raises(TrainingError, match=r"training\.dropout = 0\.1 \(was 0\.5\)"):
        synthetic.train(run.path, members=["v1"], dropout=0.1)
    with pytest.raises(TrainingError, match="other data"):
        train_on(synthetic.splits(), synthetic.recipe(), run.path, members=["v1"], data={"sha256": "1"},
                 progress=Silent())


def test_a_folder_with_something_else_is_an_error(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(TrainingError, match="not empty"):
        synthetic.train(tmp_path, members=["v1"])


def test_what_is_no_run_is_an_error(tmp_path):
    with pytest.raises(TrainingError, match="not a training run"):
        Run.load(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(TrainingError, match="damaged"):
        Run.load(tmp_path)


def test_an_unfinished_member_has_no_model(run):
    with pytest.raises(TrainingError, match="not finished"):
        run.model_path("v2")


# Batches

def test_clamping_a_batch_equals_clamping_each_window():
    db = np.random.default_rng(0).normal(-60, 40, (9, 16, 32)).astype(np.float32)
    for top_db in (80.0, 33.3, None):
        spec = FeatureSpec(n_mels=16, n_frames=32, top_db=top_db)
        for window, clamped in zip(db, clamp_windows(db, spec), strict=True):
            assert np.array_equal(features.clamp(window, spec), clamped)


def test_each_window_once_an_epoch_in_another_order():
    windows = synthetic.windows(30, 0)
    orders = [draw_epoch(windows, balance="none", n_windows=0, mixed_share=0, seed=1, epoch=epoch)
              for epoch in (0, 0, 1)]
    assert np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])
    assert sorted(orders[2]) == list(range(30))


def test_balance_by_label_and_recording():
    labels = np.array([0] * 90 + [1] * 9 + [2] * 3 + [0] * 5 + [1] * 5 + [2] * 5)
    recordings = np.array([0] * 80 + [1] * 10 + [2] * 9 + [3, 4, 4] + [-1] * 15)
    windows = Windows([np.zeros((117, 2, 2), np.float32)], labels, recordings)
    order = draw_epoch(windows, balance="label_and_recording", n_windows=600, mixed_share=0.4, seed=0, epoch=0)
    assert np.bincount(labels[order]).tolist() == [200, 200, 200]
    assert (recordings[order] == -1).sum() == 240
    assert [(recordings[order] == number).sum() for number in range(5)] == [60, 60, 120, 60, 60]
    order = draw_epoch(windows, balance="label", n_windows=300, mixed_share=0, seed=0, epoch=0)
    assert np.bincount(labels[order]).tolist() == [100, 100, 100]
    assert np.bincount(order).max() <= 34


def test_batches_can_start_anywhere_and_come_out_the_same():
    windows, augment = synthetic.windows(50, 0), synthetic.splits().augment
    order = np.arange(50)[::-1].copy()
    settings = {"batch_size": 16, "spec": synthetic.SPEC, "augment": augment, "seed": 1, "epoch": 4}
    whole, rest = list(batches(windows, order, **settings)), list(batches(windows, order, **settings, first=2))
    assert [len(labels) for _, labels in whole] == [16, 16, 16, 2]
    for (a, x), (b, y) in zip(whole[2:], rest, strict=True):
        assert np.array_equal(a, b)
        assert np.array_equal(x, y)
    assert whole[0][0].shape == (16, 16, 32, 1)
    assert not np.array_equal(whole[0][0][0], clamp_windows(windows.gather(order[:1]), synthetic.SPEC)[0, ..., None])


def test_gather_reads_across_parts():
    parts = [np.arange(12, dtype=np.float32).reshape(3, 2, 2), np.arange(100, 108, dtype=np.float32).reshape(2, 2, 2)]
    windows = Windows(parts, np.zeros(5, np.int64), np.zeros(5, np.int64))
    assert windows.gather(np.array([4, 0, 3]))[:, 0, 0].tolist() == [104, 0, 100]


def test_an_unknown_member_is_an_error(tmp_path):
    from edge_asc.train.fit import train_ensemble

    with pytest.raises(RecipeError, match="v9"):
        train_ensemble(synthetic.recipe(), tmp_path, tmp_path / "out", members=["v9"])


def test_two_writers_in_one_folder_are_an_error(tmp_path):
    from edge_asc.data.folder_lock import sole_writer

    with sole_writer(tmp_path, wait=False), pytest.raises(InputError, match="another process"):
        synthetic.train(tmp_path, members=["v1"])
