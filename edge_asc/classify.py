"""The scene of a whole file: the mean of the ensemble's answers over its non-overlapping windows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asc.audio import blocks
from edge_asc.errors import AudioError
from edge_asc.features import log_mel
from edge_asc.runtime import Ensemble


@dataclass(frozen=True, kw_only=True)
class Classification:
    """The answer to one file."""

    path: Path
    label: str
    confidence: float
    probabilities: Mapping[str, float]
    n_windows: int
    """Windows that were classified; those of digital silence are not."""

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, rounded to what is meaningful."""
        return {"file": str(self.path), "label": self.label, "confidence": round(self.confidence, 6),
                "probabilities": {label: round(value, 6) for label, value in self.probabilities.items()},
                "n_windows": self.n_windows}


def classify_file(path: str | Path, ensemble: Ensemble) -> Classification:
    """Classify a sound file of any length from one window up, in constant memory.

    What is left at the end and shorter than a window is not looked at.

    Raises:
        AudioError: Not usable sound, shorter than one window, or digital silence throughout.
    """
    spec, path = ensemble.features, Path(path)
    total, n_windows, n_silent = np.zeros(len(ensemble.labels)), 0, 0
    for samples in _windows(path, sample_rate_hz=spec.sample_rate_hz, size=spec.window_samples):
        if not samples.any():
            n_silent += 1
            continue
        total += ensemble.probabilities(log_mel(samples, spec))
        n_windows += 1
    if n_silent and not n_windows:
        raise AudioError(f"{path} is digital silence", found=f"{n_silent} windows of zeros", wanted="recorded sound",
                         fix="Check the recorder's input.")
    mean = total / n_windows
    best = int(mean.argmax())
    return Classification(path=path, label=ensemble.labels[best], confidence=float(mean[best]), n_windows=n_windows,
                          probabilities=dict(zip(ensemble.labels, map(float, mean), strict=True)))


def _windows(path: Path, *, sample_rate_hz: int, size: int) -> Iterator[NDArray[np.float32]]:
    window, n_filled, is_first = np.empty(size, np.float32), 0, True
    for block in blocks(path, sample_rate_hz=sample_rate_hz, block_s=1.0):
        while block.size:
            part, block = np.split(block, [size - n_filled])
            window[n_filled : n_filled + part.size] = part
            n_filled += part.size
            if n_filled == size:
                yield window
                n_filled, is_first = 0, False
    if is_first:
        raise AudioError(f"{path} is shorter than one window", found=f"{n_filled / sample_rate_hz:.3f} s",
                         wanted=f"{size / sample_rate_hz:.3f} s or more", fix="Use a longer recording.")
