"""Noise in the published format: 10 s, two channels, 48 kHz, 24 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from edge_asc.data.tau_layout import CLIP_S, SAMPLE_RATE_HZ


def write_clip(path: Path, *, seed: int) -> Path:
    """One file; its folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).uniform(-0.3, 0.3, (round(CLIP_S * SAMPLE_RATE_HZ), 2))
    soundfile.write(path, samples, SAMPLE_RATE_HZ, subtype="PCM_24")
    return path


def write_clips(folder: Path, n: int) -> list[Path]:
    """So many."""
    return [write_clip(folder / f"{number}.wav", seed=number) for number in range(n)]
