"""The options of a sweep that takes seconds: table 4 with two shallow members on short, easy sounds."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from tests.program import environment
from tests.sounds import SPEC

# As on a user's terminal: tests make every warning an error, and tfmot warns when it is imported.
TERMINAL = {name: value for name, value in environment().items() if name != "PYTHONWARNINGS"}
N_EPOCHS = 60


def arguments(dataset: Path, out: Path) -> list[object]:
    """For `edge-asc`: three runs of two rows."""
    features = [f"features.{name}={value}" for name, value in SPEC.to_json().items()]
    training = ["training.batch_size=12", "training.learning_rate=5e-3", "training.norm_momentum=0.7",
                "pruning.begin_epoch=1", "pruning.end_epoch=2", "pruning.every_epochs=1", f"training.epochs={N_EPOCHS}"]
    settings = [part for setting in (*features, *training) for part in ("--set", setting)]
    return ["lab", "table4", dataset, "-o", out, "--runs", 3, "--grid", "architecture=V(0,0,0,1),I(0,0,1)", *settings]


def table(out: Path) -> Any:
    """What was measured, without what says where and when."""
    return json.loads((out / "table4.json").read_text())["tables"]


def n_epochs_done(folder: Path) -> int:
    """Of one task."""
    try:
        with (folder / "history.csv").open(newline="") as file:
            return len(list(csv.DictReader(file)))
    except FileNotFoundError:
        return 0


def unfinished(out: Path, *, at_least: int) -> list[Path]:
    """Folders of tasks in the first half of their training: what is done to them now is done before they end."""
    return [folder for folder in (out / "tasks").glob("[0-9a-f]*") if at_least <= n_epochs_done(folder) < N_EPOCHS // 2]


def n_finished(out: Path) -> int:
    """Tasks of six that are in the store: with two or three of them there, both nodes have work."""
    store = out / "store.jsonl"
    return store.read_bytes().count(b"\n") if store.exists() else 0
