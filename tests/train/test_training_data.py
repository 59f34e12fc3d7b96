"""The windows of a run: labels and recordings that fit the clips, mixing and selection from training alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edge_asc.audio import read_audio
from edge_asc.data.dataset import TauDataset
from edge_asc.errors import DatasetError
from edge_asc.features import mel_db
from edge_asc.spec import LABELS
from edge_asc.train.batches import Windows
from edge_asc.train.recipes import from_mapping
from edge_asc.train.training_data import fingerprint, hold_out, load_splits, load_windows, number_recordings
from tests.sounds import SPEC
from tests.train import tiny_sounds

pytestmark = pytest.mark.train


def _recipe(**changes: dict[str, object]):
    values = tiny_sounds.recipe().to_json()
    return from_mapping(values | {key: values[key] | value for key, value in changes.items()})


def test_windows_fit_their_clips(sounds: Path) -> None:
    dataset = TauDataset.load(sounds)
    splits = load_splits(tiny_sounds.recipe(), dataset, n_jobs=1, shown=False)
    assert (len(splits.train), len(splits.validation), splits.selection) == (36, 18, None)
    assert splits.augment is not None
    clip = dataset.train[7]
    assert LABELS[splits.train.labels[7]] == clip.label
    expected = mel_db(read_audio(clip.path), SPEC)[:, :SPEC.n_frames]
    assert np.array_equal(splits.train.gather(np.array([7]))[0], expected)
    by_name = [clip.recording for clip in dataset.train]
    assert all((a == b) == (x == y) for a, x in zip(by_name, splits.train.recordings, strict=True)
               for b, y in zip(by_name, splits.train.recordings, strict=True))
    assert not set(splits.train.recordings) & set(splits.validation.recordings)


def test_mixed_tracks_are_added_to_training_alone(sounds: Path) -> None:
    settings = {"block_mixing": {"n_tracks_per_label": 2, "n_segments": 2}}
    dataset = TauDataset.load(sounds)
    # A track is 10 s long and its clips 1 s: segments of 5 s do not fit.
    with pytest.raises(DatasetError, match="shorter than a segment"):
        load_splits(_recipe(**settings), dataset, n_jobs=1, shown=False)
    settings["block_mixing"]["n_segments"] = 10
    splits = load_splits(_recipe(**settings), dataset, n_jobs=1, shown=False)
    assert (len(splits.train), len(splits.validation)) == (42, 18)
    assert splits.train.recordings[36:].tolist() == [-1] * 6
    assert splits.train.labels[36:].tolist() == [0, 0, 1, 1, 2, 2]
    assert splits.train.gather(np.array([40, 3])).shape == (2, SPEC.n_mels, SPEC.n_frames)


def test_a_selection_is_whole_recordings_of_the_training_part(sounds: Path) -> None:
    dataset = TauDataset.load(sounds)
    splits = load_splits(_recipe(training={"selection_fraction": 0.25}), dataset, n_jobs=1, shown=False)
    assert splits.selection is not None
    assert (len(splits.train), len(splits.selection)) == (27, 9)
    assert sorted(set(splits.selection.labels)) == [0, 1, 2]
    assert not set(splits.selection.recordings) & set(splits.train.recordings)


def test_mixing_on_the_fly_caches_nothing_and_hears_nothing_that_is_held_out(tmp_path: Path) -> None:
    dataset = TauDataset.load(tiny_sounds.write_sounds(tmp_path))
    recipe = _recipe(training={"selection_fraction": 0.25},
                     block_mixing={"n_tracks_per_label": 50, "on_the_fly": True})
    splits = load_splits(recipe, dataset, n_jobs=1, shown=False)
    assert len(list(dataset.cache_dir.iterdir())) == 2, "the clips of both splits"
    assert splits.selection is not None
    assert splits.fresh is not None
    assert (len(splits.train), len(splits.selection)) == (27 + 150, 9)
    assert splits.train.labels[27:].tolist() == [0] * 50 + [1] * 50 + [2] * 50
    tracks = splits.fresh.plan(0, [LABELS[label] for label in splits.train.labels[27:]])
    heard = {segment.path for track in tracks for segment in track}
    numbers = number_recordings([*dataset.train, *dataset.validation])
    assert {numbers[clip.recording] for clip in dataset.train if str(clip.path) in heard} == {
        *splits.train.recordings[:27]}
    assert len(heard) == 27


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.9])
def test_every_label_keeps_and_gives(fraction: float) -> None:
    labels, recordings = np.repeat([0, 0, 0, 1, 1], [5, 9, 2, 4, 4]), np.repeat(np.arange(5), [5, 9, 2, 4, 4])
    windows = Windows([np.zeros((24, 1, 1), np.float32)], labels, recordings)
    held_out = hold_out(windows, fraction=fraction, seed=1)
    kept = np.setdiff1d(np.arange(24), held_out)
    assert set(labels[held_out]) == set(labels[kept]) == {0, 1}
    assert not set(recordings[held_out]) & set(recordings[kept])


def test_one_recording_cannot_be_held_out() -> None:
    windows = Windows([np.zeros((4, 1, 1), np.float32)], np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2]))
    with pytest.raises(DatasetError, match="no recording of outdoor to hold out"):
        hold_out(windows, fraction=0.2, seed=0)


def test_a_missing_label_or_split_is_an_error(tmp_path: Path) -> None:
    root = tiny_sounds.write_sounds(tmp_path, n_train=1, n_validation=1, n_segments=1)
    for name, rows, says in (("fold1_train.csv", slice(0, -1), "no clip of transportation"),
                             ("fold1_evaluate.csv", slice(0, 1), "no clips to validate on")):
        table = root / "evaluation_setup" / name
        before = table.read_text()
        table.write_text("".join(before.splitlines(keepends=True)[rows]))
        with pytest.raises(DatasetError, match=says):
            load_splits(tiny_sounds.recipe(), TauDataset.load(root), n_jobs=1, shown=False)
        table.write_text(before)


def test_the_fingerprint_names_the_data(sounds: Path) -> None:
    dataset = TauDataset.load(sounds)
    first, again = (fingerprint(load_splits(tiny_sounds.recipe(), dataset, n_jobs=1, shown=False)) for _ in range(2))
    assert first == again
    mixed = {fingerprint(load_splits(_recipe(block_mixing={"n_tracks_per_label": 1, "on_the_fly": on_the_fly}), dataset,
                                     n_jobs=1, shown=False)) for on_the_fly in (False, True)}
    assert len({first, *mixed}) == 3


def test_unlabelled_clips_have_no_label(sounds: Path) -> None:
    dataset = TauDataset.load(sounds)
    clips = [dataclasses.replace(dataset.train[0], label=None)]
    windows = load_windows(clips, SPEC, dataset.cache_dir, recordings=number_recordings(clips), n_jobs=1, shown=False)
    assert windows.labels.tolist() == [-1]
