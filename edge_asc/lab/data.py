"""Which clips of a data set a task uses, and what tells that they are the same on another machine."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np

from edge_asc.data.dataset import TauDataset
from edge_asc.data.tau_layout import Clip
from edge_asc.spec import LABELS

_SAMPLE_BYTES = 4096


def data_fingerprint(dataset: TauDataset) -> str:
    """SHA-256 over the labelled rows and, of each file, its size and 4 KB from its middle: the same data anywhere."""
    digest = hashlib.sha256()
    for split in (dataset.train, dataset.validation):
        digest.update(b"split\n")
        for clip in sorted(split, key=lambda clip: clip.filename):
            size = clip.path.stat().st_size
            with clip.path.open("rb") as file:
                file.seek(size // 2)
                digest.update(f"{clip.filename}\t{clip.label}\t{size}\n".encode() + file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def thinned(dataset: TauDataset, share: float) -> TauDataset:
    """That part of each label's clips in both labelled splits, spread evenly over the sorted names; at least three."""
    def some(clips: Sequence[Clip]) -> list[Clip]:
        kept = []
        for label in LABELS:
            own = sorted((clip for clip in clips if clip.label == label), key=lambda clip: clip.filename)
            n_kept = min(len(own), max(3, round(share * len(own))))
            kept += [own[i] for i in np.linspace(0, len(own) - 1, n_kept).round().astype(int)] if own else []
        return kept

    if share >= 1:
        return dataset
    return dataclasses.replace(dataset, train=some(dataset.train), validation=some(dataset.validation))
