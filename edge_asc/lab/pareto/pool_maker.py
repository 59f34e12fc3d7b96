"""Makes a pool: converts trained members and has their files answer both held-out splits.

Conversion takes seconds and no training; what was converted before is not converted again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_asc.atomic import replacing, write_bytes, write_text
from edge_asc.errors import RecipeError, TrainingError
from edge_asc.lab.pareto.pool import (
    DAMAGE,
    SELECTION,
    VALIDATION,
    Entry,
    Pool,
    entry_of,
    load_entry,
    sha256,
    short_key,
)
from edge_asc.lab.tasks import Arrays, Task
from edge_asc.runtime.interpreter import InterpretedMember
from edge_asc.train.batches import Float32, Splits, clamp_windows, clamped_chunks
from edge_asc.train.convert import N_COMPARED, evenly
from edge_asc.train.converted import convert_file
from edge_asc.train.run import LAST
from edge_asc.train.training_data import representative_windows


class PoolMaker:
    """Takes trained members into a pool on disk.

    Args:
        folder: The pool's.
        variants: What every member is converted to.
        splits: The windows, as every task of the pool sees them.
        model_path: Where a task's network is.
        notify: Told what is converted.
    """

    def __init__(self, folder: Path, *, variants: Sequence[str], splits: Splits, model_path: Callable[[Task], Path],
                 notify: Callable[[str], None]) -> None:
        self._folder, self._variants, self._splits, self._notify = folder, tuple(variants), splits, notify
        self._model_path = model_path
        self._representative: Float32 | None = None
        self._entries: dict[str, Entry] = {}

    def take_earlier(self, like: Task) -> None:
        """Members that this folder lists already and that were held out the same windows as that task; those whose
        files and networks are gone are left out."""
        for task in _listed(self._folder):
            if _splits_of(task) == _splits_of(like):
                with suppress(TrainingError):
                    self._entries[task.key] = self._entry(replace(task, dataset=like.dataset))

    def take(self, tasks: Iterable[Task]) -> Pool:
        """Converts what is new, and returns all that was ever taken; `pool.json` lists it.

        Raises:
            TrainingError: A member's network is not there any more.
        """
        for task in tasks:
            if task.key not in self._entries:
                self._entries[task.key] = self._entry(task)
        selection, validation = self._splits.selection, self._splits.validation
        assert selection is not None
        arrays: Arrays = {"selection/truth": selection.labels, "validation/truth": validation.labels,
                          "validation/recordings": validation.recordings}
        _save_arrays(self._folder / "splits.npz", arrays)
        _write_json(self._folder / "pool.json", {"variants": self._variants, "tasks": [
            entry.task.to_json() for entry in self._entries.values()]})
        return Pool(entries=tuple(self._entries.values()), variants=self._variants, splits=arrays)

    def _entry(self, task: Task) -> Entry:
        folder = self._folder / short_key(task)
        found = load_entry(folder, task, self._variants)
        if found is not None:
            return found
        path = self._model_path(task)
        if not path.is_file():
            raise TrainingError(f"the trained network of {task} is not here", wanted=str(path),
                                fix="Copy the folder from the machine that trained it.")
        folder.mkdir(parents=True, exist_ok=True)
        real = self._splits.validation.gather(evenly(len(self._splits.validation), N_COMPARED))
        if self._representative is None:
            self._representative = representative_windows(task.recipe, self._splits)
        converted = convert_file(path, self._variants, self._representative, clamp_windows(real, self._splits.spec),
                                 name=short_key(task), architecture=task.architecture, seed=task.seed)
        with np.load(path.with_name("validation.npz")) as archive:
            answers: Arrays = {f"{VALIDATION}/keras": archive[LAST]}
        for variant, data in converted.member.models.items():
            precision = variant.partition("-")[0]
            if f"{VALIDATION}/{precision}" not in answers:
                answers |= {f"{split}/{precision}": found for split, found in self._answers(data).items()}
            write_bytes(folder / f"{variant}.tflite", data)
        _save_arrays(folder / "answers.npz", answers)
        _write_json(folder / "member.json", {
            "key": task.key, "counts": converted.counts,
            "agreements": {variant: each.to_json() for variant, each in converted.agreements.items()},
            "sha256": {variant: sha256(data) for variant, data in converted.member.models.items()}})
        self._notify(f"converted {task}: " + ", ".join(
            f"{variant} {len(data) / 1024:.1f} KB" for variant, data in converted.member.models.items()))
        return entry_of(task, converted, answers)

    def _answers(self, data: bytes) -> dict[str, Float32]:
        member = InterpretedMember(data)
        windows = {SELECTION: self._splits.selection, VALIDATION: self._splits.validation}
        return {split: np.stack([member.probabilities(window) for chunk in clamped_chunks(each, self._splits.spec)
                                 for window in chunk]) for split, each in windows.items() if each is not None}


def _listed(folder: Path) -> list[Task]:
    """The tasks of `pool.json`; none where it is not there or not readable."""
    try:
        about = json.loads((folder / "pool.json").read_text(encoding="utf-8"))
        return [Task.from_json(values) for values in about["tasks"]]
    except (*DAMAGE, RecipeError):
        return []


def _splits_of(task: Task) -> tuple[Any, ...]:
    """What decides which windows are held out, and how they look."""
    recipe = task.recipe
    return task.data_sha256, task.data_share, recipe.features, recipe.seed, recipe.training.selection_fraction


def _save_arrays(path: Path, arrays: Arrays) -> None:
    with replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # every key is an array's name


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(values, indent=1) + "\n")
