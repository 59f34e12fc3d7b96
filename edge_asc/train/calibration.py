"""Probabilities put right on recordings that were left out of training: one temperature, one offset per label.

A network that knows four recordings of a label by heart rarely believes in that label when it hears a fifth. What it
says about left-out recordings shows by how much, and the last layer's own weights can take the correction in, so the
network keeps its shape and every pruned weight stays zero (Guo et al. 2017, On Calibration of Modern Neural Networks;
the offsets are the bias part of its vector scaling).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tf_keras as keras
from scipy.optimize import minimize

from edge_asc.atomic import replacing
from edge_asc.errors import InputError
from edge_asc.train.evaluate import Evaluation
from edge_asc.train.member import save_model
from edge_asc.train.run import CALIBRATED, LAST, Run

# Strength of the belief that nothing needs correcting, in recordings: a few must not overrule it.
_PRIOR_RECORDINGS = 2.0
_LEAST_PROBABILITY = 1e-7


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """logits -> logits / temperature + offsets."""

    temperature: float
    offsets: tuple[float, ...]
    """One per label; they sum to 0."""

    def __call__(self, probabilities: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """[n, n_labels] -> [n, n_labels], the same as the calibrated network would say."""
        return _softmax(_logits(probabilities) / self.temperature + np.asarray(self.offsets))


def fit(probabilities: npt.ArrayLike, truth: npt.ArrayLike, recordings: npt.ArrayLike) -> Calibration:
    """The calibration that makes answers to left-out recordings least surprising.

    Labels count alike, and within a label its recordings, so that a long recording does not speak for many.

    Args:
        probabilities: [n, n_labels], of networks that did not hear these recordings in training.
        truth: [n] label numbers.
        recordings: [n] anything that names the recording of each window.

    Raises:
        InputError: There is no window of some label.
    """
    logits, t = _logits(probabilities), np.asarray(truth, np.int64)
    n_labels = logits.shape[1]
    missing = sorted(set(range(n_labels)) - set(t.tolist()))
    if missing:
        raise InputError("nothing to calibrate with", found=f"no window of label {missing[0]}", wanted="all labels")
    weights = _weights(t, np.unique(np.asarray(recordings), return_inverse=True)[1])
    strength = _PRIOR_RECORDINGS / min(len(set(np.asarray(recordings)[t == label])) for label in range(n_labels))

    def surprise(x: npt.NDArray[np.float64]) -> float:
        own = _softmax(logits * np.exp(x[0]) + x[1:] - x[1:].mean())[np.arange(len(t)), t]
        return float(-(weights * np.log(np.maximum(own, _LEAST_PROBABILITY))).sum() + strength * (x**2).sum() / 10)

    best = minimize(surprise, np.zeros(1 + n_labels), method="L-BFGS-B").x
    offsets = best[1:] - best[1:].mean()
    return Calibration(temperature=float(np.exp(-best[0])), offsets=tuple(float(offset) for offset in offsets))


def apply(model: keras.Model, calibration: Calibration) -> None:
    """Changes the last dense layer in place; what was zero in its kernel stays zero."""
    layer = model.layers[-1]
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel / calibration.temperature,
                       bias / calibration.temperature + np.asarray(calibration.offsets, np.float32)])


def calibrate_run(run: Run, left_out: Evaluation) -> dict[str, Calibration]:
    """Writes `calibrated.keras` for every member of a run, and its answers beside the others in `validation.npz`.

    Args:
        run: All members finished.
        left_out: From `cross_validate` with the same recipe, with a member of every architecture of the run.

    Returns:
        Architecture -> what was found for it on the left-out recordings.
    """
    architectures = dict(run.recipe.members)
    truth = [left_out.labels.index(clip.label or "") for clip in left_out.clips]
    recordings = [clip.recording for clip in left_out.clips]
    found = {architectures[name]: fit(answers, truth, recordings)
             for name, answers in zip(left_out.members, left_out.by_member, strict=True)}
    for name in run.finished:
        calibration, folder = found[architectures[name]], run.folder(name)
        model = keras.models.load_model(run.model_path(name), compile=False)
        apply(model, calibration)
        save_model(model, run.model_path(name, CALIBRATED))
        with np.load(folder / "validation.npz") as archive:
            answers = dict(archive) | {CALIBRATED: calibration(archive[LAST]).astype(np.float32)}
        with replacing(folder / "validation.npz") as file:
            np.savez_compressed(file, **answers)
    return found


def _weights(truth: npt.NDArray[np.int64], recordings: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    weights = np.zeros(len(truth))
    for label in np.unique(truth):
        own = recordings[truth == label]
        _, place, counts = np.unique(own, return_inverse=True, return_counts=True)
        weights[truth == label] = 1 / counts[place] / len(counts)
    return weights / weights.sum()


def _logits(probabilities: npt.ArrayLike) -> npt.NDArray[np.float64]:
    logits: npt.NDArray[np.float64] = np.log(np.maximum(np.asarray(probabilities, np.float64), _LEAST_PROBABILITY))
    return logits


def _softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    scaled: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return scaled
