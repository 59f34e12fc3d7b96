"""The ensemble of a bundle, loaded: the plain mean of its members' probabilities, always of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_asc.bundle import Bundle
from edge_asc.errors import BundleError, InputError
from edge_asc.runtime.engines import NATIVE, find_engine
from edge_asc.runtime.member import Member
from edge_asc.spec import FeatureSpec


class Ensemble:
    """Members that vote together. Make one with `load_ensemble`."""

    def __init__(self, members: Sequence[Member], *, labels: Sequence[str], features: FeatureSpec,
                 variant: str) -> None:
        self.members = tuple(members)
        self.labels = tuple(labels)
        self.features = features
        self.variant = variant

    @property
    def description(self) -> str:
        """One line: how many members, in which variant, on which engine."""
        engines = sorted({member.engine if member.uses_delegate or member.engine == NATIVE else
                          f"{member.engine} without delegate" for member in self.members})
        names = ", ".join(member.name for member in self.members)
        return f"{len(self.members)} members ({names}), {self.variant}, {' and '.join(engines)}"

    def member_probabilities(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [n_mels, n_frames] in dB, clamped -> float32 [n_members, n_labels]."""
        return np.stack([member.probabilities(window) for member in self.members])

    def probabilities(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [n_mels, n_frames] in dB, clamped -> float32 [n_labels]: the mean over the members."""
        return np.asarray(self.member_probabilities(window).mean(axis=0), np.float32)


def load_ensemble(bundle: Bundle, *, variant: str | None = None, engine: str = "auto", delegate: bool = True,
                  n_threads: int = 1, notify: Callable[[str], None] | None = None) -> Ensemble:
    """Load every member of a bundle.

    Args:
        bundle: From `Bundle.load`.
        variant: One of `bundle.variants`. If None the bundle's default; for the native engine the default if it is
            int8, or else the first that is.
        engine: "auto" or one of `ENGINES`.
        delegate: Use an interpreter's default delegate.
        n_threads: Threads inside one inference; of the native engine, members that run at the same time.
        notify: Called with a sentence when a member does not run as asked for.

    Raises:
        InputError: The bundle has no such variant.
        BundleError: A member does not fit the bundle's features or labels.
        ModelFileError: A member cannot be loaded. There is never an ensemble of fewer members.
        MissingDependencyError: The engine is not installed.
        VerificationError: What the native engine compiled does not compute what it should.
    """
    engine = find_engine(engine)
    variant = variant or _default_variant(bundle, engine)
    if variant not in bundle.variants:
        raise InputError(f"{bundle.path} has no variant {variant!r}", wanted=f"one of {', '.join(bundle.variants)}")
    if engine == NATIVE:
        from edge_asc.runtime.native import load_native

        return load_native(bundle, variant=variant, n_threads=n_threads, notify=notify)
    from edge_asc.runtime.interpreter import InterpretedMember

    members = []
    window_shape = (bundle.features.n_mels, bundle.features.n_frames)
    for entry in bundle.members:
        member = InterpretedMember(bundle.member_bytes(entry.name, variant), name=entry.name, engine=engine,
                                   delegate=delegate, n_threads=n_threads, notify=notify)
        if (member.window_shape, member.n_labels) != (window_shape, len(bundle.labels)):
            raise BundleError(f"{bundle.path}: member {entry.name} ({variant}) does not fit the manifest",
                              found=f"windows {member.window_shape} and {member.n_labels} labels",
                              wanted=f"{window_shape} and {len(bundle.labels)}", fix="Make the bundle again.")
        members.append(member)
    return Ensemble(members, labels=bundle.labels, features=bundle.features, variant=variant)


def _default_variant(bundle: Bundle, engine: str) -> str:
    candidates = [bundle.default_variant, *bundle.variants]
    if engine == NATIVE:
        return next((variant for variant in candidates if variant.startswith("int8-")), candidates[0])
    return candidates[0]
