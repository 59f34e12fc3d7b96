"""The sizes of a bundle: each member in each variant, summed, and judged against budgets."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_asc.audit.budgets import DEFAULT_BUDGET, PRESETS, Budget
from edge_asc.audit.layers import LayerSize, count_model, peak_activation_bytes
from edge_asc.errors import BundleError, InputError, OverBudgetError
from edge_asc.tflite_file import read_model

if TYPE_CHECKING:
    from edge_asc.bundle import Bundle

PRECISION_BYTES = {"float32": 4, "float16": 2, "int8": 1}
"""What the challenge's rule charges for one parameter."""
_COUNTS = ("n_parameters", "n_nonzero", "n_nonzero_without_batchnorm")


@dataclass(frozen=True, kw_only=True)
class MemberSizes:
    """One member in one variant, or the sum of all members (RAM: the largest, as members run one by one)."""

    name: str
    n_parameters: int
    """With every BatchNorm weight where the bundle says how the member was trained, else what is in the file."""
    n_nonzero: int
    n_nonzero_without_batchnorm: int
    precision_bytes: int
    file_bytes: int
    compressed_bytes: int
    weights_bytes: int
    ram_bytes: int
    macs: int
    macs_nonzero: int

    def count(self, counts: str, *, window_s: float) -> int:
        """The figure that a budget limits; `counts` is a key of `budgets.COUNTS`."""
        return {"nonzero": self.n_nonzero * self.precision_bytes, "n-parameters": self.n_parameters,
                "nonzero-without-batchnorm": self.n_nonzero_without_batchnorm * self.precision_bytes,
                "parameters": self.n_parameters * self.precision_bytes, "file": self.file_bytes,
                "compressed": self.compressed_bytes, "flash": self.weights_bytes, "ram": self.ram_bytes,
                "macs": self.macs, "macs-nonzero": self.macs_nonzero,
                "macs-per-s": round(self.macs / window_s)}[counts]


@dataclass(frozen=True, kw_only=True)
class Check:
    """A budget and what it was held against."""

    budget: Budget
    found: int

    @property
    def ok(self) -> bool:
        """Whether it fits."""
        return self.found <= self.budget.limit

    def __str__(self) -> str:
        unit = self.budget.unit
        over = "" if self.ok else f", {amount(self.found - self.budget.limit, unit)} over"
        return (f"{self.budget.name}: {self.budget.words}: {amount(self.found, unit)} of "
                f"{amount(self.budget.limit, unit)}{over}")


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Everything `edge-asc audit` prints."""

    variant: str
    """The variant that layers and checks are about."""
    layers: Mapping[str, Sequence[LayerSize]]
    """Member -> its operators with weights."""
    variants: Mapping[str, Sequence[MemberSizes]]
    """Variant -> its members and, last, their sum under the name "ensemble"."""
    checks: Sequence[Check]
    counts_batchnorm: bool
    """Whether the bundle says how many BatchNorm weights the members had before conversion folded them away."""

    @property
    def over(self) -> list[Check]:
        """The budgets that are exceeded."""
        return [check for check in self.checks if not check.ok]

    def require_within_budget(self) -> None:
        """Raises OverBudgetError with the list of what is over and by how much."""
        if self.over:
            raise OverBudgetError("over budget", found="; ".join(str(check) for check in self.over),
                                  fix="Prune further, take fewer or smaller members, or a smaller variant.")

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {"variant": self.variant, "counts_batchnorm": self.counts_batchnorm,
                "layers": {name: [dataclasses.asdict(layer) for layer in layers]
                           for name, layers in self.layers.items()},
                "variants": {name: [dataclasses.asdict(sizes) for sizes in members]
                             for name, members in self.variants.items()},
                "checks": [{**dataclasses.asdict(check.budget), "found": check.found, "ok": check.ok}
                           for check in self.checks]}


def audit_bundle(bundle: Bundle, *, budgets: Sequence[Budget] = PRESETS[DEFAULT_BUDGET], variant: str | None = None,
                 keras: Mapping[str, Mapping[str, int]] | None = None) -> Audit:
    """Count a bundle.

    Args:
        budgets: What to hold it against.
        variant: The one that layers and checks are about; the bundle's default if None.
        keras: Member -> counts before conversion (`n_parameters`, `n_nonzero`, `n_nonzero_without_batchnorm`); from
            the bundle's audit.json if None. Without them the figures are those of the converted files, in which
            BatchNorm is folded.

    Raises:
        InputError: The bundle has no such variant.
        BundleError, ModelFileError: A file is damaged.
    """
    variant = variant or bundle.default_variant
    if variant not in bundle.variants:
        raise InputError(f"{bundle.path} has no variant {variant!r}", wanted=f"one of {', '.join(bundle.variants)}")
    if keras is None:
        keras = _recorded(bundle)
    layers: dict[str, list[LayerSize]] = {}
    variants: dict[str, list[MemberSizes]] = {}
    for each in bundle.variants:
        members = []
        for member in bundle.members:
            data = bundle.member_bytes(member.name, each)
            found, sizes = member_sizes(member.name, data, each, keras.get(member.name))
            members.append(sizes)
            if each == variant:
                layers[member.name] = found
        variants[each] = [*members, sum_sizes(members)]
    total = variants[variant][-1]
    checks = [Check(budget=budget, found=total.count(budget.counts, window_s=bundle.features.window_s))
              for budget in budgets]
    return Audit(variant=variant, layers=layers, variants=variants, checks=checks,
                 counts_batchnorm=all(member.name in keras for member in bundle.members))


def _recorded(bundle: Bundle) -> Mapping[str, Mapping[str, int]]:
    """What the bundle's audit.json says about its members before conversion; nothing if it is silent."""
    counts = bundle.audit().get("keras", {})
    if not isinstance(counts, dict) or not all(
            isinstance(member, dict) and all(type(member.get(name)) is int for name in _COUNTS)
            for member in counts.values()):
        raise BundleError(f"{bundle.path}: audit.json does not say how the members were counted",
                          wanted=f"{', '.join(_COUNTS)} for each", fix="Make the bundle again.")
    return counts


