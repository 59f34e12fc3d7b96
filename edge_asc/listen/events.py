"""What flows through a listener: blocks of samples in, scene events out, both on the clock of the audio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Block:
    """A stretch of sound as a source yields it."""

    samples: NDArray[np.float32]
    """float32 [n], mono, at the sample rate that was asked of the source."""
    n_lost: int = 0
    """Samples that were lost just before these. Time goes on over them."""
    arrived_s: float | None = None
    """`time.monotonic()` when the last sample was handed over by the device; None if it could have come any time."""
    is_restart: bool = False
    """The source was opened anew: what was before and what comes now do not belong in one window."""


@dataclass(frozen=True, kw_only=True)
class SceneEvent:
    """The ensemble's answer to one window, or a decision taken on several."""

    time_s: float
    """The end of the window, in seconds since the first sample; never the wall clock."""
    label: str
    confidence: float
    """The probability of `label`; for "unknown", of the likeliest label."""
    probabilities: Mapping[str, float]
    latency_ms: float
    """From the window's last sample to the answer; at a live source the wait for the end of its block is in it."""
    has_gap: bool = False
    """Samples were lost within the window."""
    changed: bool = False
    """The label is another one than in the event before."""

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, rounded to what is meaningful."""
        return {"time_s": round(self.time_s, 6), "label": self.label, "confidence": round(self.confidence, 6),
                "probabilities": {label: round(value, 6) for label, value in self.probabilities.items()},
                "latency_ms": round(self.latency_ms, 3), "has_gap": self.has_gap, "changed": self.changed}
