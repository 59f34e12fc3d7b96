"""The ensemble of a bundle, loaded: the plain mean of its members' probabilities, always of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_asc.bundle import Bundle
from edge_asc.errors import BundleError, InputError
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
        """One line: how many members, in which variant, on which runtime."""
        runtimes = sorted({member.runtime if member.uses_delegate else f"{member.runtime} without delegate"
                           for member in self.members})
        names = ", ".join(member.name for member in self.members)
        return f"{len(self.members)} members ({names}), {self.variant}, {' and '.join(runtimes)}"

    def member_probabilities(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [n_mels, n_frames] in dB, clamped -> float32 [n_members, n_labels]."""
        return np.stack([member.probabilities(window) for member in self.members])

    def probabilities(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [n_mels, n_frames] in dB, clamped -> float32 [n_labels]: the mean over the members."""
        return np.asarray(self.member_probabilities(window).mean(axis=0), np.float32)


def load_ensemble(bundle: Bundle, *, variant: str | None = None, runtime: str = "auto", delegate: bool = True,
                  n_threads: int = 1, notify: Callable[[str], None] | None = None) -> Ensemble:
    """Load every member of a bundle.

    Args:
        bundle: From `Bundle.load`.
        variant: One of `bundle.variants`; the bundle's default if None.
        runtime: "auto", "litert" or "tflite-runtime".
        delegate: Use the runtime's default delegate.
        n_threads: Threads inside one inference.
        notify: Called with a sentence when a member does not run as asked for.

    Raises:
        InputError: The bundle has no such variant.
        BundleError: A member does not fit the bundle's features or labels.
        ModelFileError: A member cannot be loaded. There is never an ensemble of fewer members.
        MissingDependencyError: The runtime is not installed.
    """
    variant = variant or bundle.default_variant
    if variant not in bundle.variants:
        raise InputError(f"{bundle.path} has no variant {variant!r}", wanted=f"one of {', '.join(bundle.variants)}")
    members = []
    window_shape = (bundle.features.n_mels, bundle.features.n_frames)
    for entry in bundle.members:
        member = Member(bundle.member_bytes(entry.name, variant), name=entry.name, runtime=runtime,
                        delegate=delegate, n_threads=n_threads, notify=notify)
        if (member.window_shape, member.n_labels) != (window_shape, len(bundle.labels)):
            raise BundleError(f"{bundle.path}: member {entry.name} ({variant}) does not fit the manifest",
                              found=f"windows {member.window_shape} and {member.n_labels} labels",
                              wanted=f"{window_shape} and {len(bundle.labels)}", fix="Make the bundle again.")
        members.append(member)
    return Ensemble(members, labels=bundle.labels, features=bundle.features, variant=variant)
