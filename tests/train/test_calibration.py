"""Calibration: it finds what was put in, respects recordings, and moves into the network without touching zeros."""

import numpy as np
import pytest

from edge_asc.errors import InputError
from edge_asc.train.calibration import Calibration, apply, fit
from edge_asc.train.models import build

pytestmark = pytest.mark.train


def _answers(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are right on average, and a truth drawn from them."""
    logits = rng.normal(0, 1.5, (n, 3))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return p, np.array([rng.choice(3, p=row) for row in p])


def test_fit_undoes_a_known_distortion() -> None:
    p, truth = _answers(np.random.default_rng(0), 4000)
    spoilt = Calibration(temperature=0.4, offsets=(1.0, 0.5, -1.5))(p)
    found = fit(spoilt, truth, np.arange(len(truth)))
    repaired = found(spoilt)
    own = np.arange(len(truth)), truth
    assert -np.log(repaired[own]).mean() == pytest.approx(-np.log(p[own]).mean(), abs=0.03)
    assert found.temperature == pytest.approx(2.5, rel=0.15)
    assert sum(found.offsets) == pytest.approx(0, abs=1e-9)


def test_a_long_recording_counts_as_one() -> None:
    rng = np.random.default_rng(1)
    p, truth = _answers(rng, 60)
    repeated = np.concatenate([np.arange(60), np.zeros(500, int)])
    once, often = fit(p, truth, np.arange(60)), fit(p[repeated], truth[repeated], repeated)
    assert often.temperature == pytest.approx(once.temperature, rel=1e-2)
    np.testing.assert_allclose(often.offsets, once.offsets, atol=1e-2)


def test_few_recordings_move_little() -> None:
    p = np.tile([[0.9, 0.05, 0.05]], (3, 1))
    found = fit(p, [0, 1, 2], [0, 1, 2])
    assert np.abs(found.offsets).max() < 4
    assert 0.2 < found.temperature < 20


def test_a_label_without_windows_is_an_error() -> None:
    with pytest.raises(InputError, match="no window of label 2"):
        fit(np.full((2, 3), 1 / 3), [0, 1], [0, 1])


def test_apply_computes_the_same_and_keeps_zeros() -> None:
    model = build("V(0,0,1,0)", input_shape=(16, 16, 1))
    kernel, bias = model.layers[-1].get_weights()
    kernel[np.abs(kernel) < np.median(np.abs(kernel))] = 0
    model.layers[-1].set_weights([kernel, bias])
    x = np.random.default_rng(2).normal(size=(5, 16, 16, 1)).astype(np.float32)
    calibration = Calibration(temperature=1.7, offsets=(0.3, -0.1, -0.2))
    wanted = calibration(model.predict(x, verbose=0))
    apply(model, calibration)
    np.testing.assert_allclose(model.predict(x, verbose=0), wanted, atol=1e-5)
    np.testing.assert_array_equal(model.layers[-1].get_weights()[0] == 0, kernel == 0)
