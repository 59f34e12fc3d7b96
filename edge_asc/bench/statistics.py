"""Figures out of repetitions: percentiles, ratios that hold on a busy machine, straight lines.

A ratio is taken round by round, between runs that followed each other within moments, so that whatever else the
machine was doing hit both; the median over the rounds is reported, with the interval that resampling them gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_asc.errors import InputError

N_FOR_P99 = 100
"""Fewer repetitions have no 99th percentile worth the name."""
_N_RESAMPLED = 2000


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Repetitions of one task, in the unit in which they came (ms here)."""

    n: int
    p50: float
    p95: float
    p99: float | None
    """None for fewer than 100 repetitions."""
    max: float
    mean: float

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, rounded to 0.1 us."""
        return {name: value if value is None or name == "n" else round(value, 4) for name, value in vars(self).items()}


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times more the first of two things takes than the second."""

    value: float
    low: float
    high: float
    """The 95 % interval of resampling the rounds."""
    n_rounds: int

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {name: value if name == "n_rounds" else round(value, 4) for name, value in vars(self).items()}


@dataclass(frozen=True, kw_only=True)
class Line:
    """cost = fixed + slope * x, by least squares."""

    fixed: float
    slope: float
    r_squared: float

    def at(self, x: float) -> float:
        """The cost that the line gives."""
        return self.fixed + self.slope * x

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {name: float(f"{value:.5g}") for name, value in vars(self).items()}


def summarize(values: Sequence[float]) -> Summary:
    """Percentiles by linear interpolation.

    Raises:
        InputError: There are no values.
    """
    if not len(values):
        raise InputError("nothing was measured", wanted="one repetition or more")
    p50, p95, p99 = (float(value) for value in np.percentile(values, (50, 95, 99)))
    return Summary(n=len(values), p50=p50, p95=p95, p99=p99 if len(values) >= N_FOR_P99 else None,
                   max=float(max(values)), mean=float(np.mean(values)))


def ratio(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> Ratio:
    """first / second, from the repetitions of each round.

    Args:
        first: Rounds of repetitions.
        second: As many rounds; round k of both ran one after the other.

    Raises:
        InputError: There are no rounds, or not the same number.
    """
    if not len(first) or len(first) != len(second):
        raise InputError("a ratio needs the same rounds of both", found=f"{len(first)} and {len(second)}")
    ratios = np.array([np.median(a) / np.median(b) for a, b in zip(first, second, strict=True)])
    rng = np.random.default_rng(0)
    medians = np.median(ratios[rng.integers(len(ratios), size=(_N_RESAMPLED, len(ratios)))], axis=1)
    low, high = np.percentile(medians, (2.5, 97.5))
    return Ratio(value=float(np.median(ratios)), low=float(low), high=float(high), n_rounds=len(ratios))


def fit_line(x: Sequence[float], y: Sequence[float]) -> Line:
    """The straight line through points.

    Raises:
        InputError: Fewer than two different x.
    """
    if len(x) != len(y) or len(set(x)) < 2:
        raise InputError("a line needs two points", found=f"{len(set(x))} different x for {len(y)} values")
    slope, fixed = np.polyfit(x, y, 1)
    residual = np.asarray(y) - (fixed + slope * np.asarray(x))
    spread = float(np.square(np.asarray(y) - np.mean(y)).sum())
    r_squared = 1.0 if spread == 0 else 1 - float(np.square(residual).sum()) / spread
    return Line(fixed=float(fixed), slope=float(slope), r_squared=r_squared)
