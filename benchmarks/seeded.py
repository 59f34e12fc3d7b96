"""Bundles of untrained networks of any window length and sparsity, for cost alone. Needs the extra `train`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_asc.bundle import Bundle, NewMember, save_bundle
from edge_asc.runtime import record_golden
from edge_asc.spec import LABELS, FeatureSpec
from edge_asc.train.member_files import convert_member
from edge_asc.train.models import build, kernels

ARCHITECTURE = "V(2,2,3,3)"


def seeded_bundle(path: Path, *, window_s: float = 10.0, sparsity: float = 0.8) -> Bundle:
    """One member with random weights, int8-sparse; made if it is not there yet."""
    if (path / "manifest.json").exists():
        return Bundle.load(path)
    rate, hop = FeatureSpec().sample_rate_hz, FeatureSpec().hop_length
    spec = FeatureSpec(n_frames=int(window_s * rate / hop) - 1)
    rng = np.random.default_rng(0)
    windows = _windows(rng, spec)
    model = build(ARCHITECTURE, input_shape=(spec.n_mels, spec.n_frames, 1), norm_momentum=0.0, seed=1)
    for kernel in kernels(model).values():
        values = rng.normal(0, 1, kernel.shape)
        values[np.abs(values) < np.quantile(np.abs(values), sparsity)] = 0
        kernel.assign(values * np.sqrt(2 / (np.prod(kernel.shape[:-1]) * (1 - sparsity))))
    # With this momentum one look at the data makes the statistics those of the data.
    model(windows[..., np.newaxis], training=True)
    clip = (np.rint(rng.normal(0, 0.1, spec.window_samples) * 32768).clip(-32768, 32767) / 32768).astype(np.float32)
    member = NewMember(name="v1", architecture=ARCHITECTURE, seed=1,
                       models=convert_member(model, ["int8-sparse"], windows))
    return save_bundle(path, labels=LABELS, features=spec, members=[member], audit={}, default_variant="int8-sparse",
                       golden=lambda bundle: record_golden(bundle, clip), made={"by": "benchmarks/seeded.py"},
                       model_card="# Random weights\n\nFor measuring cost; the answers mean nothing.\n")


def _windows(rng: np.random.Generator, spec: FeatureSpec) -> np.ndarray:
    """Something like dB [n, n_mels, n_frames]: a tilted spectrum with noise, within 80 dB."""
    tilt = np.linspace(-20, -60, spec.n_mels)[:, np.newaxis]
    return np.clip(tilt + rng.normal(0, 8, (16, spec.n_mels, spec.n_frames)), -90, -5).astype(np.float32)
