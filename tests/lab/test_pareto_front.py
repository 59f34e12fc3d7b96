"""Fronts and hypervolumes: by their definitions, and beside the library that knows nothing else."""

from __future__ import annotations

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asc.lab.pareto.front import covered_share, hypervolume, non_dominated


@st.composite
def tables(draw: st.DrawFn, n_columns: tuple[int, ...] = (1, 2, 3, 4)) -> np.ndarray:
    """Costs from 0 to 10, with many equal ones among them."""
    width = draw(st.sampled_from(n_columns))
    values = st.one_of(st.integers(0, 10).map(float), st.floats(0, 10))
    rows = draw(st.lists(st.lists(values, min_size=width, max_size=width), min_size=1, max_size=25))
    return np.array(rows)


def dominates(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a <= b).all() and (a < b).any())


@given(tables())
def test_kept_rows_are_those_that_none_dominates_and_equal_ones_stand_once(costs):
    kept = non_dominated(costs)
    for place, row in enumerate(costs):
        beaten = any(dominates(other, row) for other in costs)
        earlier = any((other == row).all() for other in costs[:place])
        assert kept[place] == (not beaten and not earlier)


@given(tables((2, 3, 4)))
def test_kept_rows_are_those_of_moocore(costs):
    assert np.array_equal(non_dominated(costs), moocore.is_nondominated(costs, keep_weakly=False))


@given(tables((2, 3, 4)))
def test_hypervolume_is_that_of_moocore(costs):
    reference = np.full(costs.shape[1], 9.0)
    assert hypervolume(costs, reference) == pytest.approx(moocore.hypervolume(costs, ref=reference), abs=1e-9)


def test_hypervolume_of_two_squares_and_of_two_boxes():
    assert hypervolume([[1, 3], [2, 2]], [4, 4]) == 3 * 1 + 2 * 2 - 2 * 1
    assert hypervolume([[0, 0, 1], [1, 1, 0]], [2, 2, 2]) == 2 * 2 * 1 + 1 * 1 * 2 - 1
    assert covered_share([[0, 0]], [4, 2]) == 1
    assert covered_share([[2, 1]], [4, 2]) == 0.25


@given(tables(), st.randoms())
def test_order_and_dominated_rows_do_not_matter(costs, random):
    reference = np.full(costs.shape[1], 8.0)
    shuffled = costs[random.sample(range(len(costs)), len(costs))]
    worse = np.concatenate([shuffled, shuffled + 0.5])
    assert hypervolume(worse, reference) == pytest.approx(hypervolume(costs, reference))


@given(tables())
def test_another_row_never_takes_anything_away(costs):
    reference = np.full(costs.shape[1], 8.0)
    assert hypervolume(costs, reference) >= hypervolume(costs[:-1], reference) - 1e-9


def test_nothing_covers_nothing():
    assert hypervolume(np.empty((0, 2)), [1, 1]) == 0
    assert hypervolume([[1, 0]], [1, 1]) == 0, "on the edge of the reference"
    assert not len(non_dominated(np.empty((0, 3))))
