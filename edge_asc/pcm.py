"""Plain PCM in WAV files as mono samples, the bits that libsndfile would give in a quarter of its time.

Data sets are 24-bit WAV, and converting them took longer than the front end. libsndfile still reads the header and
every other format.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

_BYTES = {"PCM_16": 2, "PCM_24": 3}


@dataclass(frozen=True, kw_only=True)
class PcmLayout:
    """Where the samples of a WAV file are; interleaved, little-endian, signed."""

    at: int
    """Of the first byte in the file."""
    n_channels: int
    n_bytes: int
    """Per sample: 2 or 3."""

    def read_mono(self, descriptor: int, *, start: int, n: int) -> Float32:
        """The mean of the channels, float32 [up to n] from frame `start` on; fewer where the file ends."""
        frame_bytes = self.n_channels * self.n_bytes
        # One byte more in front: each 24-bit sample is read as 32 bits from one byte before it, and shifted down.
        data = os.pread(descriptor, n * frame_bytes + 1, self.at + start * frame_bytes - 1)
        shape = (max(0, len(data) - 1) // frame_bytes, self.n_channels)
        if self.n_bytes == 3:
            words: NDArray[np.int32] = np.ndarray(shape, "<i4", data, strides=(frame_bytes, 3))
            channels = [words[:, channel] >> 8 for channel in range(self.n_channels)]
        else:
            halves: NDArray[np.int16] = np.ndarray(shape, "<i2", data, offset=1)
            channels = [halves[:, channel].astype(np.int32) for channel in range(self.n_channels)]
        # Sums of two fit 32 bits, and are rounded once, as the sum of two floats is.
        total = channels[0]
        for channel in channels[1:]:
            total += channel
        mono = total.astype(np.float32)
        mono *= np.float32(1 / (self.n_channels * 2 ** (8 * self.n_bytes - 1)))
        return mono


def pcm_layout(*, subtype: str, n_channels: int, n_frames: int, data: tuple[int, int]) -> PcmLayout | None:
    """The layout of a file of which libsndfile says this, or None if that is not plain PCM of one or two channels.

    Args:
        subtype: libsndfile's name.
        data: Place and length of the data chunk, from `containers.wav_data`.
    """
    at, length = data
    n_bytes = _BYTES.get(subtype)
    if n_bytes is None or n_channels > 2 or length // (n_bytes * n_channels) != n_frames:
        return None
    return PcmLayout(at=at, n_channels=n_channels, n_bytes=n_bytes)
