"""The golden clip: recorded through every member when a bundle is made, replayed wherever it is to be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_asc.bundle import Bundle, Golden
from edge_asc.features import log_mel
from edge_asc.runtime.ensemble import load_ensemble

FEATURE_TOLERANCE_DB = 1e-3
"""Room for another FFT library; NumPy's own differ by some 1e-6 dB."""
FLOAT_TOLERANCE = 1e-5
INT8_TOLERANCE_STEPS = 2
"""Of the int8 output. The built-in kernels of LiteRT, tflite-runtime and TFLite Micro agree bit for bit; what is left
is an input value that falls on the other side of a rounding."""
INT8_DELEGATE_TOLERANCE = 0.1
"""Of the ensemble's probabilities. XNNPACK rounds each int8 layer in its own way and that adds up: single members of
random weights were seen 60 steps of 1/256 away from the built-in kernels."""


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


def record_golden(bundle: Bundle, samples: NDArray[np.float32], *, runtime: str = "auto") -> Golden:
    """Run the first window of `samples` (float32 mono, the bundle's rate) through every member and variant.

    The built-in kernels are used, not a delegate: they give the same bits on every machine, and in generated C.
    Made to be handed to `save_bundle` as `golden=lambda bundle: record_golden(bundle, samples)`.
    """
    window = log_mel(samples, bundle.features)
    outputs = {variant: load_ensemble(bundle, variant=variant, runtime=runtime, delegate=False)
               .member_probabilities(window) for variant in bundle.variants}
    probabilities = outputs[bundle.default_variant].mean(axis=0)
    return Golden(samples=samples, features=window, outputs=outputs, probabilities=probabilities)


def verify_bundle(bundle: Bundle, *, variants: Sequence[str] | None = None, runtime: str = "auto",
                  notify: Callable[[str], None] | None = None) -> list[Check]:
    """Replay the golden clip, from its samples, through the front end and every member of the variants asked for.

    Args:
        bundle: A loaded bundle; its hashes were checked by `Bundle.load`.
        variants: The bundle's default variant if None.
        runtime, notify: As for `load_ensemble`.

    Returns:
        One check of the features; for each variant one of every member on the built-in kernels, and one of the
        ensemble as it runs here, with the delegate.

    Raises:
        BundleError: The golden clip does not fit the manifest.
        ModelFileError, InputError, MissingDependencyError: As `load_ensemble`.
    """
    golden = bundle.golden()
    window = log_mel(golden.samples, bundle.features)
    checks = [Check(name="features", difference=_distance(window, golden.features), tolerance=FEATURE_TOLERANCE_DB,
                    unit=" dB")]
    for variant in variants or (bundle.default_variant,):
        plain = load_ensemble(bundle, variant=variant, runtime=runtime, delegate=False, notify=notify)
        for member, expected in zip(plain.members, golden.outputs[variant], strict=True):
            checks.append(Check(name=f"{variant} {member.name}",
                                difference=_distance(member.probabilities(window), expected),
                                tolerance=max(FLOAT_TOLERANCE, INT8_TOLERANCE_STEPS * member.output_step)))
        as_run = load_ensemble(bundle, variant=variant, runtime=runtime, notify=notify)
        is_int8 = any(member.output_step for member in as_run.members)
        checks.append(Check(name=f"{variant} ensemble, with delegate",
                            difference=_distance(as_run.probabilities(window), golden.outputs[variant].mean(axis=0)),
                            tolerance=INT8_DELEGATE_TOLERANCE if is_int8 else FLOAT_TOLERANCE))
    return checks


def _distance(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float(np.abs(np.asarray(found, np.float64) - expected).max())
