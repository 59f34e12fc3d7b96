"""Small made-up windows that a small network learns, for tests of training. Run as a program, it trains on them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from edge_asc.spec import LABELS, FeatureSpec
from edge_asc.train import member
from edge_asc.train.batches import Splits, Windows
from edge_asc.train.fit import train_on
from edge_asc.train.progress import Reporter, Silent
from edge_asc.train.recipes import Recipe, from_mapping

SPEC = FeatureSpec(n_mels=16, n_frames=32)
DATA = {"directory": "made up", "sha256": "0"}


def recipe(**training: object) -> Recipe:
    """Nine epochs of five batches, pruned from 10 to 80 % between epochs 2 and 6."""
    return from_mapping({
        "members": {"v1": "V(1,0,1,0)", "v2": "V(1,0,1,0)", "i1": "I(0,0,0)"}, "seed": 3,
        "features": SPEC.to_json(),
        "training": {"epochs": 9, "batch_size": 16, "learning_rate": 3e-3, "final_learning_rate": 1e-3,
                     "norm_momentum": 0.8} | training,
        "pruning": {"begin_epoch": 2, "end_epoch": 6, "every_epochs": 2}})


def windows(n: int, seed: int) -> Windows:
    """Noise with a louder third of the bands, by label; five windows a recording."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) // 5 % 3
    db = rng.normal(-50, 6, (n, SPEC.n_mels, SPEC.n_frames)).astype(np.float32)
    for number, label in enumerate(labels):
        db[number, 5 * label:5 * label + 5] += 8
    return Windows([db], labels, np.arange(n) // 5)


def splits(**others: object) -> Splits:
    """75 windows to train on, 30 to validate."""
    return Splits(spec=SPEC, labels=LABELS, train=windows(75, 0), validation=windows(30, 1),
                  augment=lambda db, rng: db + rng.uniform(-10, 10, (len(db), 1, 1)).astype(np.float32),
                  **others)  # type: ignore[arg-type]


def train(out: Path, *, members: list[str], progress: Reporter | None = None, **training: object) -> None:
    """The run of these tests."""
    train_on(splits(), recipe(**training), out, members=members, data=DATA, progress=progress or Silent())


if __name__ == "__main__":
    member.CHECKPOINT_EVERY_S = 0.0
    train(Path(sys.argv[1]), members=["v1"])
