"""Floors: what needs no network is computed rightly, and is itself fair to rare labels and short recordings."""

from __future__ import annotations

import numpy as np
import pytest

from edge_asc.spec import LABELS
from edge_asc.train.batches import Windows
from edge_asc.train.floors import BandRegression, Frequencies, balanced_weights, band_statistics, chance, judged
from tests.train import synthetic

pytestmark = pytest.mark.train


def test_the_regression_learns_levels_of_bands() -> None:
    train, other = synthetic.windows(75, 0), synthetic.windows(60, 9)
    floor = BandRegression(train, synthetic.SPEC, n_labels=3)
    found = judged(floor.name, floor.probabilities(other), other.labels, labels=LABELS)
    assert found.macro_accuracy > 0.9
    assert found.log_loss < 0.5
    assert np.allclose(floor.probabilities(other).sum(axis=1), 1)


def test_statistics_are_those_of_the_clamped_window() -> None:
    db = np.full((1, 16, 32), -150.0, np.float32)
    db[0, 3] = np.where(np.arange(32) % 2, -20, -30)
    windows = Windows([db], np.zeros(1, np.int64), np.zeros(1, np.int64))
    means, deviations = band_statistics(windows, synthetic.SPEC).reshape(2, 16)
    assert means[3] == -25
    assert deviations[3] == 5
    assert set(means) == {-25, -100}
    # A gain moves what was heard, and not what the front end's floor (-100 dB) had swallowed.
    louder = band_statistics(windows, synthetic.SPEC, gain_db=10).reshape(2, 16)[0]
    assert louder[3] == -15
    assert louder[0] == -90  # 80 dB below the loudest, now that this is -10 dB
    softer = band_statistics(windows, synthetic.SPEC, gain_db=-30).reshape(2, 16)[0]
    assert softer[0] == -100


def test_weights_balance_labels_and_recordings() -> None:
    labels, recordings = np.array([0] * 90 + [1] * 10), np.array([0] * 80 + [1] * 10 + [2] * 10)
    weights = balanced_weights(Windows([np.zeros((100, 2, 2), np.float32)], labels, recordings))
    assert [weights[recordings == number].sum() for number in range(3)] == pytest.approx([25, 25, 50])
    assert weights.mean() == pytest.approx(1)


def test_a_label_that_training_lacks_gets_nothing() -> None:
    train = synthetic.windows(30, 0)
    two = train.take(np.flatnonzero(train.labels != 1))
    assert not BandRegression(two, synthetic.SPEC, n_labels=3).probabilities(train)[:, 1].any()


def test_frequencies_and_chance() -> None:
    train = Windows([np.zeros((4, 2, 2), np.float32)], np.array([1, 1, 1, 0]), np.arange(4))
    answers = Frequencies(train, n_labels=3).probabilities(train)
    assert answers.tolist() == [[0.25, 0.75, 0]] * 4
    found = judged("most frequent", answers, [1, 0, 1, 0], labels=LABELS)
    assert (found.micro_accuracy, found.macro_accuracy) == (0.5, 0.5)
    assert chance(3).to_json() == {"name": "chance", "micro_accuracy": 1 / 3, "macro_accuracy": 1 / 3,
                                   "log_loss": pytest.approx(1.0986, abs=1e-4)}
