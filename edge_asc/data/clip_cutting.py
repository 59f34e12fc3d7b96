"""Cutting one recording into the clips of its plan, in one pass that holds little more than a clip in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_asc import audio
from edge_asc.data.import_plan import TOLERANCE_S, ClipPlan, ImportSettings
from edge_asc.data.tau_layout import SAMPLE_RATE_HZ
from edge_asc.errors import AudioError

Float32 = npt.NDArray[np.float32]

_WAV_HEADER_BYTES = 44
# 1 dB over full scale: resampling and lossy decoding overshoot by less.
_LOUD = 10 ** (1 / 20)


def is_complete(path: Path, settings: ImportSettings) -> bool:
    """Clips appear under their name only when whole; the size also tells one that a crash of the machine emptied."""
    wanted = _WAV_HEADER_BYTES + settings.clip_samples * settings.bits // 8
    return path.exists() and path.stat().st_size == wanted


def cut(out_dir: Path, plan: ClipPlan, settings: ImportSettings) -> list[str]:
    """Writes the clips of one recording that are not there yet; a clip of nothing but zeros is left out.

    Returns:
        What the user should know about this recording.

    Raises:
        AudioError: It cannot be read up to its last clip, or is silent throughout.
    """
    file, peak, n_silent, n_found = plan.recording.file, 0.0, 0, 0
    for name, samples in zip(plan.names, _clips(plan, settings), strict=False):
        n_found += 1
        if not samples.any():
            n_silent += 1
            continue
        peak = max(peak, float(np.abs(samples).max()))
        if not is_complete(out_dir / name, settings):
            audio.write_wav(out_dir / name, samples, sample_rate_hz=SAMPLE_RATE_HZ, subtype=f"PCM_{settings.bits}")
    if n_found and n_silent == n_found:
        raise AudioError(f"{file} is digital silence", found="only zeros", wanted="recorded sound",
                         fix="Check the recorder's input, or leave this file out.")
    notes = []
    if n_silent:
        notes.append(f"digital silence left out: {n_silent} of {n_found} clips of {file}")
    if n_found < len(plan.names):
        notes.append(f"shorter than its header says: {n_found} instead of {len(plan.names)} clips from {file}")
    if peak > _LOUD:
        notes.append(f"peaks beyond full scale ({20 * np.log10(peak):+.1f} dBFS) were limited in {file}")
    return notes


def _clips(plan: ClipPlan, settings: ImportSettings) -> Iterator[Float32]:
    """The recording's clips in order, from one pass over the file that never holds much more than one of them."""
    length, tolerance = settings.clip_samples, round(TOLERANCE_S * SAMPLE_RATE_HZ)
    held, at, starts = np.empty(0, np.float32), 0, list(plan.starts)
    for block in audio.blocks(plan.recording.path, sample_rate_hz=SAMPLE_RATE_HZ, block_s=5.0):
        held = np.concatenate([held, block])
        while starts and at + len(held) >= starts[0] + length:
            yield held[starts[0] - at : starts[0] - at + length]
            starts.pop(0)
        if not starts:
            return
        drop = min(max(0, starts[0] - at), len(held))
        held, at = held[drop:], at + drop
    if plan.starts == (0,) and settings.short == "repeat":
        yield np.resize(held[: round(plan.recording.usable_s * SAMPLE_RATE_HZ)], length)
    elif at == starts[0] and len(held) >= length - tolerance:
        yield np.concatenate([held, np.zeros(length - len(held), np.float32)])
