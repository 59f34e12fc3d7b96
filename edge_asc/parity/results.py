"""The figures of a parity report, as plain values: computed once, shown as a table, as JSON or as a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

ENSEMBLE, FLOAT32 = "ensemble", "float32"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What all answers are compared with."""

    name: str
    """In words: which weights, computed by what."""
    probabilities: NDArray[np.float32]
    """[n_members, n_windows, n_labels], members in the bundle's order."""
    float_files: Mapping[str, bytes]
    """Member -> its network in float32, as .tflite: what the layers of other variants are compared with."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answers:
    """One member, or the ensemble, of one variant on one engine."""

    variant: str
    engine: str
    member: str
    """A member's name, or "ensemble"."""
    label_agreement: float
    """Share of windows for which it names the label that the reference names."""
    largest_difference: float
    """Of any probability, from the reference."""
    mean_difference: float
    from_first_engine: float
    """Largest difference of any probability from the same variant on the first engine."""
    allowed_from_first_engine: float | None
    """None: nothing is promised. Members of an int8 ensemble wander with a delegate; their mean must not."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Figures against the truth, such as accuracy and log_loss; empty for windows without labels."""

    @property
    def agrees(self) -> bool:
        """Whether this engine computes what the first one computes."""
        return self.allowed_from_first_engine is None or self.from_first_engine <= self.allowed_from_first_engine


@dataclass(frozen=True, kw_only=True)
class LayerGap:
    """How far a layer's output is from another network's, over all its elements and the windows that were tried."""

    position: int
    """Number of the layer, from 0, in the order of computation; conversions between types are not counted."""
    operator: str
    shape: tuple[int, ...]
    step: float
    """One quantisation step of this layer's output; of a float layer 2^-14 of its largest magnitude."""
    is_int8: bool
    n_values: int
    n_different: int
    """Values that are not the same."""
    largest_steps: float
    mean_steps: float

    def __str__(self) -> str:
        return (f"layer {self.position} {self.operator} is up to {self.largest_steps:.3g} steps away in "
                f"{self.n_different} of {self.n_values} values")


@dataclass(frozen=True, kw_only=True)
class LayerComparison:
    """All layers of one member, in one variant on one engine, against something else."""

    variant: str
    engine: str
    member: str
    against: str
    """"float32": the member's float32 network, both on the first engine; or the name of the first engine, and each
    layer for itself, given the inputs that it had there."""
    gaps: tuple[LayerGap, ...]
    beyond: LayerGap | None = None
    """The first layer that is further from the first engine than rounding explains (edge_asc.parity.judging)."""

    @property
    def first_beyond_a_step(self) -> LayerGap | None:
        """The first layer that differs by more than one step anywhere."""
        return next((gap for gap in self.gaps if gap.largest_steps > 1.001), None)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A file that an engine did not run."""

    variant: str
    engine: str
    member: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Parity:
    """A bundle on every engine."""

    bundle: str
    reference: str
    engines: tuple[str, ...]
    n_windows: int
    n_layer_windows: int
    reference_scores: Mapping[str, Mapping[str, float]]
    """Member or "ensemble" -> figures of the reference itself."""
    answers: tuple[Answers, ...]
    layers: tuple[LayerComparison, ...]
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def disagreements(self) -> list[str]:
        """What is not as it should be between the engines, one sentence each."""
        found = [f"{each.variant} on {each.engine}, {each.member}: {each.from_first_engine:.2g} from "
                 f"{self.engines[0]}, at most {each.allowed_from_first_engine:.2g} allowed"
                 for each in self.answers if not each.agrees]
        found += [f"{each.variant} on {each.engine}, {each.member}: {each.beyond} when given what it was "
                  f"given on {each.against}" for each in self.layers if each.beyond]
        return found + [f"{each.variant} on {each.engine}, {each.member}: {each.reason}" for each in self.refusals]

    def ensembles(self) -> list[Answers]:
        """The rows of the ensembles."""
        return [each for each in self.answers if each.member == ENSEMBLE]

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {**asdict(self), "disagreements": self.disagreements}
