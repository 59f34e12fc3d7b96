"""What every target is asked: sound, windows, and the right answers to both."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_asc.bundle import Bundle
from edge_asc.features import clamp, mel_db
from firmware_export.emit.levels import quantise_window
from firmware_export.output.exported import Exported
from firmware_export.proof.judge import TFLITE_MICRO, golden_outputs, judge_name, member_outputs, trial_windows


@dataclass(frozen=True, kw_only=True)
class Questions:
    """The inputs, and what is right."""

    samples: NDArray[np.int16]
    features_db: NDArray[np.float32]
    """[n_mels, n_frames], clamped."""
    windows: NDArray[np.int8]
    """[n, n_frames, n_mels]; the first is that of the features."""
    outputs: NDArray[np.int8] | None
    """[n, n_members, n_labels] by TFLite Micro, None without its wheel."""
    probabilities: NDArray[np.float32]
    """Of the first window."""

    def first(self, n: int) -> Questions:
        """The same with the first n windows only."""
        outputs = None if self.outputs is None else self.outputs[:n]
        return replace(self, windows=self.windows[:n], outputs=outputs)


def ask(exported: Exported, bundle: Bundle, n_windows: int) -> Questions:
    """Make the inputs and have them judged.

    Args:
        exported: The export.
        bundle: What it was exported from.
        n_windows: How many windows; without TFLite Micro's wheel only the golden one has an answer.
    """
    spec = exported.features
    samples = np.clip(np.rint(bundle.golden().samples * 32768), -32768, 32767).astype(np.int16)[: spec.window_samples]
    levels = mel_db(samples / np.float32(32768), spec)
    windows = trial_windows(bundle, exported.input, max(1, n_windows))
    windows[0] = quantise_window(levels, spec, exported.input)
    if judge_name() == TFLITE_MICRO:
        answers = [member_outputs(bundle, name, exported.variant, windows) for name in exported.members]
        outputs = np.stack(answers, axis=1)
        scale, zero_point = exported.output_quantization
        probabilities = ((outputs[0].astype(np.float32) - zero_point[:, None]) * scale[:, None]).mean(axis=0)
    else:
        outputs, windows = None, windows[:1]
        probabilities = golden_outputs(bundle, exported.members, exported.variant).mean(axis=0)
    return Questions(samples=samples, features_db=clamp(levels, spec), windows=windows, outputs=outputs,
                      probabilities=probabilities)
