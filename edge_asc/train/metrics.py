"""Accuracy, log-loss, confusion and bootstrap intervals of class probabilities, in NumPy alone.

Kept free of TensorFlow: a bundle is evaluated on the device with the same figures as a run on the training machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_asc.errors import InputError

_LEAST_PROBABILITY = 1e-15


@dataclass(frozen=True, kw_only=True)
class SceneScore:
    """How the windows of one scene (fine label) fared."""

    scene: str
    label: str
    n: int
    accuracy: float
    log_loss: float


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The figures of DCASE 2020 Task 1B for one set of windows."""

    labels: tuple[str, ...]
    n: int
    micro_accuracy: float
    """Right windows over all windows."""
    macro_accuracy: float
    """Mean over the labels that occur of the share of their windows that is right."""
    log_loss: float
    """Mean of -ln(probability of the true label), in nats."""
    confusion: tuple[tuple[int, ...], ...]
    """Row: true label; column: answer."""
    scenes: tuple[SceneScore, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A bootstrap percentile interval of the macro accuracy."""

    low: float
    high: float
    level: float
    n_recordings: int
    n_resamples: int


def score(probabilities: npt.ArrayLike, truth: npt.ArrayLike, *, labels: Sequence[str],
          scenes: Sequence[str] = ()) -> Scores:
    """Judges probabilities against the truth.

    Args:
        probabilities: [n, n_labels].
        truth: [n] label numbers.
        labels: Names, in the order of the columns.
        scenes: [n] fine labels, for figures per scene; may be left out.

    Raises:
        InputError: Nothing to judge, shapes that do not fit, or probabilities that are not finite.
    """
    p, t = np.asarray(probabilities, np.float64), np.asarray(truth, np.int64)
    if p.shape != (len(t), len(labels)) or not len(t):
        raise InputError("probabilities and labels do not fit", found=f"{p.shape} and {t.shape}",
                         wanted=f"[n, {len(labels)}] and [n], n at least 1")
    if not np.isfinite(p).all():
        raise InputError("probabilities that are not numbers", found=f"{np.count_nonzero(~np.isfinite(p))} of {p.size}")
    right, losses = p.argmax(axis=1) == t, _losses(p, t)
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(confusion, (t, p.argmax(axis=1)), 1)
    return Scores(labels=tuple(labels), n=len(t), micro_accuracy=float(right.mean()),
                  macro_accuracy=_macro(right, t), log_loss=float(losses.mean()),
                  confusion=tuple(tuple(int(n) for n in row) for row in confusion),
                  scenes=_scenes(right, losses, t, labels, scenes))


def bootstrap_interval(probabilities: npt.ArrayLike, truth: npt.ArrayLike, recordings: npt.ArrayLike, *,
                       level: float = 0.95, n_resamples: int = 2000, seed: int = 0) -> Interval:
    """How far the macro accuracy could move with other recordings of the same kind.

    Whole recordings are drawn with replacement, within each label, because windows of one recording are not
    independent (Efron and Tibshirani 1993, the percentile interval over clusters).

    Args:
        recordings: [n] anything that names the recording of each window.
    """
    p, t = np.asarray(probabilities), np.asarray(truth, np.int64)
    names, group = np.unique(np.asarray(recordings), return_inverse=True)
    right = p.argmax(axis=1) == t
    n_labels = p.shape[1]
    n_right, n_all = np.zeros((len(names), n_labels)), np.zeros((len(names), n_labels))
    np.add.at(n_right, (group, t), right)
    np.add.at(n_all, (group, t), 1)
    rng, recalls = np.random.default_rng(seed), []
    for label in np.unique(t):
        members = np.flatnonzero(n_all[:, label])
        drawn = rng.choice(members, size=(n_resamples, len(members)))
        recalls.append(n_right[drawn, label].sum(axis=1) / n_all[drawn, label].sum(axis=1))
    low, high = np.quantile(np.mean(recalls, axis=0), [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high), level=level, n_recordings=len(names), n_resamples=n_resamples)


def _losses(p: npt.NDArray[np.float64], t: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    own = p[np.arange(len(t)), t] / p.sum(axis=1)
    return np.asarray(-np.log(np.clip(own, _LEAST_PROBABILITY, 1.0)))


def _macro(right: npt.NDArray[np.bool_], t: npt.NDArray[np.int64]) -> float:
    return float(np.mean([right[t == label].mean() for label in np.unique(t)]))


def _scenes(right: npt.NDArray[np.bool_], losses: npt.NDArray[np.float64], t: npt.NDArray[np.int64],
            labels: Sequence[str], scenes: Sequence[str]) -> tuple[SceneScore, ...]:
    if not len(scenes):
        return ()
    names = np.asarray(scenes)
    found = []
    for label in range(len(labels)):
        for scene in np.unique(names[t == label]):
            here = (names == scene) & (t == label)
            found.append(SceneScore(scene=str(scene), label=labels[label], n=int(here.sum()),
                                    accuracy=float(right[here].mean()), log_loss=float(losses[here].mean())))
    return tuple(found)
