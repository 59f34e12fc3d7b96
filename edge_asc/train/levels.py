"""How loud the training sound was: `edge-asc doctor` holds a microphone's level against it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_asc.audio import read_audio
from edge_asc.data.tau_layout import Clip
from edge_asc.train.recipe_parts import Augmentation

MAX_CLIPS = 200
"""Read evenly from the list: percentiles of level need no more."""


def level_dbfs(clips: Sequence[Clip], augmentation: Augmentation, *, sample_rate_hz: int) -> dict[str, float]:
    """Percentiles of the root mean square level of training clips, in dB relative to a full-scale constant.

    Random gain in training widens the range by just that much: its ends are part of what the members have seen.

    Returns:
        p5, p50 and p95; empty if every clip is digital silence.
    """
    chosen = np.unique(np.linspace(0, len(clips) - 1, min(len(clips), MAX_CLIPS)).astype(int))
    powers = [float(np.mean(np.square(read_audio(clips[i].path, sample_rate_hz=sample_rate_hz), dtype=np.float64)))
              for i in chosen]
    levels = 10 * np.log10([power for power in powers if power > 0])
    if not levels.size:
        return {}
    lowest, highest = augmentation.gain_db or (0.0, 0.0)
    p5, p50, p95 = np.percentile(levels, [5, 50, 95])
    return {"p5": round(float(p5 + lowest), 1), "p50": round(float(p50), 1), "p95": round(float(p95 + highest), 1)}
