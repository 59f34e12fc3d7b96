"""`edge-asc convert`: a finished training run -> a bundle, in one step and all or nothing.

Representative windows come from the training part, at the levels the recipe trains at; what is compared with Keras
are windows of the validation part as they are.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_asc.audio import read_audio, require_sound
from edge_asc.audit import Budget, audit_bundle
from edge_asc.bundle import Bundle, NewMember, save_bundle
from edge_asc.data.dataset import TauDataset
from edge_asc.errors import InputError, TrainingError
from edge_asc.runtime import record_golden
from edge_asc.runtime.member import Member
from edge_asc.spec import LABELS, FeatureSpec
from edge_asc.train.batches import Splits, batches, clamp_windows, draw_epoch
from edge_asc.train.keras2 import keras
from edge_asc.train.levels import level_dbfs
from edge_asc.train.member_files import (
    VARIANTS,
    Agreement,
    Float32,
    check_member,
    convert_member,
    keras_counts,
)
from edge_asc.train.metrics import Scores, score
from edge_asc.train.model_card import Card, model_card
from edge_asc.train.run import LAST, Run, made_with
from edge_asc.train.training_data import fingerprint, load_splits

__all__ = ["DEFAULT_VARIANTS", "VARIANTS", "convert_member", "convert_run"]

DEFAULT_VARIANTS = ("int8-sparse", "float16-sparse", "float32-sparse", "int8-dense")
"""Sparse files run at dense speed; the dense int8 file is for TFLite Micro and for tools that know no DENSIFY."""
N_REPRESENTATIVE = 128
N_COMPARED = 48
N_SCORED = 300
MAY_LOSE = 0.005
"""int8 is the default where its macro accuracy is at most this much below that of Keras."""


@dataclass(frozen=True, kw_only=True)
class _Converted:
    member: NewMember
    counts: dict[str, Any]
    agreements: dict[str, Agreement]


def convert_run(run_dir: str | Path, out: str | Path, *, variants: Sequence[str] = DEFAULT_VARIANTS,
                weights: str = LAST, dataset_dir: str | Path | None = None, golden_clip: str | Path | None = None,
                default_variant: str | None = None, budgets: Sequence[Budget] = (),
                sections: Mapping[str, str] | None = None, notify: Callable[[str], None] | None = None) -> Bundle:
    """Convert every member of a run, check each file against Keras, and save them as a bundle.

    Args:
        run_dir: From `train_ensemble`; every member of its recipe must be finished.
        out: The bundle; one that stands there is replaced when the new one is complete.
        variants: Some of `VARIANTS`.
        weights: "last", or "best" for the best epoch at final sparsity.
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
    paths = {name: run.model_path(name, weights) for name in names}
    _known(variants, default_variant)
    dataset, splits = _data(run, dataset_dir)
    representative = _representative(run, splits)
    scored, compared = _evenly(len(splits.validation), N_SCORED), _evenly(len(splits.validation), N_COMPARED)
    real = clamp_windows(splits.validation.gather(compared), splits.spec)
    members = []
    for name in names:
        members.append(_member(run, name, paths[name], variants, representative, real))
        notify(_progress(members[-1]))

    made = {"run": _published(run.about), "weights": weights,
            "level_dbfs": level_dbfs(dataset.train, run.recipe.augmentation, sample_rate_hz=splits.spec.sample_rate_hz),
            "converted": _now(), "converted_with": made_with(),
            "n_representative_windows": len(representative)}
    clip = Path(golden_clip) if golden_clip is not None else dataset.validation[0].path
    samples = _golden_samples(clip, splits.spec)
    scores: dict[str, Scores] = {}

    def golden(bundle: Bundle) -> Any:
        return record_golden(bundle, samples)

    def audit(bundle: Bundle) -> dict[str, Any]:
        counts = {each.member.name: each.counts for each in members}
        found = audit_bundle(bundle, budgets=budgets, keras=counts)
        found.require_within_budget()
        agreements = {variant: {each.member.name: each.agreements[variant].to_json() for each in members}
                      for variant in variants}
        return {**found.to_json(), "keras": counts, "agreement": agreements,
                "scores": {name: each.to_json() for name, each in scores.items()}}

    def card(bundle: Bundle) -> str:
        return model_card(Card(bundle=bundle, run=run, weights=weights, scores=scores,
                               agreements={each.member.name: each.agreements for each in members},
                               golden_clip=clip.name, sections=sections or {}))

    windows = clamp_windows(splits.validation.gather(scored), splits.spec)
    scores |= _scores(run, names, weights, members, windows, splits.validation.labels[scored], scored)
    chosen = default_variant or _default_variant(variants, scores)
    notify(f"default variant: {chosen}")
    return save_bundle(out, labels=LABELS, features=splits.spec, members=[each.member for each in members],
                       golden=golden, audit=audit, model_card=card, made=made, default_variant=chosen)


