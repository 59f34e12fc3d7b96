"""Leave-recordings-out: no window is answered for by a network that heard its recording, and all of them are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asc.data.dataset import TauDataset
from edge_asc.errors import DatasetError, InputError, TrainingError
from edge_asc.train.batches import Windows
from edge_asc.train.cross_validation import assign_folds, cross_validate
from edge_asc.train.evaluate import Evaluation
from edge_asc.train.run import Run
from tests.train import tiny_sounds

pytestmark = pytest.mark.train


def _windows(sizes: list[tuple[int, int]]) -> Windows:
    """From (label, windows) of each recording."""
    labels = np.repeat([label for label, _ in sizes], [n for _, n in sizes])
    recordings = np.repeat(np.arange(len(sizes)), [n for _, n in sizes])
    return Windows([np.zeros((len(labels), 1, 1), np.float32)], labels, recordings)


_SIZES = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 30)), min_size=6, max_size=30).filter(
    lambda sizes: all([label for label, _ in sizes].count(label) != 1 for label in range(3)))


@given(_SIZES, st.integers(2, 6), st.integers(0, 1000))
def test_whole_recordings_and_every_label_in_every_fold_where_possible(sizes: list[tuple[int, int]], n_folds: int,
                                                                      seed: int) -> None:
    windows = _windows(sizes)
    folds = assign_folds(windows, n_folds=n_folds, seed=seed)
    assert set(folds) <= set(range(n_folds))
    for recording in np.unique(windows.recordings):
        assert len(set(folds[windows.recordings == recording])) == 1
    for label in np.unique(windows.labels):
        own = windows.labels == label
        n_recordings = len(np.unique(windows.recordings[own]))
        assert len(set(folds[own])) == min(n_folds, n_recordings)
        counts = np.bincount(folds[own], minlength=n_folds)
        assert counts.max() - counts.min() <= np.bincount(windows.recordings[own]).max()


def test_impossible_folds() -> None:
    windows = _windows([(0, 3), (0, 3), (1, 3), (1, 3)])
    for n_folds in (0, 1, 5):
        with pytest.raises(InputError, match="impossible number of folds"):
            assign_folds(windows, n_folds=n_folds, seed=0)
    with pytest.raises(DatasetError, match="leaves nothing of outdoor"):
        assign_folds(_windows([(0, 3), (0, 3), (1, 3)]), n_folds=2, seed=0)


@pytest.fixture(scope="module")
def validated(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Evaluation]:
    out = tmp_path_factory.mktemp("folds")
    recipe = tiny_sounds.recipe()
    return out, cross_validate(recipe, sounds, out, n_folds=2, members=["v1"], n_jobs=1)


def test_every_window_is_answered_for_by_the_fold_that_held_it_out(validated: tuple[Path, Evaluation],
                                                                  sounds: Path) -> None:
    out, found = validated
    clips = TauDataset.load(sounds).train
    assert [clip.filename for clip in found.clips] == [clip.filename for clip in clips]
    folds = found.to_json()["folds"]
    assert sorted(name for fold in folds for name in fold["recordings"]) == sorted({clip.recording for clip in clips})
    for fold in folds:
        answers = np.load(out / fold["run"] / "members/v1/validation.npz")["last"]
        held_out = [i for i, clip in enumerate(clips) if clip.recording in fold["recordings"]]
        assert np.allclose(found.probabilities[held_out], answers)
        about = Run.load(out / fold["run"]).about["data"]
        assert (about["n_train"], about["n_validation"]) == (36 - len(held_out), len(held_out))


def test_figures_and_floors_are_saved(validated: tuple[Path, Evaluation]) -> None:
    out, found = validated
    assert found.scores.n == 36
    assert found.interval.n_recordings == 12
    assert [floor.name for floor in found.floors] == ["chance", "most frequent label", "regression on band statistics"]
    assert json.loads((out / "evaluation.json").read_text()) == json.loads(json.dumps(found.to_json()))
    assert len((out / "output.csv").read_text().splitlines()) == 37


def test_a_second_call_trains_nothing(validated: tuple[Path, Evaluation], sounds: Path) -> None:
    out, found = validated
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.keras")}
    again = cross_validate(tiny_sounds.recipe(), sounds, out, n_folds=2, members=["v1"], n_jobs=1)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.keras")} == before
    assert again.to_json() == found.to_json()


def test_a_run_is_not_overwritten(sounds: Path, sounds_run: Path) -> None:
    with pytest.raises(TrainingError, match="training run of its own"):
        cross_validate(tiny_sounds.recipe(), sounds, sounds_run, n_folds=2)
