"""Windows of a data set for a parity report. No TensorFlow: a node without it compares its engines as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_asc.bundle import Bundle
from edge_asc.data.dataset import TauDataset
from edge_asc.data.feature_cache import Segment, track_features
from edge_asc.errors import DatasetError
from edge_asc.features import clamp
from edge_asc.parity import Judge
from edge_asc.train.metrics import score

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ParityData:
    """Some windows, and how answers to them are judged."""

    windows: Float32
    """[n, n_mels, n_frames], clamped."""
    judge: Judge | None
    """Gives accuracy (macro) and log_loss; None if the clips have no labels."""


def parity_data(directory: str | Path, bundle: Bundle, *, split: str, max_windows: int) -> ParityData:
    """The first window of up to `max_windows` clips, evenly spread over a split, in the bundle's features.

    Raises:
        DatasetError: The data set cannot be used, the split is empty, or its labels are not the bundle's.
        AudioError: A clip cannot be read or is too short.
    """
    clips = getattr(TauDataset.load(directory), split)
    if not clips:
        raise DatasetError(f"{directory} has no clips in its {split} split")
    places = np.unique(np.linspace(0, len(clips) - 1, min(max_windows, len(clips))).round().astype(int))
    chosen = [clips[place] for place in places]
    spec = bundle.features
    windows = np.stack([clamp(track_features((Segment(str(clip.path)),), spec), spec) for clip in chosen])
    labels = [clip.label for clip in chosen]
    if any(label is None for label in labels):
        return ParityData(windows=windows, judge=None)
    if unknown := sorted(set(labels) - set(bundle.labels)):
        raise DatasetError(f"{directory} has labels that the bundle does not know", found=", ".join(unknown),
                           wanted=", ".join(bundle.labels))
    truth = np.array([bundle.labels.index(label) for label in labels])

    def judge(probabilities: Float32) -> Mapping[str, float]:
        scores = score(probabilities, truth, labels=bundle.labels)
        return {"accuracy": scores.macro_accuracy, "log_loss": scores.log_loss}

    return ParityData(windows=windows, judge=judge)