def _published(about: Mapping[str, Any]) -> dict[str, Any]:
    """What run.json says, without the folder on the machine that trained: a bundle goes to others."""
    return {**about, "data": {key: value for key, value in about["data"].items() if key != "directory"}}


def _known(variants: Sequence[str], default_variant: str | None) -> None:
    unknown = [variant for variant in variants if variant not in VARIANTS]
    if unknown or not variants:
        raise InputError("no such variant", found=", ".join(unknown) or "none", wanted=f"some of {', '.join(VARIANTS)}")
    if default_variant is not None and default_variant not in variants:
        raise InputError("the default variant is not among those to be made", found=default_variant,
                         wanted=f"one of {', '.join(variants)}")


def _data(run: Run, dataset_dir: str | Path | None) -> tuple[TauDataset, Splits]:
    directory = dataset_dir or run.about["data"]["directory"]
    dataset = TauDataset.load(directory)
    splits = load_splits(run.recipe, dataset)
    if fingerprint(splits) != run.about["data"]["sha256"]:
        raise TrainingError(f"{directory} is not the data set that {run.path} was trained on",
                            fix="Name the right one with --dataset.")
    return dataset, splits


def _representative(run: Run, splits: Splits) -> Float32:
    """Training windows, evenly by label and recording, changed as the recipe changes them."""
    seed, recipe = run.recipe.seed, run.recipe
    order = draw_epoch(splits.train, balance="label_and_recording", n_windows=N_REPRESENTATIVE,
                       mixed_share=recipe.block_mixing.share, seed=seed, epoch=0)
    drawn = batches(splits.train, order, batch_size=32, spec=splits.spec, augment=splits.augment, seed=seed, epoch=0)
    return np.concatenate([windows[..., 0] for windows, _ in drawn])


def _member(run: Run, name: str, path: Path, variants: Sequence[str], representative: Float32,
            real: Float32) -> _Converted:
    model = keras.models.load_model(path, compile=False)
    files = convert_member(model, variants, representative)
    agreements = {variant: check_member(model, data, variant, real) for variant, data in files.items()}
    counts = keras_counts(model)
    keras.backend.clear_session()
    architecture = dict(run.recipe.members)[name]
    return _Converted(counts=counts, agreements=agreements,
                      member=NewMember(name=name, architecture=architecture, seed=run.recipe.member_seed(name),
                                       models=files, n_parameters=counts["n_parameters"]))


def _scores(run: Run, names: Sequence[str], weights: str, members: Sequence[_Converted], windows: Float32,
            truth: Any, places: Any) -> dict[str, Scores]:
    """The ensemble's figures on validation windows: by Keras, as the run recorded them, and in each variant."""
    which = run.model_path(names[0], weights).stem
    by_keras = []
    for name in names:
        with np.load(run.folder(name) / "validation.npz") as archive:
            by_keras.append(archive[which][places])
    found = {"keras": score(np.mean(by_keras, axis=0), truth, labels=LABELS)}
    by_precision: dict[str, Scores] = {}
    for variant in members[0].member.models:
        # A sparse and a dense file of one precision are one network once they are loaded.
        precision = variant.partition("-")[0]
        if precision not in by_precision:
            by_file = [_run(each.member.models[variant], windows) for each in members]
            by_precision[precision] = score(np.mean(by_file, axis=0), truth, labels=LABELS)
        found[variant] = by_precision[precision]
    return found


def _run(data: bytes, windows: Float32) -> Float32:
    member = Member(data)
    return np.stack([member.probabilities(window) for window in windows])


def _default_variant(variants: Sequence[str], scores: Mapping[str, Scores]) -> str:
    least = scores["keras"].macro_accuracy - MAY_LOSE
    good = [variant for variant in variants if scores[variant].macro_accuracy >= least]
    return (good or [variant for variant in variants if not variant.startswith("int8")] or list(variants))[0]


def _golden_samples(path: Path, spec: FeatureSpec) -> Float32:
    """The first window of a sound file, on the grid of 16 bits, in which the bundle keeps it."""
    samples = require_sound(read_audio(path, sample_rate_hz=spec.sample_rate_hz), str(path))[:spec.window_samples]
    return (np.clip(np.rint(samples * 32768), -32768, 32767) / 32768).astype(np.float32)


def _evenly(n: int, n_wanted: int) -> Any:
    return np.unique(np.linspace(0, n - 1, min(n, n_wanted)).round().astype(np.int64))


def _progress(converted: _Converted) -> str:
    parts = [f"{variant} {len(data) / 1024:.1f} KB, {converted.agreements[variant].label_agreement:.0%}"
             for variant, data in converted.member.models.items()]
    return f"{converted.member.name} (size, labels as Keras): " + "; ".join(parts)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _silent(message: str) -> None:
    del message
