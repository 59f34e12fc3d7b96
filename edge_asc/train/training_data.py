"""The windows of a run: cached features of the splits, block-mixed tracks, and a third split if the recipe asks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edge_asc.data.block_mixing import mixed_features
from edge_asc.data.dataset import TauDataset
from edge_asc.data.feature_cache import cached_features
from edge_asc.data.fresh_tracks import FreshTracks
from edge_asc.data.tau_layout import Clip
from edge_asc.errors import DatasetError
from edge_asc.spec import LABELS, FeatureSpec
from edge_asc.train.augmentation import augmenter
from edge_asc.train.batches import Float32, Int64, Splits, Windows, draw_epoch
from edge_asc.train.feed import Epoch, feed
from edge_asc.train.recipes import Recipe
from edge_asc.train.teacher import band_teacher

_SELECTION = 3
N_REPRESENTATIVE = 128
"""Windows that show which values occur, for the ranges of int8."""


def load_splits(recipe: Recipe, dataset: TauDataset, *, n_jobs: int | None = None, shown: bool = True) -> Splits:
    """Computes or opens the features of a data set and arranges them as a recipe says.

    Args:
        n_jobs: Processes for features that are not cached yet; None for one per core.
        shown: Whether the cache may draw a progress bar.

    Raises:
        DatasetError: A split is empty or lacks a label.
    """
    recordings = number_recordings([*dataset.train, *dataset.validation])
    train, validation = (load_windows(clips, recipe.features, dataset.cache_dir, recordings=recordings, n_jobs=n_jobs,
                                      shown=shown) for clips in (dataset.train, dataset.validation))
    if not len(validation):
        raise DatasetError(f"{dataset.root} has no clips to validate on", wanted="rows in fold1_evaluate.csv")
    return arrange(recipe, dataset.train, train, validation, cache_dir=dataset.cache_dir, n_jobs=n_jobs, shown=shown)


def load_windows(clips: Sequence[Clip], spec: FeatureSpec, cache_dir: Path, *, recordings: Mapping[str, int],
                 n_jobs: int | None = None, shown: bool = True) -> Windows:
    """The window of each clip; the label is -1 where none is known.

    Args:
        recordings: Numbers of the recordings, from `number_recordings`.
    """
    labels = np.array([-1 if clip.label is None else LABELS.index(clip.label) for clip in clips], np.int64)
    numbers = np.array([recordings[clip.recording] for clip in clips], np.int64)
    return Windows([cached_features(clips, spec, cache_dir, n_jobs=n_jobs, progress=shown)], labels, numbers)


def number_recordings(clips: Sequence[Clip]) -> dict[str, int]:
    """A number for every recording, in the order of their names."""
    return {name: number for number, name in enumerate(sorted({clip.recording for clip in clips}))}


def arrange(recipe: Recipe, clips: Sequence[Clip], train: Windows, validation: Windows, *, cache_dir: Path,
            n_jobs: int | None = None, shown: bool = True) -> Splits:
    """Holds out the selection and adds the mixed tracks that a recipe asks for.

    Args:
        clips: Those of `train`, in the same order; the mixed tracks are cut from them alone.

    Raises:
        DatasetError: A label is missing or has too few recordings.
    """
    _require_labels(train, "training")
    selection = None
    held_out = hold_out(train, fraction=recipe.training.selection_fraction, seed=recipe.seed)
    if len(held_out):
        kept = np.setdiff1d(np.arange(len(train)), held_out)
        clips = [clips[number] for number in kept]
        selection, train = train.take(held_out), train.take(kept)
        _require_labels(train, "training (after holding out the selection)")
    train, fresh = _mixed_tracks(recipe, clips, train, cache_dir=cache_dir, n_jobs=n_jobs, shown=shown)
    augment = augmenter(recipe.augmentation, recipe.features) if recipe.augmentation.enabled else None
    teacher = band_teacher(recipe.distillation, train, spec=recipe.features, augment=augment, n_labels=len(LABELS),
                           seed=recipe.seed) if recipe.distillation.enabled else None
    return Splits(spec=recipe.features, labels=LABELS, train=train, validation=validation, selection=selection,
                  fresh=fresh, augment=augment, teacher=teacher)


def hold_out(windows: Windows, *, fraction: float, seed: int) -> Int64:
    """Windows of whole recordings, about `fraction` of each label's windows and at least one recording of each.

    Raises:
        DatasetError: A label has one recording only, which cannot be in two splits.
    """
    if not fraction:
        return np.empty(0, np.int64)
    rng, found = np.random.default_rng([seed, _SELECTION]), []
    for label in np.unique(windows.labels):
        own = np.flatnonzero(windows.labels == label)
        recordings = rng.permutation(np.unique(windows.recordings[own]))
        if len(recordings) < 2:
            raise DatasetError(f"no recording of {LABELS[label]} to hold out and choose on", found="one for training",
                               wanted="at least two", fix="Add one. Only training that chooses nothing does without: "
                               "training.selection_fraction=0.")
        sizes = np.cumsum([np.count_nonzero(windows.recordings[own] == recording) for recording in recordings])
        n_held = min(max(1, int(np.searchsorted(sizes, fraction * len(own), side="right"))), len(recordings) - 1)
        found.append(own[np.isin(windows.recordings[own], recordings[:n_held])])
    return np.sort(np.concatenate(found))


def representative_windows(recipe: Recipe, splits: Splits) -> Float32:
    """Training windows, evenly by label and recording, changed as the recipe changes them."""
    order = draw_epoch(splits.train, balance="label_and_recording", n_windows=N_REPRESENTATIVE,
                       mixed_share=recipe.block_mixing.share, seed=recipe.seed, epoch=0)
    with feed(splits, [Epoch(0, order)], batch_size=32, seed=recipe.seed) as drawn:
        return np.concatenate([windows[..., 0] for windows, _ in drawn])


def fingerprint(splits: Splits) -> str:
    """SHA-256 over features, labels and recordings of all splits, and over what tracks are drawn from that are mixed on
    the fly: the same data, the same digits."""
    digest = hashlib.sha256()
    for windows in (splits.train, splits.validation, splits.selection):
        if windows is None:
            continue
        digest.update(windows.labels.astype("<i8").tobytes() + windows.recordings.astype("<i8").tobytes())
        indices = np.arange(len(windows))
        indices = indices[~windows.is_unmade(indices)]
        for start in range(0, len(indices), 64):
            digest.update(windows.gather(indices[start:start + 64]).tobytes())
    if splits.fresh is not None:
        digest.update(splits.fresh.fingerprint.encode())
    return digest.hexdigest()


def _mixed_tracks(recipe: Recipe, clips: Sequence[Clip], train: Windows, *, cache_dir: Path, n_jobs: int | None,
                  shown: bool) -> tuple[Windows, FreshTracks | None]:
    """The windows with the mixed ones behind them; and what makes those, if nothing is to keep them."""
    settings = recipe.block_mixing
    if not settings.n_tracks_per_label:
        return train, None
    if settings.on_the_fly:
        fresh = FreshTracks(clips, recipe.features, n_segments=settings.n_segments, match=settings.match,
                            seed=recipe.seed, n_jobs=n_jobs)
        return train.with_mixed(np.repeat(np.arange(len(LABELS)), settings.n_tracks_per_label)), fresh
    features, labels = mixed_features(clips, recipe.features, cache_dir, seed=recipe.seed,
                                      n_tracks_per_label=settings.n_tracks_per_label,
                                      n_segments=settings.n_segments, match=settings.match, n_jobs=n_jobs,
                                      progress=shown)
    return train.with_mixed(np.array([LABELS.index(label) for label in labels], np.int64), features), None


def _require_labels(windows: Windows, split: str) -> None:
    missing = [label for number, label in enumerate(LABELS) if not (windows.labels == number).any()]
    if missing:
        raise DatasetError(f"the {split} split has no clip of {', '.join(missing)}", wanted="clips of every label")
