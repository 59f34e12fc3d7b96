"""One member to train and judge, as a value: the same task has the same key on every machine.

Ensembles are not tasks. They are means over the probabilities that each member's outcome carries, so no member is
ever trained twice for two tables. TensorFlow is imported only where a task is checked or runs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_asc.bench.machine import cpu_model
from edge_asc.data.dataset import TauDataset
from edge_asc.data.folder_lock import sole_writer
from edge_asc.data.tau_layout import CLIP_S
from edge_asc.errors import RecipeError, TrainingError
from edge_asc.features import filterbank
from edge_asc.lab.data import thinned
from edge_asc.spec import LABELS
from edge_asc.train.execution import PLAIN, Execution, Executions, execution_for
from edge_asc.train.progress import Reporter, Silent
from edge_asc.train.recipes import Recipe, from_mapping
from edge_asc.train.run import kept, made_with

Arrays = dict[str, npt.NDArray[Any]]

MEMBER = "member"
"""The name of the one member in a task's recipe."""
EXECUTIONS: Executions = {"V": Execution(channel_multiple=8), "I": Execution(pointwise_matmul=True)}
"""How steps are computed on every machine, by family: in float32, and quicker than the plain way where that was tried.
What is quickest on each machine would make their figures differ."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained and judged: one member."""

    recipe: Recipe
    """One member; its `seed` draws the selection split and the block-mixed tracks, alike for all members."""
    seed: int
    """Initial weights, order of the windows, augmentation and dropout of this member."""
    dataset: str
    """Folder of the data set, where the task runs. Not part of the key."""
    data_sha256: str
    """`data.data_fingerprint` of the data set."""
    data_share: float = 1.0
    """Part of each label's clips that is used, in both splits."""
    execution: Execution = PLAIN
    """How steps are computed: `fixed_execution`, or as an older store has it."""

    @property
    def architecture(self) -> str:
        """`V(a,b,c,d)` or `I(p,q,r)`."""
        return self.recipe.members[0][1]

    @property
    def key(self) -> str:
        """64 hex digits that name the task: SHA-256 of everything that shapes its result."""
        # What is as by default is left out, so that a key outlives settings that are yet to come.
        shaping = {part: value for part, value in _shaping(self.recipe).items() if value != _BY_DEFAULT[part]}
        values = {"architecture": self.architecture, "recipe": shaping, "seed": self.seed, "data": self.data_sha256,
                  "data_share": self.data_share}
        if self.execution != PLAIN:
            values["execution"] = {name: value for name, value in dataclasses.asdict(self.execution).items()
                                   if value != getattr(PLAIN, name)}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """A plain mapping that `from_json` reads back."""
        return {**{item.name: getattr(self, item.name) for item in dataclasses.fields(self)},
                "recipe": self.recipe.to_json(), "execution": dataclasses.asdict(self.execution)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Task:
        """The inverse of `to_json`."""
        return cls(**{**values, "recipe": from_mapping(values["recipe"]),
                      "execution": Execution.from_json(values.get("execution", {}))})

    def __str__(self) -> str:
        features, mixing = self.recipe.features, self.recipe.block_mixing
        parts = [self.architecture, f"{features.n_mels} x {features.n_fft}",
                 f"{self.recipe.pruning.final_sparsity:.0%} zeros" if self.recipe.pruning.enabled else "",
                 f"{mixing.n_segments} segments by {mixing.match}" if mixing.n_tracks_per_label else "",
                 "mixed on the fly" if mixing.n_tracks_per_label and mixing.on_the_fly else "",
                 f"seed {self.seed}"]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a task gave."""

    result: dict[str, Any]
    """JSON-able: sizes, work, seconds, and `figures` by checkpoint (`last`, `best_on_...`) and split."""
    arrays: Arrays = field(repr=False)
    """`validation/last`, `validation/best_on_...`: float32 [n, n_labels]; `validation/truth`: int8 [n]; the same for
    `selection` where the recipe holds one out."""
    provenance: dict[str, Any] = field(repr=False)
    """Versions, git state, machine, device, threads, and how steps were computed."""


def _shaping(recipe: Recipe) -> dict[str, Any]:
    """By part: what is not as by default, or None where it is switched off, which no other setting then changes."""
    is_on = {"pruning": recipe.pruning.enabled, "quantization": recipe.quantization.enabled,
             "distillation": recipe.distillation.enabled,
             "augmentation": recipe.augmentation.enabled, "block_mixing": recipe.block_mixing.n_tracks_per_label > 0}
    found: dict[str, Any] = {}
    for part, value in recipe.to_json().items():
        if part in ("name", "description", "members"):
            continue
        if isinstance(value, dict):
            value = {name: one for name, one in value.items() if one != _DEFAULTS[part][name]}
        found[part] = value if is_on.get(part, True) else None
    return found


_DEFAULT = Recipe(name="", members=((MEMBER, "V(2,2,3,3)"),))
_DEFAULTS = _DEFAULT.to_json()
_BY_DEFAULT = _shaping(_DEFAULT)


def single_member(recipe: Recipe, architecture: str) -> Recipe:
    """The recipe for one member of that architecture, as a task wants it."""
    return dataclasses.replace(recipe, name="lab", description="", members=((MEMBER, architecture),))


def fixed_execution(architecture: str) -> Execution:
    """How steps of that network are computed in the laboratory."""
    return execution_for(architecture, EXECUTIONS)


def check(task: Task) -> None:
    """Refuses what could never train, before anything does.

    Raises:
        RecipeError: A window longer than the clips, an architecture that pools its input to nothing.
        InputError: Mel bands without any FFT bin.
    """
    from edge_asc.train.models import parse_architecture, require_input

    features = task.recipe.features
    if features.window_s > CLIP_S:
        raise RecipeError("a window is longer than a clip", found=f"{features.window_s:.3f} s", wanted=f"{CLIP_S:g} s",
                          fix="Use fewer frames or a smaller n_fft.")
    require_input(parse_architecture(task.architecture), n_mels=features.n_mels, n_frames=features.n_frames)
    filterbank(features)


def fix_threads(n_threads: int) -> None:
    """Has TensorFlow use so many threads for one operation, run one operation at a time, and leave a GPU's memory to
    others until it needs it.

    Sums are split over threads, so the same seed gives the same bits only with the same number of them.

    Raises:
        TrainingError: TensorFlow is at work already, with another number.
    """
    from edge_asc.train.keras2 import tf

    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # read when TensorFlow first uses a GPU
    try:
        tf.config.threading.set_intra_op_parallelism_threads(n_threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        if (found := tf.config.threading.get_intra_op_parallelism_threads()) != n_threads:
            raise TrainingError("TensorFlow already runs in this process", found=f"{found} threads (0: one per core)",
                                wanted=n_threads, fix="Run the sweep in a process of its own.") from None


def run_task(task: Task, folder: Path, progress: Reporter | None = None) -> Outcome:
    """Trains the member to its end, or from wherever `folder` holds a checkpoint.

    Args:
        folder: This task's own. A second process waits until the first has finished.

    Raises:
        DatasetError: The data set cannot be trained on.
        TrainingError: The loss is not a number, or the checkpoint is damaged.
    """
    from edge_asc.train.keras2 import keras
    from edge_asc.train.member import MemberTraining
    from edge_asc.train.models import count_macs
    from edge_asc.train.training_data import load_splits

    with sole_writer(folder, wait=True):
        dataset = thinned(TauDataset.load(task.dataset), task.data_share)
        splits = load_splits(task.recipe, dataset, n_jobs=1, shown=False)
        keras.backend.clear_session()
        training = MemberTraining(MEMBER, recipe=task.recipe, splits=splits, folder=folder, seed=task.seed,
                                  progress=progress or Silent(), execution=task.execution)
        training.resume()
        state = training.run()
        n_macs, n_macs_nonzero = count_macs(training.model)
        rules = kept(state)
        judged = {"validation": splits.validation, "selection": splits.selection}
        arrays: Arrays = {}
        for split, windows in judged.items():
            if windows is not None:
                with np.load(folder / f"{split}.npz") as archive:
                    arrays |= {f"{split}/{rule}": archive[rule] for rule in rules}
                arrays[f"{split}/truth"] = windows.labels.astype(np.int8)
    seconds = sum(row["seconds"] for row in training.rows)
    result = {"n_parameters": state["n_parameters"], "n_nonzero": state["n_nonzero"],
              "kb": state["n_nonzero"] * 4 / 1024, "kernel_sparsity": state["kernel_sparsity"], "n_macs": n_macs,
              "n_macs_nonzero": n_macs_nonzero, "seconds": seconds,
              "n_windows": training.n_windows * task.recipe.training.epochs,
              "figures": {rule: figures(arrays, rule) | {"epoch": state[rule]["epoch"]} for rule in rules}}
    return Outcome(result=result, arrays=arrays, provenance=made_with() | {
        "node": platform.node(), "execution": dataclasses.asdict(task.execution), **_computed_on()})


def _computed_on() -> dict[str, Any]:
    """What rounding depends on, besides versions."""
    from edge_asc.train.keras2 import tf

    gpus = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
            for gpu in tf.config.get_visible_devices("GPU")]
    return {"device": ", ".join(gpus) or cpu_model(), "threads": tf.config.threading.get_intra_op_parallelism_threads()}


def figures(arrays: Mapping[str, npt.NDArray[Any]], rule: str) -> dict[str, dict[str, float]]:
    """Split -> micro and macro accuracy and log-loss of the probabilities under that rule."""
    from edge_asc.train.metrics import score

    found = {}
    for split in ("validation", "selection"):
        if f"{split}/{rule}" in arrays:
            scores = score(arrays[f"{split}/{rule}"], arrays[f"{split}/truth"], labels=LABELS)
            found[split] = {"micro_accuracy": scores.micro_accuracy, "macro_accuracy": scores.macro_accuracy,
                            "log_loss": scores.log_loss}
    return found
