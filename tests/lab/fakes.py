"""Tasks and outcomes without any training, and work that lives, dies or fails as its folder says."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np

from edge_asc.errors import TrainingError
from edge_asc.lab.tasks import Outcome, Task, figures, single_member
from edge_asc.train.recipes import from_mapping

RECIPE = single_member(from_mapping({"members": {"v1": "V(2,2,3,3)"}}), "V(2,2,3,3)")
TRUTH = np.arange(30) % 3


def task(seed: int = 0, **others: object) -> Task:
    """A task that differs by its seed."""
    return Task(**{"recipe": RECIPE, "seed": seed, "dataset": "nowhere", "data_sha256": "0" * 64, **others})  # type: ignore[arg-type]


def outcome(one: Task, *, skill: float = 1.0, n_nonzero: int = 17115) -> Outcome:
    """Random answers that follow from the task, right the more often the larger `skill`."""
    rng = np.random.default_rng(int(one.key[:12], 16))
    bonus = {"last": 0.0, "best_on_validation": 0.5}
    if one.recipe.training.selection_fraction:
        bonus["best_on_selection"] = 0.2
    arrays = {"validation/truth": TRUTH.astype(np.int8)}
    for rule in bonus:
        scores = rng.normal(size=(len(TRUTH), 3)) + (skill + bonus[rule]) * np.eye(3)[TRUTH]
        arrays[f"validation/{rule}"] = (np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).astype(np.float32)
    result = {"n_parameters": 80839, "n_nonzero": n_nonzero, "kb": n_nonzero / 256, "kernel_sparsity": 0.8,
              "n_macs": 73_000_000, "n_macs_nonzero": 14_600_000, "seconds": 1.5,
              "n_windows": 100, "figures": {rule: figures(arrays, rule) | {"epoch": 3.0}
                                            for rule in bonus}}
    return Outcome(result=result, arrays=arrays, provenance={"node": "here"})


def work(one: Task, folder: Path) -> Outcome:
    """Leaves a mark for every time it is begun."""
    _mark(folder)
    return outcome(one)


def fails_for_odd_seeds(one: Task, folder: Path) -> Outcome:
    """As a network whose weights have run away."""
    _mark(folder)
    if one.seed % 2:
        raise TrainingError("the loss is not a number")
    return outcome(one)


def dies_once(one: Task, folder: Path) -> Outcome:
    """Killed in the first try of seed 1, as by a machine that runs out of memory."""
    if _mark(folder) == 1 and one.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return outcome(one)


def dies_always(one: Task, folder: Path) -> Outcome:
    """Nothing ever comes of seed 1."""
    _mark(folder)
    if one.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return outcome(one)


def n_begun(folder: Path) -> int:
    """How often a task was begun."""
    marks = folder / "begun"
    return len(marks.read_text().splitlines()) if marks.exists() else 0


def _mark(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "begun").open("a") as file:
        file.write("begun\n")
    return n_begun(folder)
