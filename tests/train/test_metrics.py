"""Figures of probabilities: by hand on small cases, against scikit-learn on random ones, and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, log_loss

from edge_asc.errors import InputError
from edge_asc.spec import LABELS
from edge_asc.train.metrics import bootstrap_interval, score

pytestmark = pytest.mark.train


def test_by_hand() -> None:
    probabilities = [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]]
    found = score(probabilities, [0, 0, 0, 1], labels=LABELS, scenes=["airport", "airport", "mall", "park"])
    assert (found.n, found.micro_accuracy) == (4, 0.75)
    assert found.macro_accuracy == pytest.approx((2 / 3 + 1) / 2)  # transportation does not occur
    assert found.log_loss == pytest.approx(-np.log([0.5, 0.5, 0.2, 0.8]).mean())
    assert found.confusion == ((2, 0, 1), (0, 1, 0), (0, 0, 0))
    assert [(scene.scene, scene.label, scene.n, scene.accuracy) for scene in found.scenes] == [
        ("airport", "indoor", 2, 1.0), ("mall", "indoor", 1, 0.0), ("park", "outdoor", 1, 1.0)]
    assert found.scenes[1].log_loss == pytest.approx(-np.log(0.2))


@given(st.integers(0, 10_000), st.integers(6, 60))
def test_as_scikit_learn(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities, truth = rng.dirichlet([1, 1, 1], n), rng.permutation(np.arange(n) % 3)
    found, answers = score(probabilities, truth, labels=LABELS), probabilities.argmax(axis=1)
    assert found.macro_accuracy == pytest.approx(balanced_accuracy_score(truth, answers))
    assert found.log_loss == pytest.approx(log_loss(truth, probabilities, labels=[0, 1, 2]), rel=1e-6)
    assert np.array_equal(found.confusion, confusion_matrix(truth, answers, labels=[0, 1, 2]))


def test_certain_and_wrong_is_finite_and_sums_do_not_matter() -> None:
    assert score([[1, 0, 0]], [1], labels=LABELS).log_loss == pytest.approx(15 * np.log(10))
    # A quantised member's outputs sum to 1 only nearly.
    assert score([[0.5, 0.25, 0.24]], [0], labels=LABELS).log_loss == pytest.approx(-np.log(0.5 / 0.99))


@pytest.mark.parametrize(("probabilities", "truth"), [
    ([], []), ([[0.5, 0.5]], [0]), ([[1, 0, 0]], [0, 1]), ([[np.nan, 0.5, 0.5]], [0])])
def test_what_cannot_be_judged_is_an_error(probabilities: list[list[float]], truth: list[int]) -> None:
    with pytest.raises(InputError):
        score(probabilities, truth, labels=LABELS)


def _answers(right: list[bool]) -> np.ndarray:
    return np.array([[0.8, 0.1, 0.1] if each else [0.1, 0.8, 0.1] for each in right])


def test_the_interval_is_over_recordings_not_windows() -> None:
    right = [True] * 50 + [False] * 50
    truth = [0] * 100
    few = bootstrap_interval(_answers(right), truth, [0] * 50 + [1] * 50)
    many = bootstrap_interval(_answers(right), truth, list(range(100)))
    assert (few.low, few.high, few.n_recordings) == (0.0, 1.0, 2)
    assert 0.38 < many.low < 0.45 < 0.55 < many.high < 0.62
    assert few == bootstrap_interval(_answers(right), truth, ["a"] * 50 + ["b"] * 50)


def test_all_right_leaves_no_doubt_and_a_lower_level_is_narrower() -> None:
    found = bootstrap_interval(_answers([True] * 6), [0] * 6, [0, 0, 1, 1, 2, 2])
    assert (found.low, found.high) == (1.0, 1.0)
    right = [bool(n % 3) for n in range(60)]
    wide, narrow = (bootstrap_interval(_answers(right), [0] * 60, np.arange(60) // 2, level=level)
                    for level in (0.95, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high
