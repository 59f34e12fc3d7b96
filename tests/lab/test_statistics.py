"""The tests against SciPy's, and against tables worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from edge_asc.errors import InputError
from edge_asc.lab.statistics import friedman, holm, least_p, rank_sum


@given(arrays.arrays(np.float64, st.tuples(st.integers(2, 8), st.integers(3, 5)), elements=st.integers(0, 5)))
def test_friedman_without_replications_is_scipys_also_with_ties(values: np.ndarray) -> None:
    if all(len(set(row)) == 1 for row in values):
        assert friedman(values[..., None]).p == 1
        return
    theirs = stats.friedmanchisquare(*values.T)
    ours = friedman(values[..., None])
    assert ours.statistic == pytest.approx(theirs.statistic, abs=1e-9)
    assert ours.p == pytest.approx(theirs.pvalue, abs=1e-9)
    assert 0 <= ours.kendall_w <= 1 + 1e-9


@given(arrays.arrays(np.float64, st.tuples(st.just(1), st.integers(2, 4), st.integers(2, 6)),
                     elements=st.integers(0, 9)))
def test_friedman_in_one_block_is_kruskals_test(values: np.ndarray) -> None:
    if len(set(values.flat)) > 1:
        theirs = stats.kruskal(*values[0])
        assert friedman(values).statistic == pytest.approx(theirs.statistic, abs=1e-9)
        assert friedman(values).p == pytest.approx(theirs.pvalue, abs=1e-9)


def test_friedman_with_replications_by_hand() -> None:
    # Ranks 1 2 | 3 4 in both blocks: rank sums 6 and 14 of 20, variance of a sum 2 * 2 * 2 * 5 / 12.
    found = friedman([[[1, 2], [3, 4]], [[10, 20], [30, 40]]])
    assert found.statistic == pytest.approx(((6 - 10) ** 2 + (14 - 10) ** 2) / 2 / (2 * 2 * 2 * 5 / 12))
    assert found.kendall_w == 1
    assert friedman([[[1, 4], [2, 3]], [[2, 3], [1, 4]]]).kendall_w == 0


def test_friedman_refuses_what_is_no_table() -> None:
    with pytest.raises(InputError, match="at least two levels"):
        friedman([[[1.0], ]])


def test_rank_sum_is_exact_for_few_runs() -> None:
    found = rank_sum([0.88, 0.89, 0.90], [0.91, 0.92, 0.93])
    assert (found.statistic, found.p, found.cliffs_delta) == (0, pytest.approx(0.1), -1)
    assert found.p == pytest.approx(least_p(3))
    assert least_p(10) == pytest.approx(2 / 184756)


def test_rank_sum_of_ten_runs_is_exact_unless_some_are_equal() -> None:
    assert rank_sum(range(10), range(10, 20)).p == pytest.approx(least_p(10))
    # Two orders of 184756 have a U of at most 1, and as many the largest ones.
    found = rank_sum([*range(9), 10], [9, *range(11, 20)])
    assert (found.statistic, found.is_exact, found.p) == (1, True, pytest.approx(4 / 184756))
    tied = rank_sum(range(10), range(9, 19))
    assert not tied.is_exact
    assert tied.p == stats.mannwhitneyu(range(10), range(9, 19), method="asymptotic").pvalue


@given(st.lists(st.integers(0, 50), min_size=2, max_size=12), st.lists(st.integers(0, 50), min_size=2, max_size=12))
def test_cliffs_delta_counts_who_beats_whom(first: list[int], second: list[int]) -> None:
    wins = sum((a > b) - (a < b) for a in first for b in second)
    assert rank_sum(first, second).cliffs_delta == pytest.approx(wins / (len(first) * len(second)))
    assert rank_sum(first, second).p == pytest.approx(rank_sum(second, first).p)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
