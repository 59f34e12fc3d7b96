"""What a member is to the rest of the program, whichever engine computes it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Member(Protocol):
    """A loaded network: window in, probabilities out."""

    name: str

    @property
    def engine(self) -> str:
        """One of `ENGINES`."""

    @property
    def uses_delegate(self) -> bool:
        """Whether an interpreter hands its work to a delegate, whose rounding is its own."""

    @property
    def window_shape(self) -> tuple[int, ...]:
        """(n_mels, n_frames) that the network wants."""

    @property
    def n_labels(self) -> int:
        """Length of one row of probabilities."""

    @property
    def output_step(self) -> float:
        """The difference between neighbouring output values: 0 for float, the scale for int8."""

    def probabilities(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [n_mels, n_frames] in dB, clamped -> float32 [n_labels]."""
