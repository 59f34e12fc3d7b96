"""From cached features to training batches: draw, gather, augment in dB, clamp, in that order.

Everything random follows from (seed, epoch, batch), never from what was drawn before, so a run that is resumed in
the middle of an epoch sees exactly the batches it would have seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_asc.data.fresh_tracks import FreshTracks
from edge_asc.spec import FeatureSpec
from edge_asc.train.augmentation import shifted

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Augment = Callable[[Float32, np.random.Generator], Float32]
"""Un-clamped dB [n, n_mels, n_frames] and a generator -> the same, changed."""
Batch = tuple[Float32, Int64]
"""[n, n_mels, n_frames, 1] clamped dB, and labels [n]."""
Teacher = Callable[[Float32], Float32]
"""Clamped dB [n, n_mels, n_frames] -> probabilities [n, n_labels] to train towards."""

_ORDER, _AUGMENT = 1, 2
_CHUNK = 64


@dataclass(frozen=True)
class Windows:
    """Labelled windows in one or more feature arrays, which may be memory-mapped and are never joined or copied.

    Places behind the last array are of windows that are made whenever they are drawn.
    """

    parts: Sequence[Any]
    """Un-clamped dB, each [n, n_mels, n_frames]."""
    labels: Int64
    """[n]."""
    recordings: Int64
    """[n] number of the recording or place that a window was cut from; -1 for one mixed from several."""
    places: Int64 | None = None
    """[n] where each is, counted over all parts; None for all of them in order."""

    def __len__(self) -> int:
        return len(self.labels)

    def gather(self, indices: Int64, made: Iterable[Float32] = ()) -> Float32:
        """[len(indices), n_mels, n_frames], a copy; those that are made when they are drawn come from `made`."""
        places = indices if self.places is None else self.places[indices]
        if len(self.parts) == 1 and not self.is_unmade(indices).any():
            return np.asarray(self.parts[0][places], np.float32)
        found = np.empty((len(places), *self.parts[0].shape[1:]), np.float32)
        start = 0
        for part in self.parts:
            here = (places >= start) & (places < start + len(part))
            found[here] = part[places[here] - start]
            start += len(part)
        unmade = np.flatnonzero(places >= start)
        for number, window in zip(unmade, islice(made, len(unmade)), strict=True):
            found[number] = window
        return found

    def is_unmade(self, indices: Int64) -> npt.NDArray[np.bool_]:
        """[len(indices)] whether each is made whenever it is drawn."""
        places = indices if self.places is None else self.places[indices]
        return places >= sum(len(part) for part in self.parts)

    def take(self, indices: Int64) -> Windows:
        """Those windows alone, in the same arrays."""
        return Windows(self.parts, self.labels[indices], self.recordings[indices],
                       indices if self.places is None else self.places[indices])

    def with_mixed(self, labels: Int64, part: Any = None) -> Windows:
        """These and mixed ones behind them: those of another array, or to be made whenever they are drawn."""
        places = self.places
        if places is not None:
            n_before = sum(len(part) for part in self.parts)
            places = np.concatenate([places, n_before + np.arange(len(labels))])
        return Windows(self.parts if part is None else [*self.parts, part], np.concatenate([self.labels, labels]),
                       np.concatenate([self.recordings, np.full(len(labels), -1)]), places)


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The windows of a run. `selection` chooses the best epoch where there is one, else `validation` does."""

    spec: FeatureSpec
    labels: tuple[str, ...]
    train: Windows
    validation: Windows
    selection: Windows | None = None
    augment: Augment | None = None
    fresh: FreshTracks | None = None
    """Makes the training windows that are made whenever they are drawn."""
    teacher: Teacher | None = None


def clamp_windows(windows_db: Float32, spec: FeatureSpec) -> Float32:
    """`features.clamp` over each window of [n, n_mels, n_frames]: raised to top_db below its own largest value."""
    if spec.top_db is None:
        return windows_db
    floor = windows_db.max(axis=(1, 2), keepdims=True) - np.float32(spec.top_db)
    return np.maximum(windows_db, floor)


