"""A data set of short, easy sounds (tests.sounds) and a recipe that is trained on it within seconds."""

from __future__ import annotations

from pathlib import Path

import soundfile

from edge_asc.data.tau_layout import clip_filename
from edge_asc.spec import LABELS
from edge_asc.train.recipes import Recipe, from_mapping
from tests.data.tiny_tau import Rows, write_tables
from tests.sounds import SPEC, sound

SCENE = {"indoor": "airport", "outdoor": "park", "transportation": "tram"}


def write_sounds(root: Path, *, n_train: int = 4, n_validation: int = 2, n_segments: int = 3) -> Path:
    """So many recordings per label and split, each of `n_segments` clips of 1 s."""
    train: Rows = []
    validation: Rows = []
    place = 0
    for label in LABELS:
        for number in range(n_train + n_validation):
            for segment in range(n_segments):
                name = clip_filename(SCENE[label], "oslo", place, segment)
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(root / name, sound(label, 1, seed=100 * place + segment), SPEC.sample_rate_hz)
                (train if number < n_train else validation).append((name, label))
            place += 1
    write_tables(root, train, validation)
    return root


def recipe(**training: object) -> Recipe:
    """One shallow member of each family, pruned between epochs 1 and 4 of 8."""
    return from_mapping({
        "name": "tiny", "members": {"v1": "V(0,0,0,0)", "i1": "I(0,0,1)"}, "features": SPEC.to_json(),
        "training": {"epochs": 8, "batch_size": 12, "learning_rate": 5e-3, "final_learning_rate": 1e-3,
                     "norm_momentum": 0.7, "dropout": 0.1, "windows_per_epoch": 72,
                     "balance": "label_and_recording"} | training,
        "pruning": {"begin_epoch": 1, "end_epoch": 4, "every_epochs": 1},
        "augmentation": {"gain_db": [-20, 10]}})
