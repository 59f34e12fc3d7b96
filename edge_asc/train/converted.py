"""Members that are files already, checked against Keras, and the bundle that they become."""

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
from edge_asc.runtime import record_golden
from edge_asc.runtime.interpreter import InterpretedMember
from edge_asc.spec import LABELS, FeatureSpec
from edge_asc.train.keras2 import keras
from edge_asc.train.member_files import Agreement, Float32, check_member, convert_member, keras_counts
from edge_asc.train.metrics import Scores
from edge_asc.train.run import RANGES, made_with


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A member's files, what it counted before conversion, and how each file agrees with Keras."""

    member: NewMember
    counts: dict[str, Any]
    agreements: dict[str, Agreement]

    def __str__(self) -> str:
        parts = [f"{variant} {len(data) / 1024:.1f} KB, {self.agreements[variant].label_agreement:.0%}"
                 for variant, data in self.member.models.items()]
        return f"{self.member.name} (size, labels as Keras): " + "; ".join(parts)


def convert_file(path: Path, variants: Sequence[str], representative: Float32, real: Float32, *, name: str,
                 architecture: str, seed: int) -> Converted:
    """A .keras file as TFLite in these variants, each compared with Keras on the windows `real`.

    Where ranges for int8 stand beside it, as training that is aware of int8 leaves them, the int8 files have those.

    Raises:
        VerificationError: A file does not compute what Keras computes.
    """
    model = keras.models.load_model(path, compile=False)
    ranges = None
    if path.with_name(RANGES).is_file():
        with np.load(path.with_name(RANGES)) as archive:
            ranges = dict(archive)
    files = convert_member(model, variants, representative, ranges=ranges)
    agreements = {variant: check_member(model, data, variant, real) for variant, data in files.items()}
    counts = keras_counts(model)
    keras.backend.clear_session()
    return Converted(counts=counts, agreements=agreements,
                     member=NewMember(name=name, architecture=architecture, seed=seed, models=files,
                                      n_parameters=counts["n_parameters"]))


def answers(data: bytes, windows: Float32) -> Float32:
    """Probabilities [n, n_labels] of a file on clamped windows [n, n_mels, n_frames], as a bundle runs it."""
    member = InterpretedMember(data)
    return np.stack([member.probabilities(window) for window in windows])


def save_converted(out: str | Path, members: Sequence[Converted], *, spec: FeatureSpec, made: Mapping[str, Any],
                   golden_clip: Path, default_variant: str, budgets: Sequence[Budget], scores: Mapping[str, Scores],
                   card: Callable[[Bundle], str]) -> Bundle:
    """Writes the bundle of these members, all or nothing.

    Args:
        made: How the members were made, for the manifest.
        golden_clip: A sound file; its first window goes into the bundle.
        budgets: Limits that the ensemble must keep in the default variant.
        scores: Variant -> the ensemble's figures, for audit.json.
        card: Writes the model card.

    Raises:
        OverBudgetError: A limit is exceeded. Nothing is written then.
    """
    samples = _golden_samples(golden_clip, spec)

    def golden(bundle: Bundle) -> Any:
        return record_golden(bundle, samples)

    def audit(bundle: Bundle) -> dict[str, Any]:
        counts = {each.member.name: each.counts for each in members}
        found = audit_bundle(bundle, budgets=budgets, keras=counts)
        found.require_within_budget()
        agreements = {variant: {each.member.name: each.agreements[variant].to_json() for each in members}
                      for variant in bundle.variants}
        return {**found.to_json(), "keras": counts, "agreement": agreements,
                "scores": {name: each.to_json() for name, each in scores.items()}}

    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return save_bundle(out, labels=LABELS, features=spec, members=[each.member for each in members], golden=golden,
                       audit=audit, model_card=card, default_variant=default_variant,
                       made={**made, "converted": now, "converted_with": made_with()})


def _golden_samples(path: Path, spec: FeatureSpec) -> Float32:
    """The first window of a sound file, on the grid of 16 bits, in which the bundle keeps it."""
    samples = require_sound(read_audio(path, sample_rate_hz=spec.sample_rate_hz), str(path))[:spec.window_samples]
    return (np.clip(np.rint(samples * 32768), -32768, 32767) / 32768).astype(np.float32)
