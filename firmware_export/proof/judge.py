"""Who says what a member must answer: TFLite Micro where its wheel is installed, else the bundle's golden outputs."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import edge_asc
from edge_asc.audio import read_audio
from edge_asc.bundle import Bundle
from edge_asc.features import log_mel, mel_db
from edge_asc.spec import FeatureSpec
from edge_asc.tflite_file import densify, is_sparse
from firmware_export.emit.levels import InputQuantization, quantise_window

TFLITE_MICRO, GOLDEN = "TFLite Micro", "the bundle's golden outputs"
RECORDINGS = Path(edge_asc.__file__).parent / "assets" / "clips"


def judge_name() -> str:
    """Which of the two is there."""
    return TFLITE_MICRO if importlib.util.find_spec("tflite_micro") else GOLDEN


def trial_windows(bundle: Bundle, quantization: InputQuantization, n: int) -> NDArray[np.int8]:
    """Windows to run members on: the golden clip's, the two constant extremes, then in turn one of a real recording,
    noise, and a piecewise mixture of the golden clip and noise.

    Returns:
        int8 [n, n_frames, n_mels].
    """
    spec, rng = bundle.features, np.random.default_rng(0)
    golden = quantise_window(log_mel(bundle.golden().samples, spec), spec, quantization)
    windows = [golden, np.full_like(golden, -128), np.full_like(golden, 127)]
    real = real_windows(spec, quantization)
    while len(windows) < n:
        noise = rng.integers(-128, 128, golden.shape, dtype=np.int8)
        mixture = np.where(rng.random(golden.shape) < rng.random(), np.roll(golden, rng.integers(golden.size)), noise)
        windows += [next(real, noise), noise, mixture]
    return np.stack(windows[:n])


def real_windows(spec: FeatureSpec, quantization: InputQuantization) -> Iterator[NDArray[np.int8]]:
    """Windows of the recordings in the box, int8 [n_frames, n_mels], one of each in turn; every second of them begins
    one, about 170 of ten seconds in all."""
    paths = sorted(RECORDINGS.glob("*.ogg"))
    levels = [mel_db(read_audio(path, sample_rate_hz=spec.sample_rate_hz), spec) for path in paths]
    hop = round(spec.sample_rate_hz / spec.hop_length)
    for begin in range(0, max((of.shape[1] for of in levels), default=0), hop):
        for of in levels:
            if begin + spec.n_frames <= of.shape[1]:
                yield quantise_window(of[:, begin : begin + spec.n_frames], spec, quantization)


def member_outputs(bundle: Bundle, member: str, variant: str, windows: NDArray[np.int8]) -> NDArray[np.int8]:
    """What TFLite Micro's reference kernels answer: int8 [n, n_labels] for int8 windows [n, n_frames, n_mels]."""
    from tflite_micro import runtime

    data = bundle.member_bytes(member, variant)
    interpreter = runtime.Interpreter.from_bytes(densify(data) if is_sparse(data) else data, arena_size=1 << 21)
    answers = []
    for window in windows:
        interpreter.set_input(window.T[np.newaxis, :, :, np.newaxis], 0)
        interpreter.invoke()
        answers.append(interpreter.get_output(0)[0].copy())
    return np.stack(answers)


def golden_outputs(bundle: Bundle, members: Sequence[str], variant: str) -> NDArray[np.float32]:
    """The probabilities that came with the bundle: float32 [n_members, n_labels]."""
    names = [member.name for member in bundle.members]
    rows: NDArray[np.float32] = bundle.golden().outputs[variant][[names.index(member) for member in members]]
    return rows
