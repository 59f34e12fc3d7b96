"""Members that vote together: the plain mean of their probabilities, always of all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_asc.runtime.engines import NATIVE
from edge_asc.runtime.member import Member
from edge_asc.spec import FeatureSpec


class Ensemble:
    """Members that vote together. Make one with `load_ensemble`."""

    fingerprint = ""
    """Of the bundle it was loaded from."""

    def __init__(self, members: Sequence[Member], *, labels: Sequence[str], features: FeatureSpec,
                 variant: str) -> None:
        self.members = tuple(members)
        self.labels = tuple(labels)
        self.features = features
        self.variant = variant

    @property
    def description(self) -> str:
        """One line: how many members, in which variant, on which engine."""
        engines = sorted({member.engine if member.uses_delegate or member.engine == NATIVE else
                          f"{member.engine} without delegate" for member in self.members})
        names = ", ".join(member.name for member in self.members)
        return f"{len(self.members)} members ({names}), {self.variant}, {' and '.join(engines)}"

    def member_probabilities(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [n_mels, n_frames] in dB, clamped -> float32 [n_members, n_labels]."""
        return np.stack([member.probabilities(window) for member in self.members])

    def probabilities(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [n_mels, n_frames] in dB, clamped -> float32 [n_labels]: the mean over the members."""
        return np.asarray(self.member_probabilities(window).mean(axis=0), np.float32)
