"""Leave-recordings-out: every training recording is answered for by an ensemble that never heard it.

For data with few recordings this tells more than one split does. Each fold is a training run in a folder of its own,
so a second call goes on where one stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_asc.data.dataset import TauDataset
from edge_asc.data.folder_lock import sole_writer
from edge_asc.data.tau_layout import Clip
from edge_asc.errors import DatasetError, InputError, TrainingError
from edge_asc.spec import LABELS
from edge_asc.train.batches import Int64, Splits, Windows
from edge_asc.train.evaluate import Evaluation, judge, save
from edge_asc.train.fit import chosen_members, describe_data, train_on
from edge_asc.train.floors import BandRegression, Float64, Frequencies
from edge_asc.train.progress import Reporter, Silent
from edge_asc.train.recipes import Recipe
from edge_asc.train.run import LAST, Run
from edge_asc.train.training_data import arrange, load_windows, number_recordings

_SHUFFLE = 4


@dataclass(frozen=True, kw_only=True)
class _Fold:
    """One run and what it answered to the recordings it was not trained on."""

    run: Run
    held_out: Int64
    """Numbers of the windows held out."""
    answers: Float64
    """[n_members, n held out, n_labels]."""
    floors: dict[str, Float64]


def cross_validate(recipe: Recipe, dataset_dir: str | Path, out_dir: str | Path, *, n_folds: int,
                   members: Sequence[str] = (), progress: Reporter | None = None,
                   n_jobs: int | None = None) -> Evaluation:
    """Trains on all recordings of the training split but some, answers for those, and so on round all folds.

    Args:
        out_dir: Gets a run directory per fold (fold1, fold2, ...), and the figures as `evaluate.save` writes them.
        n_folds: From 2. A label with fewer recordings than that is missing from some folds.
        members: Only these members of the recipe; all by default.
        progress: Told what happens; silent by default.
        n_jobs: Processes for features that are not cached yet; None for one per core.

    Returns:
        Figures of the last epoch's answers to windows that were held out, of all folds together.

    Raises:
        InputError: Fewer than two folds, or more than there are recordings.
        DatasetError: The data set cannot be trained on, or a label has one recording only.
        TrainingError: A folder holds another run, or training cannot go on.
    """
    chosen = chosen_members(recipe, members)
    progress, root = progress or Silent(), Path(out_dir)
    if (root / "run.json").exists():
        raise TrainingError(f"{root} is a training run of its own", fix="Name another folder with -o.")
    dataset = TauDataset.load(dataset_dir)
    clips = dataset.train
    numbers = number_recordings([*dataset.train, *dataset.validation])
    windows = load_windows(clips, recipe.features, dataset.cache_dir, recordings=numbers, n_jobs=n_jobs,
                           shown=not isinstance(progress, Silent))
    fold_of = assign_folds(windows, n_folds=n_folds, seed=recipe.seed)
    folds = []
    with sole_writer(root, wait=False):
        for number in range(n_folds):
            held_out = np.flatnonzero(fold_of == number)
            progress.say(f"fold {number + 1} of {n_folds}: {len(np.unique(windows.recordings[held_out]))} recordings, "
                         f"{len(held_out)} windows held out")
            kept = np.flatnonzero(fold_of != number)
            splits = arrange(recipe, [clips[i] for i in kept], windows.take(kept), windows.take(held_out),
                             cache_dir=dataset.cache_dir, n_jobs=n_jobs, shown=not isinstance(progress, Silent))
            folds.append(_fold(splits, recipe, root / f"fold{number + 1}", held_out, windows.take(kept),
                               members=chosen, directory=dataset.root, progress=progress))
        evaluation = _gather(folds, windows, clips, chosen, recipe, dataset)
        save(evaluation, root)
    return evaluation


def assign_folds(windows: Windows, *, n_folds: int, seed: int) -> Int64:
    """The fold of each window: whole recordings, each label spread over the folds as evenly as recordings allow.

    Recordings are taken largest first, each into the fold that has the fewest windows of its label so far (of those,
    the fewest windows at all), so every fold has every label that has at least `n_folds` recordings.

    Raises:
        InputError: Fewer than two folds, or more folds than recordings.
        DatasetError: A label has one recording only: without it, it cannot be learned.
    """
    recordings = np.unique(windows.recordings)
    if not 2 <= n_folds <= len(recordings):
        raise InputError("impossible number of folds", found=n_folds,
                         wanted=f"from 2 to the {len(recordings)} recordings")
    fold_of = np.full(len(windows), -1)
    sizes = np.zeros((n_folds, len(LABELS)), np.int64)
    for label in np.unique(windows.labels):
        own = windows.labels == label
        names = np.random.default_rng([seed, _SHUFFLE, int(label)]).permutation(np.unique(windows.recordings[own]))
        if len(names) < 2:
            raise DatasetError(f"leaving recordings out leaves nothing of {LABELS[label]}", found="one recording",
                               wanted="at least two", fix="Add recordings of this label.")
        n_windows = {name: np.count_nonzero(own & (windows.recordings == name)) for name in names}
        for name in sorted(names, key=lambda name: -n_windows[name]):
            fold = min(range(n_folds), key=lambda fold: (sizes[fold, label], sizes[fold].sum()))
            # A place with clips of two labels stays in one fold.
            taken = fold_of[(windows.recordings == name) & (fold_of >= 0)]
            fold = int(taken[0]) if len(taken) else fold
            fold_of[own & (windows.recordings == name)] = fold
            sizes[fold, label] += n_windows[name]
    return fold_of


def _fold(splits: Splits, recipe: Recipe, folder: Path, held_out: Int64, plain: Windows, *, members: Sequence[str],
          directory: Path, progress: Reporter) -> _Fold:
    run = train_on(splits, recipe, folder, members=members, data=describe_data(splits, directory), progress=progress)
    answers = []
    for name in members:
        with np.load(run.folder(name) / "validation.npz") as archive:
            answers.append(archive[LAST])
    made = (Frequencies(plain, n_labels=len(LABELS)), BandRegression(plain, splits.spec, n_labels=len(LABELS)))
    return _Fold(run=run, held_out=held_out, answers=np.asarray(answers, np.float64),
                 floors={floor.name: floor.probabilities(splits.validation) for floor in made})


def _gather(folds: Sequence[_Fold], windows: Windows, clips: Sequence[Clip], members: Sequence[str], recipe: Recipe,
            dataset: TauDataset) -> Evaluation:
    answers = np.empty((len(members), len(windows), len(LABELS)))
    floors = {name: np.empty((len(windows), len(LABELS))) for name in folds[0].floors}
    for fold in folds:
        answers[:, fold.held_out] = fold.answers
        for name, found in fold.floors.items():
            floors[name][fold.held_out] = found
    about: dict[str, Any] = {"recipe": recipe.to_json(), "made_with": folds[0].run.about["made_with"], "folds": [
        {"run": fold.run.path.name, "recordings": sorted({clips[i].recording for i in fold.held_out})}
        for fold in folds]}
    return judge(answers, windows, clips,
                 subject=f"recipe {recipe.name}, {len(folds)} folds, weights of the last epoch",
                 data=f"the training split of {dataset.root}, each recording by networks that never heard it",
                 members=members, labels=LABELS, floors=floors, about=about, notes=_missing(folds, windows))


def _missing(folds: Sequence[_Fold], windows: Windows) -> list[str]:
    """A sentence on each label that some folds could not hold out."""
    counts = {label: sum(bool((windows.labels[fold.held_out] == number).any()) for fold in folds)
              for number, label in enumerate(LABELS)}
    return [f"{label} has fewer recordings than folds, and is held out in {n} of {len(folds)}"
            for label, n in counts.items() if n < len(folds)]
