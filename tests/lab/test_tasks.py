"""A task is named by what shapes its result, refused if it is impossible, and trains to figures that can be checked."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from edge_asc.data.dataset import TauDataset
from edge_asc.errors import InputError, RecipeError
from edge_asc.lab.data import data_fingerprint, thinned
from edge_asc.lab.pareto.space import Kind, task_of
from edge_asc.lab.plan import make_plan
from edge_asc.lab.tasks import Task, check, fixed_execution, run_task, single_member
from edge_asc.spec import LABELS
from edge_asc.train.execution import Execution
from edge_asc.train.metrics import score
from edge_asc.train.models import parse_architecture
from edge_asc.train.recipes import load_recipe, override
from tests.data.tiny_tau import write_tiny
from tests.lab import fakes
from tests.train import tiny_sounds

pytestmark = pytest.mark.train


def changed(task: Task, *settings: str) -> Task:
    return dataclasses.replace(task, recipe=override(task.recipe, settings))


def test_the_key_is_of_what_shapes_the_result_and_of_nothing_else() -> None:
    task = fakes.task()
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task
    same = [dataclasses.replace(task, dataset="elsewhere"), changed(task, "block_mixing.n_segments=2"),
            changed(task, "block_mixing.on_the_fly=true"), changed(task, "augmentation.low_pass_probability=0.1"),
            changed(task, "name=other", "description=more")]
    assert {one.key for one in same} == {task.key}
    others = [fakes.task(1), fakes.task(data_sha256="1" * 64), fakes.task(data_share=0.5),
              changed(task, "training.epochs=401"), changed(task, "pruning.final_sparsity=0.7"),
              changed(task, "block_mixing.n_tracks_per_label=3"),
              changed(task, "block_mixing.n_tracks_per_label=3", "block_mixing.on_the_fly=true"),
              changed(task, "features.top_db=70.0"), fakes.task(recipe=single_member(task.recipe, "I(2,1,2)")),
              fakes.task(execution=fixed_execution("V(2,2,3,3)"))]
    assert len({one.key for one in [task, *others]}) == 1 + len(others)
    unpruned = changed(task, "pruning.final_sparsity=0.0", "pruning.initial_sparsity=0.0")
    assert unpruned.key == changed(unpruned, "pruning.begin_epoch=7").key != task.key


def test_keys_stay_what_they_are() -> None:
    task = fakes.task(recipe=single_member(load_recipe("paper-model1"), "V(2,2,3,3)"))
    assert task.key == "4f30381d26a405b4e70e6d10305ffe3a6d1b1504a88535a4fe64f355dea988b4"
    mixed = changed(task, "block_mixing.n_tracks_per_label=3", "training.l2=0.0")
    assert mixed.key == "c0f11c9aca0b399f78d29c275cd0ba3d654a04f6d87649a5d26cb6b6e656192f"
    wide = dataclasses.replace(task, execution=Execution(channel_multiple=8))
    assert wide.key == "babe823c36ca13ea4191439f53d59279777dbfcf8118e2e57942dc0880d43cee"
    older = {name: value for name, value in task.to_json().items() if name != "execution"}
    assert Task.from_json(older) == task, "as in stores from before tasks said how they are computed"


def test_every_task_of_a_table_and_of_a_front_is_computed_in_its_familys_way(tmp_path: Path) -> None:
    write_tiny(tmp_path, n_train=2, clip_s=0.1)
    plan = make_plan(tmp_path, scale="smoke")
    deep, other = (plan.task(architecture, seed=1, pruned=True) for architecture in ("V(2,2,3,3)", "i(2,1,2)"))
    assert (deep.execution, other.execution) == (Execution(channel_multiple=8), Execution(pointwise_matmul=True))
    narrow = [task_of(Kind(architecture=parse_architecture(f"{text}x0.5"), sparsity=0.8), task) for text, task in (
        ("I(1,0,1)", deep), ("V(0,0,1,1)", other))]
    assert [task.execution for task in narrow] == [other.execution, deep.execution]


@pytest.mark.parametrize(("setting", "architecture", "message"), [
    ("features.n_mels=512", "V(2,2,3,3)", "n_mels = 512 is too many for n_fft = 2048"),
    ("features.n_mels=8", "V(2,2,3,3)", "halves its input four times"),
    ("features.n_frames=470", "I(2,1,2)", "longer than a clip"),
    ("seed=1", "V(2,2)", "unknown architecture")])
def test_impossible_tasks_are_refused(setting: str, architecture: str, message: str) -> None:
    task = changed(fakes.task(recipe=single_member(fakes.RECIPE, architecture)), setting)
    with pytest.raises((InputError, RecipeError), match=message):
        check(task)


def test_a_data_set_is_known_by_its_content(tmp_path: Path) -> None:
    for name in "one", "other":
        write_tiny(tmp_path / name, n_train=2, clip_s=1)
    one, other = TauDataset.load(tmp_path / "one"), TauDataset.load(tmp_path / "other")
    assert data_fingerprint(one) == data_fingerprint(other)
    first = other.train[0].path
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    assert data_fingerprint(one) != data_fingerprint(other)


def test_thinning_keeps_every_label_and_spreads_over_the_clips(tmp_path: Path) -> None:
    write_tiny(tmp_path, n_train=10, n_validation=2, clip_s=0.1)
    dataset = TauDataset.load(tmp_path)
    half = thinned(dataset, 0.5)
    assert (len(dataset.train), len(half.train), len(half.validation)) == (60, 30, 9)
    assert {clip.label for clip in half.train} == set(LABELS)
    assert {clip.recording for clip in half.train} == {clip.recording for clip in dataset.train}
    assert thinned(dataset, 1.0) is dataset


def test_a_member_is_trained_and_its_figures_are_those_of_its_answers(sounds: Path, tmp_path: Path) -> None:
    dataset = TauDataset.load(sounds)
    recipe = override(single_member(tiny_sounds.recipe(), "I(0,0,1)"), ["training.selection_fraction=0.25"])
    task = Task(recipe=recipe, seed=7, dataset=str(sounds), data_sha256=data_fingerprint(dataset),
                execution=fixed_execution("I(0,0,1)"))
    found = run_task(task, tmp_path / "task")
    assert found.provenance["execution"] == dataclasses.asdict(Execution(pointwise_matmul=True))
    assert found.arrays["validation/truth"].tolist() == [LABELS.index(clip.label or "") for clip in dataset.validation]
    for split in "validation", "selection":
        for rule in "last", "best_on_selection", "best_on_validation":
            scores = score(found.arrays[f"{split}/{rule}"], found.arrays[f"{split}/truth"], labels=LABELS)
            assert found.result["figures"][rule][split] == {
                "micro_accuracy": scores.micro_accuracy, "macro_accuracy": scores.macro_accuracy,
                "log_loss": scores.log_loss}
    assert found.result["figures"]["last"]["epoch"] == 8
    assert found.result["n_nonzero"] < 0.3 * found.result["n_parameters"]
    assert found.result["n_macs_nonzero"] < 0.3 * found.result["n_macs"]
    assert json.loads(json.dumps(found.result)) == found.result
    again = run_task(task, tmp_path / "task")  # as after a kill between the last epoch and the store
    assert again.result == found.result
    assert all(np.array_equal(found.arrays[name], again.arrays[name]) for name in found.arrays)
    other = run_task(dataclasses.replace(task, seed=8), tmp_path / "other")
    assert not np.array_equal(other.arrays["validation/last"], found.arrays["validation/last"])
    assert np.array_equal(other.arrays["selection/truth"], found.arrays["selection/truth"])
