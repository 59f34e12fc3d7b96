"""Which points are worth having, and how much of the plane they cover: every column is a cost, less is better.

The hypervolume is exact and by slices of the last column (While et al., IEEE Transactions on Evolutionary Computation
10(1), 2006); fronts have few points, so nothing faster is needed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def non_dominated(costs: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which rows no other row dominates: none is at most as costly in every column and cheaper in one.

    Args:
        costs: [n, n_columns].

    Returns:
        [n]; of equal rows the first alone.
    """
    rows = np.asarray(costs, np.float64)
    found = np.zeros(len(rows), np.bool_)
    # In lexicographic order nobody is dominated by a later row.
    for place in np.lexsort(rows.T[::-1]):
        found[place] = not (rows[found] <= rows[place]).all(axis=1).any()
    return found


def hypervolume(costs: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """The volume that the rows dominate, up to a reference point that nobody wants to reach.

    Args:
        costs: [n, n_columns]; rows that are not below the reference in every column add nothing.
        reference: [n_columns], finite.
    """
    rows, limit = np.asarray(costs, np.float64), np.asarray(reference, np.float64)
    rows = rows[(rows < limit).all(axis=1)]
    if not len(rows):
        return 0.0
    if rows.shape[1] == 1:
        return float(limit[0] - rows.min())
    rows = rows[non_dominated(rows)]
    rows = rows[np.argsort(rows[:, -1], kind="stable")]
    depths = np.diff(np.append(rows[:, -1], limit[-1]))
    return float(sum(depth * hypervolume(rows[:place + 1, :-1], limit[:-1])
                     for place, depth in enumerate(depths) if depth > 0))


def covered_share(costs: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """`hypervolume` as a share of the box between zero cost and the reference: 1 is everything at no cost."""
    return hypervolume(costs, reference) / float(np.prod(np.asarray(reference, np.float64)))
