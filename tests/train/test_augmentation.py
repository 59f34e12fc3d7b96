"""Additions in dB do what the same change of the samples would have done, and each window is changed in its own way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asc.features import filterbank, mel_db
from edge_asc.spec import FeatureSpec
from edge_asc.train.augmentation import augmenter, band_shifter, low_pass_db
from edge_asc.train.recipe_parts import Augmentation
from tests.conftest import noise

_SPEC = FeatureSpec(n_frames=40)
_ALL = Augmentation(gain_db=(-20.0, 10.0), low_pass_hz=(4_000.0, 20_000.0), equaliser_db=6.0)


def _windows(n: int, *, seed: int = 0) -> np.ndarray:
    return np.stack([mel_db(noise(_SPEC.window_samples, seed=seed + i), _SPEC) for i in range(n)])


@pytest.mark.parametrize("gain_db", [-20.0, -3.0, 10.0])
def test_a_gain_is_what_scaled_samples_give(gain_db: float) -> None:
    samples = noise(_SPEC.window_samples)
    augment = augmenter(Augmentation(gain_db=(gain_db, gain_db)), _SPEC)
    found = augment(mel_db(samples, _SPEC)[None], np.random.default_rng(0))[0]
    expected = mel_db(samples * np.float32(10 ** (gain_db / 20)), _SPEC)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_floor_of_the_front_end_stays() -> None:
    windows = np.full((2, _SPEC.n_mels, 40), -100, np.float32)
    windows[:, :, 0] = -95
    louder = augmenter(Augmentation(gain_db=(10.0, 10.0)), _SPEC)(windows, np.random.default_rng(0))
    assert set(np.unique(louder)) == {-100, -85}
    quieter = augmenter(Augmentation(gain_db=(-20.0, -20.0)), _SPEC)(windows, np.random.default_rng(0))
    assert set(np.unique(quieter)) == {-100}


@pytest.mark.parametrize(("corner_hz", "order"), [(4_000.0, 2.0), (8_000.0, 4.0), (12_000.0, 8.0)])
def test_a_low_pass_is_what_filtered_samples_give(corner_hz: float, order: float) -> None:
    spec = FeatureSpec()
    samples = noise(480_000).astype(np.float64)
    hz = np.fft.rfftfreq(len(samples), 1 / 48_000)
    filtered = np.fft.irfft(np.fft.rfft(samples) / np.sqrt(1 + (hz / corner_hz) ** (2 * order)), len(samples))
    weights = filterbank(spec) / filterbank(spec).sum(axis=1, keepdims=True)
    loss_db = low_pass_db(np.fft.rfftfreq(2048, 1 / 48_000), np.array([[corner_hz]]), np.array([[order]]), weights)[0]
    measured_db = (mel_db(filtered.astype(np.float32), spec) - mel_db(samples.astype(np.float32), spec)).mean(axis=1)
    assert np.abs(measured_db - loss_db).max() < 0.5
    assert loss_db[0] == pytest.approx(0, abs=1e-3)
    assert np.diff(loss_db).max() < 1e-5


def test_a_steep_low_pass_does_not_overflow() -> None:
    weights = filterbank(_SPEC) / filterbank(_SPEC).sum(axis=1, keepdims=True)
    loss_db = low_pass_db(np.fft.rfftfreq(2048, 1 / 48_000), np.array([[100.0]]), np.array([[1000.0]]), weights)
    assert loss_db.min() == pytest.approx(-100)


@given(st.integers(0, 1000))
def test_an_equaliser_is_smooth_bounded_and_no_gain(seed: int) -> None:
    shift_db = band_shifter(Augmentation(equaliser_db=6.0), _SPEC)(64, np.random.default_rng(seed))
    assert shift_db.shape == (64, _SPEC.n_mels)
    assert np.abs(shift_db).max() <= 6.0
    np.testing.assert_allclose(shift_db.mean(axis=1), 0, atol=1e-4)
    assert np.abs(np.diff(shift_db, axis=1)).max() < 3.0
    assert np.abs(shift_db).max() > 4.0


def test_windows_differ_and_the_generator_decides() -> None:
    windows = np.repeat(_windows(1), 16, axis=0)
    augment = augmenter(_ALL, _SPEC)
    before = windows.copy()
    first = augment(windows, np.random.default_rng(1))
    assert first.dtype == np.float32
    assert first.shape == windows.shape
    np.testing.assert_array_equal(windows, before)
    np.testing.assert_array_equal(first, augment(windows, np.random.default_rng(1)))
    assert not np.array_equal(first, augment(windows, np.random.default_rng(2)))
    assert len({window.tobytes() for window in first}) == 16


def test_ranges_are_used_to_their_ends() -> None:
    gains = band_shifter(Augmentation(gain_db=(-20.0, 10.0)), _SPEC)(4000, np.random.default_rng(0))
    assert np.ptp(gains, axis=1).max() == 0
    assert gains.min() == pytest.approx(-20, abs=0.1)
    assert gains.max() == pytest.approx(10, abs=0.1)
    settings = Augmentation(low_pass_hz=(4_000.0, 20_000.0), low_pass_probability=0.25)
    shift_db = band_shifter(settings, _SPEC)(4000, np.random.default_rng(0))
    assert np.mean(shift_db.min(axis=1) < -0.1) == pytest.approx(0.25, abs=0.03)


def test_nothing_set_changes_nothing() -> None:
    windows = _windows(2)
    np.testing.assert_array_equal(augmenter(Augmentation(), _SPEC)(windows, np.random.default_rng(0)), windows)
