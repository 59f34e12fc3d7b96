"""Greedy ensemble selection: what is kept, in which order, and that it is greedy selection when nothing costs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asc.lab.pareto import selection
from edge_asc.lab.pareto.selection import Judge, ranks, select

LABELS = ("indoor", "outdoor", "transportation")


@st.composite
def judges(draw: st.DrawFn, n_members: int = 6) -> Judge:
    """Members of all degrees of skill on windows of three labels."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_windows = draw(st.integers(3, 40))
    truth = np.concatenate([[0, 1, 2], rng.integers(0, 3, n_windows - 3)])
    skill = rng.uniform(0, 3, n_members)[:, None, None]
    logits = rng.normal(size=(n_members, n_windows, 3)) + skill * np.eye(3)[truth]
    odds = np.exp(logits)
    return Judge(probabilities=odds / odds.sum(axis=2, keepdims=True), truth=truth, labels=LABELS)


def better(judge: Judge, ensembles: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The best by macro accuracy, then log-loss, then order."""
    return min(ensembles, key=lambda each: (-judge.score(each).macro_accuracy, judge.score(each).log_loss, each))


@given(judges())
def test_without_rulers_it_is_greedy_selection(judge):
    found = select(judge, costs=np.empty((6, 0)), n_max=4)
    expected: list[tuple[int, ...]] = []
    last: tuple[int, ...] = ()
    for _ in range(4):
        last = better(judge, [tuple(sorted({*last, place})) for place in range(6) if place not in last])
        expected.append(last)
    assert list(found) == expected


@given(judges(), st.lists(st.integers(1, 9), min_size=6, max_size=6))
def test_of_each_size_the_most_accurate_and_the_cheapest_single_member_are_kept(judge, costs):
    found = select(judge, costs=np.array(costs)[:, None], n_max=1)
    singles = [(place,) for place in range(6)]
    assert any(judge.score(each) == judge.score(better(judge, singles)) for each in found)
    assert min(costs[each[0]] for each in found) == min(costs)


@given(judges(), st.lists(st.integers(0, 4), min_size=6, max_size=6))
def test_what_is_kept_of_one_size_is_beaten_by_nothing_kept(judge, costs):
    found = select(judge, costs=np.array(costs)[:, None], n_max=3)
    rank = dict(zip(found, ranks(found.values()), strict=True))
    for one, other in combinations(found, 2):
        if len(one) == len(other):
            dearer = sum(costs[place] for place in one) - sum(costs[place] for place in other)
            assert (dearer > 0) == (rank[one] < rank[other]), (one, other)


@given(judges(), st.integers(0, 12))
def test_no_limit_is_passed(judge, limit):
    costs = np.array([[1, 5], [2, 4], [3, 3], [4, 2], [5, 1], [6, 9]])
    found = select(judge, costs=costs, is_largest=[False, True], limits=[limit, 4], n_max=4)
    for each in found:
        assert costs[list(each), 0].sum() <= limit
        assert costs[list(each), 1].max() <= 4
    assert (limit >= 2) == bool(found)


@given(judges())
def test_members_are_taken_once_and_ensembles_stand_once(judge):
    found = select(judge, costs=np.arange(6.0)[:, None], n_max=9)
    assert all(len(set(each)) == len(each) and tuple(sorted(each)) == each for each in found)
    assert max(map(len, found)) == 6, "no more than there are"


def test_two_members_that_err_apart_are_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(selection, "N_KEPT", 2)
    truth = np.array([0, 1, 2, 0, 1, 2])
    right = np.full((6, 3), 0.1) + 0.7 * np.eye(3)[truth]
    wrong = np.full((6, 3), 0.25) + 0.25 * np.eye(3)[(truth + 1) % 3]
    first, second, third = right.copy(), right.copy(), right.copy()
    first[:2], second[2:4], third[:3] = wrong[:2], wrong[2:4], wrong[:3]
    judge = Judge(probabilities=np.stack([first, second, third]), truth=truth, labels=LABELS)
    found = select(judge, costs=np.ones((3, 1)), n_max=2)
    assert found[(0, 1)].macro_accuracy == 1
    assert max(found.values(), key=lambda each: each.macro_accuracy) == found[(0, 1)]
