"""A source that is opened again and again: a microphone unplugged, dead or stuck comes back by itself.

The audio's clock goes on while it is away, and the first block after is marked as a new start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from edge_asc.errors import DeviceError
from edge_asc.listen.events import Block

BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


class SteadySource:
    """Blocks from whatever `open_source` opens, opened anew whenever it fails.

    Args:
        open_source: Opens the source as a context manager that yields blocks, or raises DeviceError.
        sample_rate_hz: Of the blocks.
        notify: Called with a sentence when the source fails and when it is back.
        block_s: Breaks are counted in whole numbers of these: a window then waits as long for the end of its last block
            as before the break. None: to the sample.
        back_off_s: Pauses before attempts to open it; the last repeats. They begin anew after a block.
    """

    def __init__(self, open_source: Callable[[], AbstractContextManager[Iterable[Block]]], *, sample_rate_hz: int,
                 notify: Callable[[str], None], block_s: float | None = None,
                 back_off_s: Sequence[float] = BACK_OFF_S) -> None:
        self._open_source, self._notify, self._back_off_s = open_source, notify, back_off_s
        self._sample_rate_hz = sample_rate_hz
        self._step = max(1, round((block_s or 0) * sample_rate_hz))
        self._n_failures = 0

    def __iter__(self) -> Iterator[Block]:
        """Endless. The first opening is not tried again: that would hide a wrong setting.

        Raises:
            DeviceError: The source cannot be opened at the start.
        """
        last_block_s: float | None = None
        has_begun = False
        while True:
            try:
                with self._open_source() as blocks:
                    is_new = has_begun
                    has_begun = True
                    for block in blocks:
                        now_s = time.monotonic()
                        if is_new:
                            block = self._after_a_break(block, now_s - (last_block_s or now_s))
                            is_new = False
                        self._n_failures, last_block_s = 0, now_s
                        yield block
                    raise DeviceError("the sound has ended")
            except DeviceError as error:
                if not has_begun:
                    raise
                self._wait(error)

    def _after_a_break(self, block: Block, break_s: float) -> Block:
        self._notify(f"the sound is back after {break_s:.1f} s; the window starts afresh")
        n_lost = max(0, round((break_s * self._sample_rate_hz - block.samples.size) / self._step) * self._step)
        return replace(block, n_lost=n_lost, is_restart=True)

    def _wait(self, error: DeviceError) -> None:
        pause_s = self._back_off_s[min(self._n_failures, len(self._back_off_s) - 1)]
        # Said once for each break, not for each attempt: logs are finite.
        if self._n_failures == 0:
            self._notify(f"{error.what}; trying again until it is back")
        self._n_failures += 1
        time.sleep(pause_s)
