"""Block mixing on the fly: every batch is as planned, and a run that is stopped ends with the weights of any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_asc.data import fresh_tracks
from edge_asc.data.dataset import TauDataset
from edge_asc.data.feature_cache import read_track
from edge_asc.errors import DatasetError
from edge_asc.features import mel_db
from edge_asc.spec import LABELS
from edge_asc.train import member
from edge_asc.train.batches import Splits, clamp_windows, draw_epoch
from edge_asc.train.feed import training_feed
from edge_asc.train.fit import describe_data, train_on
from edge_asc.train.keras2 import keras
from edge_asc.train.progress import Silent
from edge_asc.train.recipes import Recipe, override
from edge_asc.train.training_data import load_splits, representative_windows
from tests.sounds import SPEC
from tests.train import tiny_sounds

pytestmark = pytest.mark.train

MIXED = ["block_mixing.n_tracks_per_label=4", "block_mixing.on_the_fly=true", "members={v1='V(0,0,0,0)'}"]


def _recipe(*settings: str) -> Recipe:
    return override(tiny_sounds.recipe(), [*MIXED, *settings])


def _splits(root: Path, recipe: Recipe, n_jobs: int = 1) -> Splits:
    return load_splits(recipe, TauDataset.load(root), n_jobs=n_jobs, shown=False)


@pytest.mark.parametrize("settings", [("training.balance=none", "training.windows_per_epoch=0"),
                                      ("training.balance=label", "block_mixing.share=0.6")])
def test_every_window_is_the_one_that_was_planned(sounds: Path, settings: tuple[str, ...]) -> None:
    recipe = _recipe("augmentation.gain_db=[]", "training.epochs=3", "pruning.final_sparsity=0", *settings)
    splits, training = _splits(sounds, recipe), recipe.training
    assert splits.fresh is not None
    assert len(splits.train) == 36 + 12
    expected, truth = [], []
    for epoch in range(3):
        order = draw_epoch(splits.train, balance=training.balance, n_windows=training.windows_per_epoch,
                           mixed_share=recipe.block_mixing.share, seed=9, epoch=epoch)
        labels = splits.train.labels[order]
        tracks = splits.fresh.plan(epoch + 5, [LABELS[label] for label in labels[order >= 36]])
        for index, label in zip(order, labels, strict=True):
            expected.append(splits.train.gather(np.array([index]))[0] if index < 36 else
                            mel_db(read_track(next(tracks), 48_000), SPEC)[:, :SPEC.n_frames])
            truth.append(label)
    n_mixed = sum(epoch >= 36 for epoch in order)
    assert n_mixed == (12 if training.balance == "none" else round(24 * 0.6) * 3)
    with training_feed(splits, recipe, seed=9, n_epochs_before=5) as drawn:
        batches = list(drawn)
    assert np.array_equal(np.concatenate([x[..., 0] for x, _ in batches]), clamp_windows(np.array(expected), SPEC))
    assert np.array_equal(np.concatenate([y for _, y in batches]), truth)
    for first in (1, len(batches) // 3, len(batches) - 1, len(batches)):
        with training_feed(splits, recipe, seed=9, n_epochs_before=5, first=first) as drawn:
            rest = list(drawn)
        assert len(rest) == len(batches) - first
        assert all(np.array_equal(x, a) and np.array_equal(y, b)
                   for (x, y), (a, b) in zip(rest, batches[first:], strict=True))


def test_representative_windows_are_mixed_too(sounds: Path) -> None:
    recipe = _recipe("block_mixing.share=1.0")
    found = representative_windows(recipe, _splits(sounds, recipe))
    assert found.shape == (128, SPEC.n_mels, SPEC.n_frames)
    assert len(np.unique(found, axis=0)) == 128, "far more than the twelve tracks that a fixed set has"


class Stopping(Silent):
    """Does something when so many windows were trained on."""

    def __init__(self, n_windows: int, act: Callable[[], Any]) -> None:
        self._left, self._act = n_windows, act

    def advance(self, n_windows: int) -> None:
        self._left -= n_windows
        if self._left == 0:
            self._act()


def _train(root: Path, out: Path, *, n_jobs: int = 1, progress: Silent | None = None) -> list[np.ndarray]:
    """The weights after the last epoch."""
    recipe = _recipe("training.epochs=6")
    splits = _splits(root, recipe, n_jobs)
    train_on(splits, recipe, out, members=["v1"], data=describe_data(splits, root), progress=progress or Silent())
    return keras.models.load_model(out / "members/v1/last.keras", compile=False).get_weights()


@pytest.fixture(scope="module")
def straight(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """Those of a run that nothing stopped, with processes that make its tracks."""
    return _train(sounds, tmp_path_factory.mktemp("straight"), n_jobs=2)


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_a_run_stopped_within_an_epoch_ends_with_the_same_weights(
        sounds: Path, tmp_path: Path, straight: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member, "CHECKPOINT_EVERY_S", 0.0)
    for n_windows in (72 + 24, 72 * 2):  # within the second epoch, then within the fourth
        with pytest.raises(KeyboardInterrupt):
            _train(sounds, tmp_path, progress=Stopping(n_windows, _interrupt))
    assert all(np.array_equal(a, b) for a, b in zip(_train(sounds, tmp_path), straight, strict=True))


def test_a_recording_that_goes_away_in_training_stops_it_until_it_is_back(
        tmp_path: Path, straight: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh_tracks, "N_AHEAD", 16)
    root = tiny_sounds.write_sounds(tmp_path / "sounds")
    clip = TauDataset.load(root).train[0].path
    away = clip.with_suffix(".away")
    with pytest.raises(DatasetError, match=f"mixed from any more: no such file: .*{clip.name}"):
        _train(root, tmp_path / "run", progress=Stopping(72, lambda: clip.rename(away)))
    with pytest.raises(DatasetError, match=f"1 of 54 audio files of .* missing:.*\\n.*{clip.name}"):
        _train(root, tmp_path / "run")
    away.rename(clip)
    assert all(np.array_equal(a, b) for a, b in zip(_train(root, tmp_path / "run"), straight, strict=True))