def clamped_chunks(windows: Windows, spec: FeatureSpec, *, gain_db: float = 0.0) -> Iterator[Float32]:
    """All windows in order, [up to 64, n_mels, n_frames] at a time: shifted by `gain_db`, then clamped."""
    for start in range(0, len(windows), _CHUNK):
        windows_db = windows.gather(np.arange(start, min(start + _CHUNK, len(windows))))
        yield clamp_windows(shifted(windows_db, gain_db, spec) if gain_db else windows_db, spec)


def draw_epoch(windows: Windows, *, balance: str, n_windows: int, mixed_share: float, seed: int, epoch: int) -> Int64:
    """Which windows an epoch trains on, in order.

    Args:
        balance: `none`: each once, or cyclically when more are wanted; `label`: every label equally often;
            `label_and_recording`: every label, and within it every recording, equally often.
        n_windows: How many; 0 for as many as there are.
        mixed_share: Part taken from mixed windows (recording -1), where there are any and `balance` is not `none`.
    """
    rng = np.random.default_rng([seed, epoch, _ORDER])
    n_windows = n_windows or len(windows)
    if balance == "none":
        return _cycle(np.arange(len(windows)), n_windows, rng)
    labels = rng.permutation(np.unique(windows.labels))
    quotas = [len(share) for share in np.array_split(np.empty(n_windows), len(labels))]
    drawn = []
    for label, quota in zip(labels, quotas, strict=True):
        mixed = np.flatnonzero((windows.labels == label) & (windows.recordings < 0))
        plain = np.flatnonzero((windows.labels == label) & (windows.recordings >= 0))
        n_mixed = round(quota * mixed_share) if len(mixed) and len(plain) else quota * (len(mixed) > 0)
        drawn.append(_cycle(mixed, n_mixed, rng))
        if balance == "label":
            drawn.append(_cycle(plain, quota - n_mixed, rng))
        else:
            drawn.append(_by_recording(plain, windows.recordings[plain], quota - n_mixed, rng))
    return rng.permutation(np.concatenate(drawn))


def batches(windows: Windows, order: Int64, *, batch_size: int, spec: FeatureSpec, augment: Augment | None,
            seed: int, epoch: int, first: int = 0, made: Iterable[Float32] = ()) -> Iterator[Batch]:
    """The batches of one epoch from number `first` on.

    Args:
        made: The windows of these batches that are made whenever they are drawn, in that order.
    """
    for number in range(first, n_batches(len(order), batch_size)):
        indices = order[number * batch_size:(number + 1) * batch_size]
        windows_db = windows.gather(indices, made)
        if augment is not None:
            windows_db = augment(windows_db, np.random.default_rng([seed, epoch, number, _AUGMENT]))
        yield clamp_windows(windows_db, spec)[..., None], windows.labels[indices]


def n_batches(n_windows: int, batch_size: int) -> int:
    """Batches of one epoch; the last may be smaller."""
    return -(-n_windows // batch_size)


def _cycle(indices: Int64, n: int, rng: np.random.Generator) -> Int64:
    """`n` of them, each as often as any other to within one, in random order."""
    if not n:
        return indices[:0]
    return np.concatenate([rng.permutation(indices) for _ in range(-(-n // len(indices)))])[:n]


def _by_recording(indices: Int64, recordings: Int64, n: int, rng: np.random.Generator) -> Int64:
    """`n` of them, each recording as often as any other to within one, its windows in turn."""
    groups = [indices[recordings == recording] for recording in np.unique(recordings)]
    counts = np.bincount(_cycle(np.arange(len(groups)), n, rng), minlength=len(groups))
    return np.concatenate([_cycle(group, int(count), rng) for group, count in zip(groups, counts, strict=True)])
