"""Where blocks of sound come from: files and standard input. The microphone is in `microphone.py`.

A source is anything that yields `Block`s at one sample rate; it knows nothing of features, windows or hops.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edge_asc.audio import StreamResampler, blocks, to_mono
from edge_asc.errors import AudioError, InputError
from edge_asc.listen.events import Block

BLOCK_S = 0.1
PCM_FORMATS: dict[str, np.dtype[Any]] = {"s16le": np.dtype("<i2"), "f32le": np.dtype("<f4")}


def file_source(path: str | Path, *, sample_rate_hz: int, realtime: bool = False) -> Iterator[Block]:
    """A sound file, as fast as it can be read, or at the pace at which it was recorded.

    Raises:
        AudioError: As `edge_asc.audio.blocks`.
    """
    begin_s, n_samples = time.monotonic(), 0
    for samples in blocks(path, sample_rate_hz=sample_rate_hz, block_s=BLOCK_S):
        n_samples += samples.size
        if not realtime:
            yield Block(samples=samples)
            continue
        due_s = begin_s + n_samples / sample_rate_hz
        time.sleep(max(0.0, due_s - time.monotonic()))
        yield Block(samples=samples, arrived_s=due_s)


def pcm_source(stream: BinaryIO, *, from_hz: int, n_channels: int, pcm_format: str,
               sample_rate_hz: int) -> Iterator[Block]:
    """Raw interleaved PCM from a pipe, as it arrives.

    Args:
        stream: A buffered binary stream; `read1` gives what is there.
        from_hz: The stream's sample rate.
        n_channels: Its channels; their mean is taken.
        pcm_format: One of `PCM_FORMATS`.
        sample_rate_hz: The rate of the blocks.

    Raises:
        AudioError: A sample is not a number, or the stream ends inside a sample.
        InputError: An impossible rate, channel count or format.
    """
    if pcm_format not in PCM_FORMATS:
        raise InputError("unknown PCM format", found=pcm_format, wanted=" or ".join(PCM_FORMATS))
    if from_hz < 1 or n_channels < 1:
        raise InputError("impossible PCM stream", found=f"{from_hz} Hz, {n_channels} channels", wanted="1 or more")
    frame_bytes = PCM_FORMATS[pcm_format].itemsize * n_channels
    resampler = StreamResampler(from_hz, sample_rate_hz)
    rest = b""
    while data := stream.read1(max(1, round(from_hz * BLOCK_S)) * frame_bytes):  # type: ignore[attr-defined]
        arrived_s = time.monotonic()
        data = rest + data
        n_whole = len(data) // frame_bytes * frame_bytes
        rest = data[n_whole:]
        samples = resampler.push(_decode(data[:n_whole], pcm_format, n_channels))
        if samples.size:
            yield Block(samples=samples, arrived_s=arrived_s)
    if (samples := resampler.finish()).size:
        yield Block(samples=samples)
    if rest:
        raise AudioError("the stream on standard input ends inside a sample", found=f"{len(rest)} bytes left over",
                         wanted=f"a multiple of {frame_bytes}", fix="Check --channels and --format.")


def _decode(data: bytes, pcm_format: str, n_channels: int) -> NDArray[np.float32]:
    values = np.frombuffer(data, PCM_FORMATS[pcm_format])
    samples = values.astype(np.float32) / np.float32(32768) if pcm_format == "s16le" else values.astype(np.float32)
    if not np.isfinite(samples).all():
        raise AudioError("the stream on standard input has samples that are no numbers",
                         fix="Check --format: s16le or f32le.")
    return to_mono(samples.reshape(-1, n_channels))
