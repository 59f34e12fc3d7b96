"""Trains the members of an ensemble one after the other into a run directory; a second call goes on where one stopped.

`train_ensemble` is the whole of `edge-asc train`; `train_member` is for callers that have their windows already.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_asc.atomic import write_bytes
from edge_asc.data.dataset import TauDataset
from edge_asc.data.folder_lock import sole_writer
from edge_asc.errors import RecipeError
from edge_asc.train import plots
from edge_asc.train.aware import AwareTraining
from edge_asc.train.batches import Splits
from edge_asc.train.execution import PLAIN, Execution, execution_for, executions_from_json, executions_to_json
from edge_asc.train.execution_trial import best_executions
from edge_asc.train.history import read_csv
from edge_asc.train.keras2 import keras
from edge_asc.train.member import MemberTraining
from edge_asc.train.metrics import score
from edge_asc.train.progress import Reporter, Silent
from edge_asc.train.recipes import Recipe
from edge_asc.train.run import AWARE, BEST_ON_SELECTION, BEST_ON_VALIDATION, LAST, Run, kept, open_run, write_json
from edge_asc.train.training_data import fingerprint, load_splits


def train_ensemble(recipe: Recipe, dataset_dir: str | Path, out_dir: str | Path, *, members: Sequence[str] = (),
                   progress: Reporter | None = None, n_jobs: int | None = None) -> Run:
    """Trains the members of a recipe that are not finished yet.

    Args:
        members: Only these; all by default.
        progress: Told what happens; silent by default.
        n_jobs: Processes for features that are not cached yet; None for one per core.

    Raises:
        DatasetError: The data set cannot be trained on.
        RecipeError: An unknown member.
        TrainingError: The folder holds another run, or training cannot go on.
    """
    chosen = chosen_members(recipe, members)
    progress = progress or Silent()
    dataset = TauDataset.load(dataset_dir)
    splits = load_splits(recipe, dataset, n_jobs=n_jobs, shown=not isinstance(progress, Silent))
    return train_on(splits, recipe, Path(out_dir), members=chosen, data=describe_data(splits, dataset.root),
                    progress=progress)


def train_on(splits: Splits, recipe: Recipe, out_dir: Path, *, members: Sequence[str], data: dict[str, Any],
             progress: Reporter) -> Run:
    """As `train_ensemble`, on windows that are there already. `data["sha256"]` names them."""
    with sole_writer(out_dir, wait=False):
        run = open_run(out_dir, recipe, data, execution=lambda: executions_to_json(best_executions(recipe)))
        executions = executions_from_json(run.about.get("execution", {}))
        waiting = [name for name in members if run.state(name) is None]
        for name in members:
            if name not in waiting:
                progress.say(f"{name}: finished before")
        n_windows = recipe.training.windows_per_epoch or len(splits.train)
        progress.begin(len(waiting) * (recipe.training.epochs + recipe.quantization.aware_epochs) * n_windows)
        for name in waiting:
            train_member(name, recipe=recipe, splits=splits, folder=run.folder(name), progress=progress,
                         execution=execution_for(dict(recipe.members)[name], executions))
        write_results(run, splits)
    return run


def describe_data(splits: Splits, directory: Path) -> dict[str, Any]:
    """What run.json says of the data."""
    return {"directory": str(directory.resolve()), "sha256": fingerprint(splits), "n_train": len(splits.train),
            "n_validation": len(splits.validation),
            "n_selection": 0 if splits.selection is None else len(splits.selection)}


def train_member(name: str, *, recipe: Recipe, splits: Splits, folder: Path, progress: Reporter,
                 execution: Execution = PLAIN) -> dict[str, Any]:
    """Trains one member to the end and writes all its files, `state.json` last; returns what that file says."""
    keras.backend.clear_session()
    folder.mkdir(parents=True, exist_ok=True)
    training = MemberTraining(name, recipe=recipe, splits=splits, folder=folder, progress=progress,
                              execution=execution)
    training.resume()
    state = {"name": name, "architecture": dict(recipe.members)[name], "seed": training.seed, **training.run()}
    if recipe.quantization.enabled:
        state["aware"] = _train_aware(name, recipe=recipe, splits=splits, folder=folder, progress=progress)
    write_bytes(folder / "curves.png", plots.curves({name: read_csv(folder / "history.csv")}))
    write_json(folder / "state.json", state)
    progress.say(f"{name}: {state['n_kernel_zeros']} of {state['n_kernel_weights']} kernel weights are exactly zero "
                 f"({state['kernel_sparsity']:.2%}); {state['n_nonzero']} of {state['n_parameters']} parameters remain")
    return state


def _train_aware(name: str, *, recipe: Recipe, splits: Splits, folder: Path, progress: Reporter) -> dict[str, Any]:
    keras.backend.clear_session()
    (folder / AWARE).mkdir(exist_ok=True)
    training = AwareTraining(name, source=folder / f"{LAST}.keras", recipe=recipe, splits=splits, folder=folder / AWARE,
                             progress=progress)
    training.resume()
    return training.run()


def write_results(run: Run, splits: Splits) -> None:
    """Scores of every finished member and of their mean, for the last and the best epochs (and rounded as in int8, if
    the recipe trains so): results.json, curves.png."""
    finished = run.finished
    if not finished:
        return
    states = [run.state(name) or {} for name in finished]
    found: dict[str, Any] = {"split": "validation", "members": finished,
                             "n_nonzero": sum(state["n_nonzero"] for state in states)}
    for which in kept(states[0]):
        if not all(which in state for state in states):  # some members are of a version that kept less
            continue
        file_name, key = (f"{AWARE}/validation.npz", "rounded") if which == AWARE else ("validation.npz", which)
        probabilities = {}
        for name in finished:
            with np.load(run.folder(name) / file_name) as archive:
                probabilities[name] = archive[key]
        probabilities["ensemble"] = np.mean(list(probabilities.values()), axis=0)
        found[which] = {name: score(p, splits.validation.labels, labels=splits.labels).to_json()
                        for name, p in probabilities.items()}
    if BEST_ON_VALIDATION in found:
        found["note"] = (f"{BEST_ON_VALIDATION} was chosen on the very windows it is judged on here, as in the paper, "
                         f"and is therefore optimistic; {LAST} was not chosen at all")
        if BEST_ON_SELECTION in found:
            found["note"] += f", and {BEST_ON_SELECTION} on windows held out of training"
    write_json(run.path / "results.json", found)
    histories = {name: read_csv(run.folder(name) / "history.csv") for name in finished}
    write_bytes(run.path / "curves.png", plots.curves(histories))


def chosen_members(recipe: Recipe, members: Sequence[str]) -> list[str]:
    """Those named, in the recipe's order; all if none is.

    Raises:
        RecipeError: An unknown member.
    """
    names = [name for name, _ in recipe.members]
    unknown = [name for name in members if name not in names]
    if unknown:
        raise RecipeError("no such member in the recipe", found=", ".join(unknown), wanted=", ".join(names))
    return [name for name in names if not members or name in members]
