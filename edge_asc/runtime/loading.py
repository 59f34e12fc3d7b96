"""From a bundle on disk to an ensemble that runs, on whichever engine was asked for."""

from __future__ import annotations

from collections.abc import Callable

from edge_asc.bundle import Bundle
from edge_asc.errors import BundleError, InputError
from edge_asc.runtime.engines import NATIVE, find_engine
from edge_asc.runtime.ensemble import Ensemble


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
    ensemble = _load(bundle, variant=variant, engine=find_engine(engine), delegate=delegate, n_threads=n_threads,
                     notify=notify)
    ensemble.fingerprint = bundle.fingerprint
    return ensemble


def _load(bundle: Bundle, *, variant: str | None, engine: str, delegate: bool, n_threads: int,
          notify: Callable[[str], None] | None) -> Ensemble:
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
