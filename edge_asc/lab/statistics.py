"""The tests of the paper, each with an effect size, because ten runs can make a difference certain that nobody hears.

Friedman's test here has replications, as the paper's has: the runs of one cell of a two-way table. Rank sums are
exact unless figures are equal. Where several are made, Holm's correction keeps the family's error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt
from scipy import stats

from edge_asc.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Friedman:
    """Does a factor matter, whatever the other one is?"""

    statistic: float
    """Chi-squared, with as many degrees of freedom as there are levels less one."""
    p: float
    kendall_w: float
    """Effect size: 0, the levels take turns; 1, every block ranks them alike without overlap."""


@dataclass(frozen=True, kw_only=True)
class RankSum:
    """Does one row tend to higher figures than another?"""

    statistic: float
    """Mann and Whitney's U of the first."""
    p: float
    is_exact: bool
    """Over all orders of the runs; otherwise some are equal, and p is by the normal approximation."""
    cliffs_delta: float
    """Effect size: how much more often a run of the first beats one of the second than the other way; -1 to 1."""


def friedman(values: npt.ArrayLike) -> Friedman:
    """Friedman's test with replications (Mack and Skillings 1980, equal cells), corrected for ties.

    Args:
        values: [n_blocks, n_levels, n_replications]; ranked within each block.

    Raises:
        InputError: Another shape, or fewer than two levels.
    """
    cells = np.asarray(values, np.float64)
    if cells.ndim != 3 or cells.shape[1] < 2 or not cells.size:
        raise InputError("Friedman's test cannot be made", found=f"values of shape {cells.shape}",
                         wanted="blocks x at least two levels x replications")
    n_blocks, n_levels, n_runs = cells.shape
    ranks = np.stack([stats.rankdata(block).reshape(n_levels, n_runs) for block in cells])
    n_values = n_levels * n_runs
    sums = ranks.sum(axis=(0, 2))
    spread = float(np.square(sums - n_blocks * n_runs * (n_values + 1) / 2).sum())
    # Variance of a level's rank sum if ranks are dealt at random within blocks; ties make it smaller.
    variance = sum(block.var(ddof=1) for block in ranks) * n_runs * (n_levels - 1) / n_levels
    statistic = (n_levels - 1) / n_levels * spread / variance if variance else 0.0
    largest = (n_blocks * n_runs ** 2) ** 2 * n_levels * (n_levels ** 2 - 1) / 12
    return Friedman(statistic=statistic, p=float(stats.chi2.sf(statistic, n_levels - 1)), kendall_w=spread / largest)


def rank_sum(first: Sequence[float], second: Sequence[float]) -> RankSum:
    """Two-sided Wilcoxon rank-sum test (Mann and Whitney's U)."""
    is_exact = len({*first, *second}) == len(first) + len(second)
    # SciPy's own choice is not exact from nine runs on.
    found = stats.mannwhitneyu(first, second, alternative="two-sided", method="exact" if is_exact else "asymptotic")
    return RankSum(statistic=float(found.statistic), p=float(found.pvalue), is_exact=is_exact,
                   cliffs_delta=float(2 * found.statistic / (len(first) * len(second)) - 1))


def holm(p: Sequence[float]) -> list[float]:
    """p values corrected for their number (Holm 1979), in the same order."""
    corrected, largest = [0.0] * len(p), 0.0
    for place, number in enumerate(np.argsort(p)):
        largest = max(largest, min(1.0, (len(p) - place) * p[number]))
        corrected[number] = largest
    return corrected


def least_p(n_runs: int) -> float:
    """The smallest p that an exact rank-sum test of so many runs a side can give."""
    return 2 / comb(2 * n_runs, n_runs)
