"""Windows are places in shared arrays: taking some, and adding mixed ones, copies no features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asc.data.dataset import TauDataset
from edge_asc.train.batches import Windows
from edge_asc.train.training_data import load_splits
from tests.train import tiny_sounds

pytestmark = pytest.mark.train


@given(st.data())
def test_what_is_taken_and_added_is_found_again(data: st.DataObject) -> None:
    arrays = [np.arange(start, start + 4, dtype=np.float32).reshape(4, 1, 1) for start in (0, 10, 20)]
    windows, expected = Windows(arrays[:1], np.arange(4), np.arange(4)), np.arange(4)
    for part in arrays[1:]:
        indices = np.array(data.draw(st.lists(st.integers(0, len(windows) - 1), min_size=1)))
        windows, expected = windows.take(indices), expected[indices]
        windows = windows.with_mixed(part[:, 0, 0].astype(np.int64), part)
        expected = np.concatenate([expected, part[:, 0, 0].astype(np.int64)])
    assert len(windows) == len(expected)
    assert windows.gather(np.arange(len(windows)))[:, 0, 0].tolist() == windows.labels.tolist() == expected.tolist()
    assert windows.recordings.tolist() == [number if number < 10 else -1 for number in expected]


def test_a_run_maps_its_features_once_however_they_are_split(sounds: Path) -> None:
    splits = load_splits(tiny_sounds.recipe(selection_fraction=0.25), TauDataset.load(sounds), n_jobs=1, shown=False)
    assert splits.selection is not None
    [features] = splits.train.parts
    assert isinstance(features, np.memmap)
    assert splits.selection.parts[0] is features
    assert sorted([*splits.train.places, *splits.selection.places]) == list(range(len(features)))
