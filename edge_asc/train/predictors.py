"""An ensemble behind one function, whether it is a bundle on an engine or a run in Keras.

A bundle is evaluated as it is deployed and without TensorFlow, which only a run imports.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_asc.bundle import Bundle
from edge_asc.errors import InputError, MissingDependencyError, TrainingError
from edge_asc.runtime import load_ensemble
from edge_asc.spec import FeatureSpec
from edge_asc.train.run import BEST_ON_VALIDATION, LAST, Run

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """Members that can be asked."""

    name: str
    """What is judged, in words."""
    members: tuple[str, ...]
    labels: tuple[str, ...]
    features: FeatureSpec
    predict: Callable[[Float32], Float32]
    """Clamped windows [n, n_mels, n_frames] -> probabilities [n_members, n, n_labels]."""
    notes: tuple[str, ...] = ()
    """What a reader of the figures must know."""


def load_predictor(path: str | Path, *, variant: str | None = None, weights: str = LAST, engine: str = "auto",
                   notify: Callable[[str], None] | None = None) -> Predictor:
    """The ensemble of a bundle or of a training run, whichever stands at `path`.

    Args:
        variant: Of a bundle; its default if None.
        weights: Of a run, as for `Run.weights`.

    Raises:
        InputError: It is neither, or `variant` is named for a run.
    """
    root = Path(path)
    if (root / "run.json").exists():
        if variant is not None:
            raise InputError(f"{root} is a training run, which has no variants", found=f"variant {variant}",
                             fix="Leave out --variant, or make a bundle first: edge-asc convert RUN -o BUNDLE")
        return _run_predictor(Run.load(root), weights)
    if not (root / "manifest.json").exists():
        raise InputError(f"{root} is neither a bundle nor a training run",
                         wanted="a folder with manifest.json or run.json",
                         fix="Name what `edge-asc convert` or `edge-asc train` wrote.")
    return _bundle_predictor(Bundle.load(root), variant, engine, notify)


def _bundle_predictor(bundle: Bundle, variant: str | None, engine: str,
                      notify: Callable[[str], None] | None) -> Predictor:
    ensemble = load_ensemble(bundle, variant=variant, engine=engine, notify=notify)

    def predict(windows: Float32) -> Float32:
        return np.stack([ensemble.member_probabilities(window) for window in windows], axis=1)

    return Predictor(name=f"bundle {bundle.path}, {ensemble.variant}", labels=ensemble.labels, predict=predict,
                     members=tuple(member.name for member in ensemble.members), features=ensemble.features)


def _run_predictor(run: Run, weights: str) -> Predictor:
    try:
        from edge_asc.train.keras2 import keras
        from edge_asc.train.member_files import predict as predict_one
    except ImportError as error:
        raise MissingDependencyError.extra("evaluating a training run", "train") from error
    from edge_asc.spec import LABELS

    names, notes = run.finished, []
    if not names:
        raise TrainingError(f"no member of {run.path} is finished",
                            fix="Run the same `edge-asc train` again: it goes on where it stopped.")
    if len(names) < len(run.recipe.members):
        unfinished = [name for name, _ in run.recipe.members if name not in names]
        notes.append(f"not finished, and not voting: {', '.join(unfinished)}")
    paths = [run.model_path(name, weights) for name in names]
    weights = run.weights(names[0], weights)
    if weights == BEST_ON_VALIDATION:
        notes.append("the epoch was chosen on the validation split, which makes figures on that split optimistic")
    models = [keras.models.load_model(path, compile=False) for path in paths]

    def predict(windows: Float32) -> Float32:
        return np.stack([predict_one(model, windows) for model in models])

    return Predictor(name=f"run {run.path}, weights {weights}", labels=LABELS, members=tuple(names),
                     features=run.recipe.features, predict=predict, notes=tuple(notes))
