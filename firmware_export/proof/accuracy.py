"""The accuracy of exported C on a set of labelled clips, from samples to label, on this machine."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edge_asc.audio import read_audio
from firmware_export.output.exported import Exported
from firmware_export.proof.build import TARGETS
from firmware_export.proof.emulate import run_program
from firmware_export.proof.verify import compile_verifier


def measure_accuracy(exported: Exported, clips: Sequence[tuple[Path, str]], *,
                     progress: Callable[[int], None] = lambda done: None) -> dict[str, object]:
    """Run the first window of every clip through the C.

    Args:
        exported: The export.
        clips: Sound files with their labels.
        progress: Called with the number of clips done, after every hundredth.

    Returns:
        n_clips, n_too_short, accuracy_micro (share of clips) and accuracy_macro (mean over labels).
    """
    spec, target = exported.features, TARGETS["host"]
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    n_too_short = 0
    with tempfile.TemporaryDirectory(prefix="edge-asc-accuracy-") as scratch:
        work = Path(scratch)
        program = compile_verifier(exported, target, "main.c", work / "verifier")
        for done, (path, label) in enumerate(clips, start=1):
            samples = read_audio(path, sample_rate_hz=spec.sample_rate_hz, duration_s=spec.window_s)
            if samples.size < spec.window_samples:
                n_too_short += 1
                continue
            np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16).tofile(work / "clip.pcm")
            run = run_program(target, program, ["classify", "clip.pcm", "out.bin", str(spec.n_frames)], folder=work)
            total[label] += 1
            right[label] += run.label == label
            if done % 100 == 0:
                progress(done)
    n_clips = sum(total.values())
    return {"n_clips": n_clips, "n_too_short": n_too_short,
            "accuracy_micro": round(sum(right.values()) / max(1, n_clips), 4),
            "accuracy_macro": round(float(np.mean([right[label] / total[label] for label in total] or [0.0])), 4)}
