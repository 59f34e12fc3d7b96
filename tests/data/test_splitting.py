"""Held-out recordings: whole, stratified, near the fraction asked for, the same for the same seed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asc.data.splitting import held_out_recordings
from edge_asc.errors import InputError

_RECORDINGS = st.dictionaries(st.text("abc", min_size=1, max_size=6),
                              st.tuples(st.sampled_from(["indoor", "outdoor"]), st.integers(1, 30).map(float)))


@given(_RECORDINGS, st.floats(0, 0.99), st.integers(0, 1000))
def test_every_label_keeps_and_gives(sizes: dict[str, tuple[str, float]], fraction: float, seed: int) -> None:
    held = held_out_recordings(sizes, fraction=fraction, seed=seed)
    assert held <= set(sizes)
    for label in {label for label, _ in sizes.values()}:
        own = {name: size for name, (of, size) in sizes.items() if of == label}
        n_held = len(held & set(own))
        assert n_held < len(own)
        assert (n_held > 0) == (fraction > 0 and len(own) > 1)
        # Off by no more than the largest recording.
        if n_held:
            total = sum(own[name] for name in held & set(own))
            assert abs(total - fraction * sum(own.values())) <= max(own.values())


@given(_RECORDINGS, st.integers(0, 1000))
def test_the_order_of_the_list_does_not_matter(sizes: dict[str, tuple[str, float]], seed: int) -> None:
    backwards = dict(reversed(sizes.items()))
    held = held_out_recordings(sizes, fraction=0.3, seed=seed)
    assert held_out_recordings(backwards, fraction=0.3, seed=seed) == held


def test_equal_recordings_give_the_fraction_and_seeds_differ() -> None:
    sizes = {f"r{i}": ("indoor", 6.0) for i in range(100)}
    draws = [held_out_recordings(sizes, fraction=0.3, seed=seed) for seed in range(5)]
    assert {len(held) for held in draws} == {30}
    assert len({frozenset(held) for held in draws}) == 5


@pytest.mark.parametrize("fraction", [-0.1, 1.0])
def test_impossible_fraction(fraction: float) -> None:
    with pytest.raises(InputError, match="share to hold out"):
        held_out_recordings({}, fraction=fraction, seed=0)
