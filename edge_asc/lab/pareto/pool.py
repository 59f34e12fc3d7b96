"""The pool: trained members as real files in every variant, with their answers on the two splits that are held out.

    pool.json               which members, of which data
    splits.npz              truth of the selection and the validation split, recordings of the latter
    <key>/member.json       written last: counts, agreement with Keras, hashes of the files
    <key>/<variant>.tflite
    <key>/answers.npz       `selection/int8`, `validation/float16`, ..., `validation/keras`: [n, n_labels]

Conversion takes seconds and no training; what was converted before is not converted again.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_asc.atomic import replacing, write_bytes, write_text
from edge_asc.audit import member_sizes
from edge_asc.bundle import NewMember
from edge_asc.errors import RecipeError, TrainingError
from edge_asc.lab.pareto.part import Part
from edge_asc.lab.pareto.selection import Judge
from edge_asc.lab.tasks import Arrays, Task
from edge_asc.runtime.interpreter import InterpretedMember
from edge_asc.spec import LABELS, FeatureSpec
from edge_asc.train.batches import Float32, Splits, clamp_windows, clamped_chunks
from edge_asc.train.convert import N_COMPARED, evenly
from edge_asc.train.converted import Converted, convert_file
from edge_asc.train.member_files import Agreement
from edge_asc.train.run import LAST
from edge_asc.train.training_data import representative_windows

SELECTION, VALIDATION = "selection", "validation"
_KEY_DIGITS = 16
_DAMAGE = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A trained member."""

    task: Task
    converted: Converted
    parts: Mapping[str, Part]
    """By variant."""
    answers: Arrays
    """`<split>/<precision>`: [n, n_labels], by the files as the runtime runs them; `validation/keras`."""

    @property
    def name(self) -> str:
        """Unique in the pool."""
        return short_key(self.task)

    def __str__(self) -> str:
        pruning = self.task.recipe.pruning
        zeros = f" {pruning.final_sparsity:.0%}" if pruning.enabled else ""
        return f"{self.task.architecture}{zeros}"


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Members that may vote together."""

    entries: tuple[Entry, ...]
    variants: tuple[str, ...]
    splits: Arrays
    """`selection/truth`, `validation/truth`, `validation/recordings`: [n]."""

    @property
    def spec(self) -> FeatureSpec:
        """The front end of all of them."""
        return self.entries[0].task.recipe.features

    def parts(self, variant: str) -> list[Part]:
        """Every member in that variant."""
        return [entry.parts[variant] for entry in self.entries]

    def judge(self, variant: str, split: str = SELECTION) -> Judge:
        """Every member's answers in that variant on one split."""
        precision = variant.partition("-")[0]
        return Judge(probabilities=np.stack([entry.answers[f"{split}/{precision}"] for entry in self.entries]),
                     truth=self.splits[f"{split}/truth"], labels=LABELS)


def short_key(task: Task) -> str:
    """Enough of a task's key to name its files."""
    return task.key[:_KEY_DIGITS]


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
            "sha256": {variant: _sha256(data) for variant, data in converted.member.models.items()}})
        self._notify(f"converted {task}: " + ", ".join(
            f"{variant} {len(data) / 1024:.1f} KB" for variant, data in converted.member.models.items()))
        return _made(task, converted, answers)

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
    except (*_DAMAGE, RecipeError):
        return []


def _splits_of(task: Task) -> tuple[Any, ...]:
    """What decides which windows are held out, and how they look."""
    recipe = task.recipe
    return task.data_sha256, task.data_share, recipe.features, recipe.seed, recipe.training.selection_fraction


def load_pool(folder: Path) -> Pool:
    """A pool as it was left.

    Raises:
        TrainingError: There is none, it is empty, or a member's files are damaged or gone.
    """
    try:
        about = json.loads((folder / "pool.json").read_text(encoding="utf-8"))
        with np.load(folder / "splits.npz") as archive:
            splits = dict(archive)
        tasks = [Task.from_json(values) for values in about["tasks"]]
    except _DAMAGE:
        raise TrainingError(f"{folder} holds no members to pick from", wanted="pool.json",
                            fix="Make them first: edge-asc lab pareto.") from None
    entries = []
    for task in tasks:
        entry = load_entry(folder / short_key(task), task, about["variants"])
        if entry is None:
            raise TrainingError(f"the files of {task} in {folder} are damaged or gone",
                                fix="The same `edge-asc lab pareto` converts them again.")
        entries.append(entry)
    if not entries:
        raise TrainingError(f"{folder} holds no members to pick from", fix="Make them first: edge-asc lab pareto.")
    return Pool(entries=tuple(entries), variants=tuple(about["variants"]), splits=splits)


def load_entry(folder: Path, task: Task, variants: Sequence[str]) -> Entry | None:
    """A member that was converted before; None if it was not, not to all variants, or a file has changed."""
    try:
        about = json.loads((folder / "member.json").read_text(encoding="utf-8"))
        files = {variant: (folder / f"{variant}.tflite").read_bytes() for variant in variants}
        if about["key"] != task.key or any(_sha256(data) != about["sha256"][name] for name, data in files.items()):
            return None
        with np.load(folder / "answers.npz") as archive:
            answers = dict(archive)
        agreements = {variant: Agreement(**about["agreements"][variant]) for variant in variants}
        member = NewMember(name=short_key(task), architecture=task.architecture, seed=task.seed, models=files,
                           n_parameters=about["counts"]["n_parameters"])
        return _made(task, Converted(member=member, counts=about["counts"], agreements=agreements), answers)
    except _DAMAGE:
        return None


def _made(task: Task, converted: Converted, answers: Arrays) -> Entry:
    name = short_key(task)
    parts = {variant: Part(name=name, architecture=task.architecture, variant=variant, data=data,
                           sizes=member_sizes(name, data, variant, converted.counts)[1])
             for variant, data in converted.member.models.items()}
    return Entry(task=task, converted=converted, parts=parts, answers=answers)


def _save_arrays(path: Path, arrays: Arrays) -> None:
    with replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # every key is an array's name


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(values, indent=1) + "\n")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
