"""A street that never was: sound for hours, with losses and changes of microphone at known times."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from edge_asc.listen.events import Block

GAP_S, RESTART_S = 0.37, 41.5


def minute(rate_hz: int) -> NDArray[np.float32]:
    """A minute of noise that swells and changes colour, float32 [60 * rate_hz]."""
    white = np.random.default_rng(0).standard_normal(60 * rate_hz).astype(np.float32)
    brown = np.cumsum(white - white.mean(), dtype=np.float64)
    swell = 0.05 * (1.1 + np.sin(np.linspace(0, 12 * np.pi, white.size)))
    mixed = np.where(np.arange(white.size) // (7 * rate_hz) % 2, white, brown / np.abs(brown).max() * 3) * swell
    return mixed.astype(np.float32)


class Street:
    """Blocks of that minute, again and again.

    At each look a stretch is lost, and at every sixth the microphone is another one.

    Args:
        hours: How long it lasts, on its own clock.
        rate_hz: Of the blocks.
        look: Called every `look_every_s` of its clock, and at the end.
        look_every_s: Seconds between looks.
    """

    def __init__(self, *, hours: float, rate_hz: int, look: Callable[[], None], look_every_s: float) -> None:
        self.rate_hz, self.hours, self._look, self._look_every_s = rate_hz, hours, look, look_every_s
        self.n_samples = 0

    def __iter__(self) -> Iterator[Block]:
        sound, n_block, n_looks = minute(self.rate_hz), self.rate_hz // 10, 0
        while self.n_samples < self.hours * 3600 * self.rate_hz:
            start = self.n_samples % (sound.size - n_block)
            samples, n_lost, is_restart = sound[start : start + n_block], 0, False
            if self.n_samples / self.rate_hz >= (n_looks + 1) * self._look_every_s:
                self._look()
                n_looks += 1
                is_restart = n_looks % 6 == 0
                n_lost = round((RESTART_S if is_restart else GAP_S) * self.rate_hz)
            self.n_samples += n_lost + samples.size
            yield Block(samples=samples, n_lost=n_lost, is_restart=is_restart)
        self._look()
