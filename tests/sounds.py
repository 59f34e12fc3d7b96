"""Three synthetic sounds, one per label, that the bundle in tests/golden was taught to tell apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_asc.spec import FeatureSpec

SPEC = FeatureSpec(n_fft=1024, hop_length=512, n_mels=16, n_frames=92)
"""The front end of the test bundle: windows of 47616 samples, just under 1 s."""


def sound(label: str, duration_s: float, *, seed: int = 0) -> NDArray[np.float32]:
    """float32 mono at 48 kHz on the grid of 16 bits: rumble (indoor), hiss (outdoor), hum (transportation)."""
    rng = np.random.default_rng(seed)
    n = round(duration_s * SPEC.sample_rate_hz)
    noise = rng.standard_normal(n)
    if label == "indoor":
        samples = np.cumsum(noise) - np.convolve(np.cumsum(noise), np.ones(2000) / 2000, mode="same")
    elif label == "outdoor":
        samples = noise
    else:
        pitch_hz = rng.uniform(80, 160)
        phase = 2 * np.pi * pitch_hz * np.arange(n) / SPEC.sample_rate_hz
        samples = sum(np.sin(k * phase) / k for k in range(1, 40)) + 0.01 * noise
    samples = samples / np.abs(samples).max() * 10 ** (rng.uniform(-30, -3) / 20)
    return (np.rint(samples * 32767) / 32768).astype(np.float32)
