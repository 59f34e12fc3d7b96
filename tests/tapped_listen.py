"""Runs the real command line and keeps what came out of the microphone: OUT.npz ARGUMENTS...

`samples`: everything that was heard, as float32; `n_lost` and `is_restart`: of each block, with its `size`.
With EDGE_ASC_TEST_RATE set, the device refuses every other rate, as sound cards do that PulseAudio does not hide.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import sounddevice

from edge_asc.cli import main
from edge_asc.listen.events import Block
from edge_asc.listen.microphone import Microphone

heard: list[Block] = []
original = Microphone.__iter__


def tapped(self: Microphone) -> Iterator[Block]:
    for block in original(self):
        heard.append(block)
        yield block


def save(path: str) -> None:
    np.savez(path, samples=np.concatenate([block.samples for block in heard]) if heard else np.zeros(0, np.float32),
             n_lost=[block.n_lost for block in heard], size=[block.samples.size for block in heard])


def only(rate_hz: int) -> None:
    check, query = sounddevice.check_input_settings, sounddevice.query_devices

    def checked(*arguments: Any, samplerate: float, **others: Any) -> None:
        if samplerate != rate_hz:
            raise sounddevice.PortAudioError("Invalid sample rate", -9997)
        check(*arguments, samplerate=samplerate, **others)

    def queried(*arguments: Any, **named: Any) -> Any:
        found = query(*arguments, **named)
        if arguments or named:
            return found
        return [{**device, "default_samplerate": float(rate_hz)} for device in found]

    sounddevice.check_input_settings, sounddevice.query_devices = checked, queried


if __name__ == "__main__":
    atexit.register(save, sys.argv.pop(1))
    Microphone.__iter__ = tapped  # type: ignore[method-assign]
    if rate := os.environ.get("EDGE_ASC_TEST_RATE"):
        only(int(rate))
    main()
