"""A golden clip that costs a few KB: made for updates over the air, where ten seconds of real sound are a megabyte.

One hop's length of noise is played over and over at changing loudness and colour, so that most frames are equal and
compress away, while the networks still see edges in time and in frequency.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from edge_asc.bundle import Bundle, Golden
from edge_asc.runtime.replay import record_golden
from edge_asc.spec import FeatureSpec

_N_SECTIONS = 6
_N_TRIED = 4
_LEVEL = 8192


def record_self_test(bundle: Bundle) -> Golden:
    """Of a few such clips the one that the ensemble is least sure about: an answer of 1.0 would test little."""
    tried = [record_golden(bundle, self_test_clip(bundle.features, seed=seed)) for seed in range(_N_TRIED)]
    least_sure = min(tried, key=lambda golden: float(golden.probabilities.max()))
    return dataclasses.replace(least_sure, deflate=False)


def self_test_clip(spec: FeatureSpec, *, seed: int) -> NDArray[np.float32]:
    """float32 [window_samples] on the grid of 16 bits."""
    rng = np.random.default_rng(seed)
    white = rng.choice(np.array([-1, 1]), spec.hop_length)
    dull = (white + np.roll(white, 1) + np.roll(white, 2) + np.roll(white, 3)) // 2
    n_hops = -(-spec.window_samples // spec.hop_length)
    sections = np.arange(n_hops) * _N_SECTIONS // n_hops
    loudness = rng.permutation(_LEVEL >> np.arange(_N_SECTIONS))
    colours = rng.permutation(_N_SECTIONS) % 2
    hops = [loudness[section] * (dull if colours[section] else white) for section in sections]
    return (np.concatenate(hops)[: spec.window_samples] / 32768).astype(np.float32)
