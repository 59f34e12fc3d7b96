"""What is reached without a network: by chance, by the most frequent label, by statistics of the bands.

A network is worth its bytes only above these, so they stand beside every accuracy that is printed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_asc.errors import MissingDependencyError
from edge_asc.spec import FeatureSpec
from edge_asc.train.batches import Int64, Windows, clamped_chunks
from edge_asc.train.metrics import score

Float64 = npt.NDArray[np.float64]

_MAX_ITERATIONS = 5000


@dataclass(frozen=True, kw_only=True)
class Floor:
    """The figures of something that is no network."""

    name: str
    micro_accuracy: float
    macro_accuracy: float
    log_loss: float

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return asdict(self)


class Frequencies:
    """Answers every window with how frequent each label was among the training windows."""

    name = "most frequent label"

    def __init__(self, train: Windows, *, n_labels: int) -> None:
        self._shares = np.bincount(train.labels, minlength=n_labels) / len(train)

    def probabilities(self, windows: Windows, *, gain_db: float = 0.0) -> Float64:
        """[n, n_labels]; the gain is heard by nobody here."""
        del gain_db
        return np.tile(self._shares, (len(windows), 1))


class StatisticsRegression:
    """Logistic regression with L2 on standardised statistics.

    Args:
        statistics: [n, n_statistics].
        labels: [n] numbers of labels; one that is missing gets probability 0.
        weights: [n], what each row counts, also for the standardisation.
        n_labels: Of the answers.
        c: How much the rows' weighted losses, summed, count beside the penalty: scikit-learn's C.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """

    def __init__(self, statistics: Float64, labels: Int64, weights: Float64, *, n_labels: int, c: float = 1.0) -> None:
        try:
            from sklearn.linear_model import LogisticRegression
        except ImportError as error:
            raise MissingDependencyError.extra("the regression on band statistics", "train") from error
        self._n_labels = n_labels
        self._mean = np.average(statistics, axis=0, weights=weights)
        deviation = np.sqrt(np.average((statistics - self._mean) ** 2, axis=0, weights=weights))
        self._scale = np.where(deviation > 0, deviation, 1.0)
        self._model = LogisticRegression(C=c, max_iter=_MAX_ITERATIONS)
        self._model.fit(self._standardised(statistics), labels, sample_weight=weights)

    def probabilities(self, statistics: Float64) -> Float64:
        """[n, n_labels]."""
        found = np.zeros((len(statistics), self._n_labels))
        if len(statistics):
            found[:, self._model.classes_] = self._model.predict_proba(self._standardised(statistics))
        return found

    def _standardised(self, statistics: Float64) -> Float64:
        return np.asarray((statistics - self._mean) / self._scale)


class BandRegression:
    """Logistic regression on the mean and the standard deviation over time of every band.

    Labels count alike, and within a label its recordings, as in training with `balance = "label_and_recording"`.
    Statistics are standardised; the L2 penalty is scikit-learn's default, C = 1.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """

    name = "regression on band statistics"

    def __init__(self, train: Windows, spec: FeatureSpec, *, n_labels: int) -> None:
        self._spec = spec
        self._regression = StatisticsRegression(band_statistics(train, spec), train.labels, balanced_weights(train),
                                                n_labels=n_labels)

    def probabilities(self, windows: Windows, *, gain_db: float = 0.0) -> Float64:
        """[n, n_labels] of windows at another level."""
        return self._regression.probabilities(band_statistics(windows, self._spec, gain_db=gain_db))


def band_statistics(windows: Windows, spec: FeatureSpec, *, gain_db: float = 0.0) -> Float64:
    """[n, 2 * n_mels]: mean and standard deviation over time of each band of the clamped features."""
    found = [np.empty((0, 2 * spec.n_mels))]
    for chunk in clamped_chunks(windows, spec, gain_db=gain_db):
        found.append(np.concatenate([chunk.mean(axis=2), chunk.std(axis=2)], axis=1).astype(np.float64))
    return np.concatenate(found)


def balanced_weights(windows: Windows) -> Float64:
    """[n], 1 on average: every label weighs the same, within it every recording, within that every window."""
    weights = np.zeros(len(windows))
    for label in np.unique(windows.labels):
        own = windows.labels == label
        recordings = np.unique(windows.recordings[own])
        for recording in recordings:
            here = own & (windows.recordings == recording)
            weights[here] = 1 / (len(recordings) * np.count_nonzero(here))
    return weights * len(weights) / weights.sum()


def chance(n_labels: int) -> Floor:
    """What guessing gives on average, and the log-loss of saying that every label is as likely."""
    return Floor(name="chance", micro_accuracy=1 / n_labels, macro_accuracy=1 / n_labels,
                 log_loss=float(np.log(n_labels)))


def judged(name: str, probabilities: Float64, truth: npt.ArrayLike, *, labels: tuple[str, ...]) -> Floor:
    """The figures of a floor's answers."""
    scores = score(probabilities, truth, labels=labels)
    return Floor(name=name, micro_accuracy=scores.micro_accuracy, macro_accuracy=scores.macro_accuracy,
                 log_loss=scores.log_loss)
