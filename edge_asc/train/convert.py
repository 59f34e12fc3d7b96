"""`edge-asc convert`: a finished training run -> a bundle, in one step and all or nothing.

Representative windows come from the training part, at the levels the recipe trains at; what is compared with Keras
are windows of the validation part as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_asc.audit import Budget
from edge_asc.bundle import Bundle
from edge_asc.data.dataset import TauDataset
from edge_asc.errors import InputError, TrainingError
from edge_asc.spec import LABELS
from edge_asc.train.batches import Splits, clamp_windows
from edge_asc.train.converted import Converted, answers, convert_file, save_converted
from edge_asc.train.levels import level_dbfs
from edge_asc.train.member_files import Float32, require_variants
from edge_asc.train.metrics import Scores, score
from edge_asc.train.model_card import Card, model_card, sparsity_in_words
from edge_asc.train.run import AWARE, LAST, Run
from edge_asc.train.training_data import fingerprint, load_splits, representative_windows

DEFAULT_VARIANTS = ("int8-sparse", "float16-sparse", "float32-sparse", "int8-dense")
"""Sparse files run at dense speed; the dense int8 file is for TFLite Micro and for tools that know no DENSIFY."""
N_COMPARED = 48
N_SCORED = 300
KERAS, KERAS_BEFORE = "keras", "keras, before it was aware of int8"
MAY_LOSE = 0.005
"""int8 is the default where its macro accuracy is at most this much below that of Keras."""


def convert_run(run_dir: str | Path, out: str | Path, *, variants: Sequence[str] = DEFAULT_VARIANTS,
                weights: str | None = None, dataset_dir: str | Path | None = None,
                golden_clip: str | Path | None = None, default_variant: str | None = None,
                budgets: Sequence[Budget] = (), sections: Mapping[str, str] | None = None,
                notify: Callable[[str], None] | None = None) -> Bundle:
    """Convert every member of a run, check each file against Keras, and save them as a bundle.

    Args:
        run_dir: From `train_ensemble`; every member of its recipe must be finished.
        out: The bundle; one that stands there is replaced when the new one is complete.
        variants: Some of `member_files.VARIANTS`.
        weights: As for `Run.weights`; if None "aware" (fine-tuned with int8's rounding) where the recipe asks for such,
            else "last".
        dataset_dir: Where the data set is now; where it was when the run was made if None.
        golden_clip: The sound that goes into the bundle as its golden clip; the first validation clip if None.
            Whoever publishes the bundle publishes it.
        default_variant: int8-sparse if None, unless it loses more than half a percent accuracy; then the next one.
        budgets: Limits that the ensemble must keep, in the default variant.
        sections: Title -> Markdown, added to the model card.
        notify: Told what is done.

    Raises:
        TrainingError: The run is damaged or not finished.
        DatasetError: The data set is gone; TrainingError: it is not the one that the run was made with.
        VerificationError: A file does not compute what Keras computes.
        OverBudgetError: A limit is exceeded. Nothing is written then.
    """
    notify = notify or _silent
    run = Run.load(run_dir)
    names = [name for name, _ in run.recipe.members]
    weights = run.weights(names[0], weights or run.usual_weights)
    paths = {name: run.model_path(name, weights) for name in names}
    require_variants(variants)
    if default_variant is not None and default_variant not in variants:
        raise InputError("the default variant is not among those to be made", found=default_variant,
                         wanted=f"one of {', '.join(variants)}")
    dataset, splits = _data(run, dataset_dir)
    representative = representative_windows(run.recipe, splits)
    scored, compared = evenly(len(splits.validation), N_SCORED), evenly(len(splits.validation), N_COMPARED)
    real = clamp_windows(splits.validation.gather(compared), splits.spec)
    members = []
    for name in names:
        members.append(convert_file(paths[name], variants, representative, real, name=name,
                                    architecture=dict(run.recipe.members)[name], seed=run.recipe.member_seed(name)))
        notify(str(members[-1]))

    made = {"run": _published(run.about), "weights": weights,
            "level_dbfs": level_dbfs(dataset.train, run.recipe.augmentation, sample_rate_hz=splits.spec.sample_rate_hz),
            "n_representative_windows": len(representative)}
    clip = Path(golden_clip) if golden_clip is not None else dataset.validation[0].path
    windows = clamp_windows(splits.validation.gather(scored), splits.spec)
    scores = _scores(run, names, weights, members, windows, splits.validation.labels[scored], scored)
    chosen = default_variant or _default_variant(variants, scores)
    notify(f"default variant: {chosen}")

    def card(bundle: Bundle) -> str:
        return model_card(Card(bundle=bundle, recipe=run.recipe, about=run.about, weights=weights, scores=scores,
                               sparsity=sparsity_in_words(run.recipe.pruning), golden_clip=clip.name,
                               agreements={each.member.name: each.agreements for each in members},
                               sections=sections or {}))

    return save_converted(out, members, spec=splits.spec, made=made, golden_clip=clip, budgets=budgets, scores=scores,
                          card=card, default_variant=chosen)


def _published(about: Mapping[str, Any]) -> dict[str, Any]:
    """What run.json says, without the folder on the machine that trained: a bundle goes to others."""
    return {**about, "data": {key: value for key, value in about["data"].items() if key != "directory"}}


def _data(run: Run, dataset_dir: str | Path | None) -> tuple[TauDataset, Splits]:
    directory = dataset_dir or run.about["data"]["directory"]
    dataset = TauDataset.load(directory)
    splits = load_splits(run.recipe, dataset)
    if fingerprint(splits) != run.about["data"]["sha256"]:
        raise TrainingError(f"{directory} is not the data set that {run.path} was trained on",
                            fix="Name the right one with --dataset.")
    return dataset, splits


def _scores(run: Run, names: Sequence[str], weights: str, members: Sequence[Converted], windows: Float32,
            truth: Any, places: Any) -> dict[str, Scores]:
    """The ensemble's figures on validation windows: by Keras, as the run recorded them, and in each variant."""
    found = {KERAS: _keras_score(run, names, weights, truth, places)}
    if weights == AWARE:
        found[KERAS_BEFORE] = _keras_score(run, names, LAST, truth, places)
    by_precision: dict[str, Scores] = {}
    for variant in members[0].member.models:
        # A sparse and a dense file of one precision are one network once they are loaded.
        precision = variant.partition("-")[0]
        if precision not in by_precision:
            by_file = [answers(each.member.models[variant], windows) for each in members]
            by_precision[precision] = score(np.mean(by_file, axis=0), truth, labels=LABELS)
        found[variant] = by_precision[precision]
    return found


def _keras_score(run: Run, names: Sequence[str], weights: str, truth: Any, places: Any) -> Scores:
    rows = []
    for name in names:
        path = run.model_path(name, weights)
        with np.load(path.with_name("validation.npz")) as archive:
            rows.append(archive[path.stem][places])
    return score(np.mean(rows, axis=0), truth, labels=LABELS)


def _default_variant(variants: Sequence[str], scores: Mapping[str, Scores]) -> str:
    least = max(scores[name].macro_accuracy for name in (KERAS, KERAS_BEFORE) if name in scores) - MAY_LOSE
    good = [variant for variant in variants if scores[variant].macro_accuracy >= least]
    return (good or [variant for variant in variants if not variant.startswith("int8")] or list(variants))[0]


def evenly(n: int, n_wanted: int) -> Any:
    """Up to `n_wanted` of the numbers below `n`, from the first to the last."""
    return np.unique(np.linspace(0, n - 1, min(n, n_wanted)).round().astype(np.int64))


def _silent(message: str) -> None:
    del message
