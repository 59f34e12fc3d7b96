"""The pool: trained members as real files in every variant, with their answers on the two splits that are held out.

    pool.json               which members, of which data
    splits.npz              truth of the selection and the validation split, recordings of the latter
    <key>/member.json       written last: counts, agreement with Keras, hashes of the files
    <key>/<variant>.tflite
    <key>/answers.npz       `selection/int8`, `validation/float16`, ..., `validation/keras`: [n, n_labels]

`pool_maker` makes it.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_asc.audit import member_sizes
from edge_asc.bundle import NewMember
from edge_asc.errors import TrainingError
from edge_asc.lab.pareto.part import Part
from edge_asc.lab.pareto.selection import Judge
from edge_asc.lab.tasks import Arrays, Task
from edge_asc.spec import LABELS, FeatureSpec
from edge_asc.train.converted import Converted
from edge_asc.train.member_files import Agreement

SELECTION, VALIDATION = "selection", "validation"
_KEY_DIGITS = 16
DAMAGE = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile)
"""What reading a damaged file of a pool raises."""


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
    except DAMAGE:
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
        if about["key"] != task.key or any(sha256(data) != about["sha256"][name] for name, data in files.items()):
            return None
        with np.load(folder / "answers.npz") as archive:
            answers = dict(archive)
        agreements = {variant: Agreement(**about["agreements"][variant]) for variant in variants}
        member = NewMember(name=short_key(task), architecture=task.architecture, seed=task.seed, models=files,
                           n_parameters=about["counts"]["n_parameters"])
        return entry_of(task, Converted(member=member, counts=about["counts"], agreements=agreements), answers)
    except DAMAGE:
        return None


def entry_of(task: Task, converted: Converted, answers: Arrays) -> Entry:
    """A member with its parts measured."""
    name = short_key(task)
    parts = {variant: Part(name=name, architecture=task.architecture, variant=variant, data=data,
                           sizes=member_sizes(name, data, variant, converted.counts)[1])
             for variant, data in converted.member.models.items()}
    return Entry(task=task, converted=converted, parts=parts, answers=answers)


def sha256(data: bytes) -> str:
    """Of a file, in hex."""
    return hashlib.sha256(data).hexdigest()
