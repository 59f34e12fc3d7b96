"""The teacher of `[distillation]`: a logistic regression on the mean level of each band of a window.

A network that learns from a handful of recordings tells them apart by details that no other recording has; so simple a
teacher cannot. It answers each window as the network hears it, level and colour already changed: what a network is
taught is a function, not a list of answers (Hinton et al. 2015).
"""

from __future__ import annotations

import functools

import numpy as np

from edge_asc.spec import FeatureSpec
from edge_asc.train.batches import Augment, Float32, Teacher, Windows, batches, draw_epoch
from edge_asc.train.floors import Float64, StatisticsRegression
from edge_asc.train.recipe_parts import Distillation

N_WINDOWS = 2048
"""Drawn to fit the teacher to, evenly by label and recording; mixed windows are not among them."""


def band_teacher(settings: Distillation, train: Windows, *, spec: FeatureSpec, augment: Augment | None, n_labels: int,
                 seed: int) -> Teacher:
    """The regression, fitted to the training windows when it is first asked: not all who load windows train.

    Args:
        settings: The penalty.
        train: Those mixed from several recordings are left out.
        spec: The front end that made them.
        augment: How training changes them, if it does.
        n_labels: Of the answers.
        seed: Of what is drawn.

    Returns:
        The teacher; when it is asked, MissingDependencyError says that scikit-learn is not installed.
    """
    @functools.cache
    def fitted() -> StatisticsRegression:
        order = draw_epoch(train, balance="label_and_recording", n_windows=N_WINDOWS, mixed_share=0.0, seed=seed,
                           epoch=0)
        means = [_band_means(windows[..., 0]) for windows, _ in batches(
            train, order, batch_size=64, spec=spec, augment=augment, seed=seed, epoch=0)]
        # scikit-learn's C stands before the sum of all losses: like this the penalty is beside their mean, however
        # many.
        return StatisticsRegression(np.concatenate(means), train.labels[order], np.ones(len(order)),
                                    n_labels=n_labels, c=1 / (settings.penalty * len(order)))

    return lambda windows_db: fitted().probabilities(_band_means(windows_db)).astype(np.float32)


def _band_means(windows_db: Float32) -> Float64:
    """[n, n_mels]."""
    return windows_db.mean(axis=2).astype(np.float64)
