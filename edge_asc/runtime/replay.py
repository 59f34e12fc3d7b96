"""The golden clip: recorded through every member when a bundle is made, replayed wherever it is to be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_asc.bundle import Bundle, Golden
from edge_asc.features import log_mel
from edge_asc.runtime.loading import load_ensemble
from edge_asc.runtime.tolerances import tolerance

FEATURE_TOLERANCE_DB = 1e-3
"""Room for another FFT library; NumPy's own differ by some 1e-6 dB."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One comparison: what was compared, how far apart it was, and how far it may be."""

    name: str
    difference: float
    tolerance: float
    unit: str = ""

    @property
    def ok(self) -> bool:
        """Whether the difference is a number within the tolerance."""
        return self.difference <= self.tolerance


def record_golden(bundle: Bundle, samples: NDArray[np.float32], *, engine: str = "auto") -> Golden:
    """Run the first window of `samples` (float32 mono, the bundle's rate) through every member and variant.

    The built-in kernels are used, not a delegate: they give the same bits on every machine, and in generated C.
    Made to be handed to `save_bundle` as `golden=lambda bundle: record_golden(bundle, samples)`.
    """
    window = log_mel(samples, bundle.features)
    outputs = {variant: load_ensemble(bundle, variant=variant, engine=engine, delegate=False)
               .member_probabilities(window) for variant in bundle.variants}
    probabilities = outputs[bundle.default_variant].mean(axis=0)
    return Golden(samples=samples, features=window, outputs=outputs, probabilities=probabilities)


def verify_bundle(bundle: Bundle, *, variants: Sequence[str] | None = None, engine: str = "auto",
                  notify: Callable[[str], None] | None = None) -> list[Check]:
    """Replay the golden clip, from its samples, through the front end and every member of the variants asked for.

    Args:
        bundle: A loaded bundle; its hashes were checked by `Bundle.load`.
        variants: If None the one that `load_ensemble` takes by default.
        engine, notify: As for `load_ensemble`.

    Returns:
        One check of the features; for each variant one of every member on an interpreter's built-in kernels or the
        native engine, and one of the ensemble as it runs here, with the delegate if there is one.

    Raises:
        BundleError: The golden clip does not fit the manifest.
        ModelFileError, InputError, MissingDependencyError: As `load_ensemble`.
    """
    golden = bundle.golden()
    window = log_mel(golden.samples, bundle.features)
    checks = [Check(name="features", difference=_distance(window, golden.features), tolerance=FEATURE_TOLERANCE_DB,
                    unit=" dB")]
    for wanted in variants or (None,):
        plain = load_ensemble(bundle, variant=wanted, engine=engine, delegate=False, notify=notify)
        outputs = golden.outputs[plain.variant]
        files = [bundle.member_bytes(member.name, plain.variant) for member in plain.members]
        for member, data, expected in zip(plain.members, files, outputs, strict=True):
            checks.append(Check(name=f"{plain.variant} {member.name}", tolerance=tolerance(member, data),
                                difference=_distance(member.probabilities(window), expected)))
        as_run = load_ensemble(bundle, variant=wanted, engine=engine, notify=notify)
        with_delegate = ", with delegate" if any(member.uses_delegate for member in as_run.members) else ""
        checks.append(Check(name=f"{plain.variant} ensemble{with_delegate}",
                            tolerance=max(map(tolerance, as_run.members, files)),
                            difference=_distance(as_run.probabilities(window), outputs.mean(axis=0))))
    return checks


def _distance(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.abs(np.asarray(found, np.float64) - expected).max())