def member_sizes(name: str, data: bytes, variant: str,
                 keras: Mapping[str, int] | None) -> tuple[list[LayerSize], MemberSizes]:
    """The operators and the sizes of one member's file; `keras` has its counts before conversion, if known."""
    model = read_model(data)
    layers = count_model(model)
    n_nonzero = sum(layer.n_nonzero for layer in layers)
    counts = keras or {"n_parameters": sum(layer.n_weights for layer in layers), "n_nonzero": n_nonzero,
                       "n_nonzero_without_batchnorm": n_nonzero}
    sizes = MemberSizes(
        name=name, n_parameters=counts["n_parameters"], n_nonzero=counts["n_nonzero"],
        n_nonzero_without_batchnorm=counts["n_nonzero_without_batchnorm"],
        precision_bytes=PRECISION_BYTES.get(variant.partition("-")[0], 4), file_bytes=len(data),
        compressed_bytes=len(zlib.compress(data, 9)), weights_bytes=sum(layer.weights_bytes for layer in layers),
        ram_bytes=peak_activation_bytes(model), macs=sum(layer.macs for layer in layers),
        macs_nonzero=sum(layer.macs_nonzero for layer in layers))
    return layers, sizes


def sum_sizes(members: Sequence[MemberSizes]) -> MemberSizes:
    """Those of the ensemble, in one variant."""
    def total(name: str) -> int:
        return sum(getattr(member, name) for member in members)

    return MemberSizes(
        name="ensemble", precision_bytes=members[0].precision_bytes, ram_bytes=max(m.ram_bytes for m in members),
        **{name: total(name) for name in (*_COUNTS, "file_bytes", "compressed_bytes", "weights_bytes", "macs",
                                          "macs_nonzero")})


def amount(value: int, unit: str) -> str:
    """A figure as people read it: bytes as KB of 1024, microseconds as ms, counts in thousands or millions."""
    if unit == "bytes":
        return f"{value / 1024:.1f} KB"
    if unit == "us":
        return f"{value / 1000:.2f} ms"
    return f"{value / 1e6:.1f} M" if value >= 10**7 else f"{value:,}".replace(",", " ")
