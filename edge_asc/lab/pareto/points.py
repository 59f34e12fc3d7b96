"""Points of accuracy against complexity: ensembles grown on the selection split, reported on the validation split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_asc.audit import Budget
from edge_asc.errors import InputError, OverBudgetError
from edge_asc.lab.pareto.front import covered_share, non_dominated
from edge_asc.lab.pareto.pool import VALIDATION, Pool
from edge_asc.lab.pareto.rulers import Ruler
from edge_asc.lab.pareto.selection import Ensemble, select
from edge_asc.train.metrics import Interval, Scores, bootstrap_interval

MAX_MEMBERS = 8


@dataclass(frozen=True, kw_only=True)
class Point:
    """An ensemble in one variant."""

    variant: str
    members: Ensemble
    """Places in the pool."""
    selection: Scores
    """What it was chosen by."""
    validation: Scores
    """What is reported: nothing was trained or chosen on this split."""
    costs: Mapping[str, int]
    """By ruler."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An ensemble that was worth growing, before it is measured as a whole."""

    variant: str
    members: Ensemble
    selection: Scores
    estimates: tuple[float, ...]
    """By ruler, from what its members cost alone."""


def grow(pool: Pool, rulers: Sequence[Ruler], *, n_max: int = MAX_MEMBERS,
         budgets: Sequence[Budget] = ()) -> list[Candidate]:
    """Ensembles of all sizes and variants that no other of their size and variant beats.

    Args:
        n_max: Members at most.
        budgets: Limits by the rulers' names; they are kept where members' costs tell an ensemble's exactly.

    Raises:
        InputError: No variant of the pool can be measured by all rulers.
    """
    variants = [variant for variant in pool.variants if all(ruler.supports(variant) for ruler in rulers)]
    if not variants:
        raise InputError(f"none of the variants can be measured by {' and '.join(ruler.name for ruler in rulers)}",
                         found=", ".join(pool.variants), wanted="an int8 variant",
                         fix="Make the pool with --variant int8-sparse, or take another ruler.")
    found = []
    for variant in variants:
        parts = pool.parts(variant)
        costs = np.array([ruler.members(parts) for ruler in rulers], np.float64).reshape(len(rulers), len(parts)).T
        largest = [ruler.is_largest for ruler in rulers]
        limits = [min([budget.limit for budget in budgets if budget.counts == ruler.name and ruler.is_exact],
                      default=np.inf) for ruler in rulers]
        chosen = select(pool.judge(variant), costs=costs, is_largest=largest, limits=limits, n_max=n_max)
        for members, scores in chosen.items():
            own = costs[list(members)]
            found.append(Candidate(variant=variant, members=members, selection=scores, estimates=tuple(
                float(column.max() if is_largest else column.sum())
                for column, is_largest in zip(own.T, largest, strict=True))))
    return found


def measure(pool: Pool, candidate: Candidate, rulers: Sequence[Ruler]) -> Point:
    """The candidate with its exact costs and its figures on the validation split.

    Raises:
        OverBudgetError: A ruler is for a board that it does not fit.
    """
    all_parts = pool.parts(candidate.variant)
    parts = [all_parts[place] for place in candidate.members]
    return Point(variant=candidate.variant, members=candidate.members, selection=candidate.selection,
                 validation=pool.judge(candidate.variant, VALIDATION).score(candidate.members),
                 costs={ruler.name: ruler.ensemble(parts) for ruler in rulers})


def points(pool: Pool, rulers: Sequence[Ruler], *, n_max: int = MAX_MEMBERS) -> list[Point]:
    """Of every variant the ensembles that by estimate none of that variant beats, measured."""
    candidates = grow(pool, rulers, n_max=n_max)
    found = []
    for variant in dict.fromkeys(each.variant for each in candidates):
        own = [each for each in candidates if each.variant == variant]
        for place in worth_having([each.selection for each in own], [each.estimates for each in own]):
            try:
                found.append(measure(pool, own[place], rulers))
            except OverBudgetError:
                continue  # it does not fit the board: no point of this plane
    return found


def worth_having(scores: Sequence[Scores], costs: Sequence[Sequence[float]]) -> list[int]:
    """Places of those that nobody beats in macro accuracy and in every cost; of equal ones that of least log-loss."""
    if not scores:
        return []
    order = sorted(range(len(scores)), key=lambda place: scores[place].log_loss)
    table = [[-scores[place].macro_accuracy, *costs[place]] for place in order]
    return sorted(np.array(order)[non_dominated(table)].tolist())


def default_reference(found: Sequence[Point]) -> dict[str, int]:
    """For each ruler the power of two above the costliest point, so that similar fronts are held to the same."""
    return {name: 1 << max(point.costs[name] for point in found).bit_length() for name in found[0].costs}


def hypervolume_share(front: Sequence[Point], reference: Mapping[str, int]) -> float:
    """One figure for a front: the share of the box between no error at no cost, and guessing at the reference.

    Errors are those of the macro accuracy on the validation split.
    """
    n_labels = len(front[0].validation.labels)
    errors = [1 - point.validation.macro_accuracy for point in front]
    return covered_share([[error, *point.costs.values()] for error, point in zip(errors, front, strict=True)],
                         [1 - 1 / n_labels, *(reference[name] for name in front[0].costs)])


def interval(pool: Pool, point: Point) -> Interval:
    """How far the macro accuracy on the validation split could move with other recordings."""
    judge = pool.judge(point.variant, VALIDATION)
    return bootstrap_interval(judge.probabilities[list(point.members)].mean(axis=0), judge.truth,
                              pool.splits["validation/recordings"])


def describe(pool: Pool, members: Iterable[int]) -> str:
    """The members in words: `2 x V(2,2,3,3) 80% + I(2,1,2) 80%`."""
    names = [str(pool.entries[place]) for place in members]
    return " + ".join(f"{names.count(name)} x {name}" if names.count(name) > 1 else name
                      for name in dict.fromkeys(names))


def to_json(pool: Pool, point: Point) -> dict[str, Any]:
    """A plain mapping."""
    return {"variant": point.variant, "members": [pool.entries[place].name for place in point.members],
            "description": describe(pool, point.members), "selection": point.selection.to_json(),
            "validation": point.validation.to_json(), "costs": dict(point.costs)}
