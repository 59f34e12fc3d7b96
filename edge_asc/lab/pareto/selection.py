"""Greedy ensemble selection without replacement: which members to vote together, judged on windows kept for that.

After Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of models", ICML 2004. There one
ensemble grows; here, where complexity counts too, all ensembles of a size that no other of that size beats in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_asc.lab.pareto.front import non_dominated
from edge_asc.train.metrics import Scores, score

Ensemble = tuple[int, ...]
"""Places of members in a pool, ascending."""
N_KEPT = 24
"""Ensembles of one size that are extended; of more, these are taken evenly from the accurate to the cheap."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Truth and every member's answers on the selection split, and nothing of any other split."""

    probabilities: npt.NDArray[np.floating]
    """[n_members, n_windows, n_labels]."""
    truth: npt.NDArray[np.integer]
    """[n_windows]."""
    labels: tuple[str, ...]

    def score(self, ensemble: Ensemble) -> Scores:
        """The figures of the plain mean of these members."""
        return score(self.probabilities[list(ensemble)].mean(axis=0), self.truth, labels=self.labels)


def select(judge: Judge, *, costs: npt.ArrayLike, is_largest: Sequence[bool] = (), n_max: int,
           limits: Sequence[float] = ()) -> dict[Ensemble, Scores]:
    """Grows ensembles member by member.

    Args:
        judge: Says which ensemble is better: more macro accuracy or, among equals, less log-loss.
        costs: [n_members, n_rulers] of each member alone; with no ruler at all this is plain greedy selection.
        is_largest: For each ruler whether an ensemble costs as much as its costliest member, and not the sum.
        n_max: Members at most.
        limits: For each ruler what an ensemble may cost at most; dearer ones are not extended, nor returned.

    Returns:
        Every ensemble that was worth extending, of every size, with its figures on the judge's windows.
    """
    table = np.asarray(costs, np.float64)
    largest = np.array(list(is_largest) or [False] * table.shape[1], np.bool_)
    ceiling = np.array(list(limits) or [np.inf] * table.shape[1])
    found: dict[Ensemble, Scores] = {}
    grown: Iterable[Ensemble] = [(place,) for place in range(len(table))]
    for _ in range(n_max):
        prices = {each: _price(table[list(each)], largest) for each in grown}
        scores = {each: judge.score(each) for each, price in prices.items() if (price <= ceiling).all()}
        kept = _kept(scores, prices)
        found |= {each: scores[each] for each in kept}
        grown = {tuple(sorted({*each, place})) for each in kept for place in range(len(table)) if place not in each}
        grown = sorted(grown)
    return found


def ranks(scores: Iterable[Scores]) -> npt.NDArray[np.int64]:
    """0 for the best, equal for equals: more macro accuracy first, then less log-loss."""
    keys = [(-each.macro_accuracy, each.log_loss) for each in scores]
    order = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    return np.array([order[key] for key in keys], np.int64)


def _price(costs: npt.NDArray[np.float64], largest: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    return np.where(largest, costs.max(axis=0), costs.sum(axis=0))


def _kept(scores: Mapping[Ensemble, Scores], prices: Mapping[Ensemble, npt.NDArray[np.float64]]) -> list[Ensemble]:
    ensembles = list(scores)
    if not ensembles:
        return []
    rank = ranks(scores.values())
    worth = non_dominated(np.column_stack([rank, *np.array([prices[each] for each in ensembles]).T]))
    best_first = sorted(np.flatnonzero(worth), key=lambda place: rank[place])
    evenly = np.unique(np.linspace(0, len(best_first) - 1, min(len(best_first), N_KEPT)).round().astype(int))
    return [ensembles[best_first[place]] for place in evenly]
