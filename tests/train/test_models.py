"""The networks have exactly the parameters that the paper publishes, and building them is repeatable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asc.errors import RecipeError
from edge_asc.train.models import build, count_nonzero, count_parameters, kernels, parse_architecture

pytestmark = pytest.mark.train

PUBLISHED = {"V(2,2,3,3)": 80839, "V(0,0,1,1)": 54415, "V(4,4,5,5)": 106327,
             "I(2,1,2)": 167571, "I(1,0,1)": 68099, "I(3,2,3)": 267043}


@pytest.mark.parametrize(("architecture", "n_parameters"), PUBLISHED.items())
def test_parameters_are_as_published(architecture, n_parameters):
    assert count_parameters(build(architecture)) == n_parameters


def conv(size: int, n_in: int, n_out: int) -> int:
    return (size * size * n_in + 1) * n_out


def expected_v(depths: list[int], filters: list[int], head: int, units: int) -> int:
    """The parameters of V by the paper's description: four values of BatchNorm for each filter or unit."""
    total, n_in = 0, 1
    for depth, n_filters in zip(depths, filters, strict=True):
        for _ in range(depth):
            total, n_in = total + conv(3, n_in, n_filters) + 4 * n_filters, n_filters
    return total + conv(1, n_in, head) + 4 * head + (3 * 29 * head + 1) * units + 4 * units + 3 * (units + 1)


def expected_i(depths: list[int], few: int, many: int, units: int) -> int:
    """The same for I: 2 x 8 positions are left of 48 x 467, and Inception(k) has 3k outputs."""
    total, n_in = conv(7, 1, few) + 4 * few + conv(1, few, few) + conv(3, few, few) + 4 * few, few
    for n_filters in [few] * depths[0] + [many] * (depths[1] + depths[2]):
        total += 3 * conv(1, n_in, n_filters) + conv(3, n_filters, n_filters) + conv(5, n_filters, n_filters)
        n_in = 3 * n_filters
    return total + (8 * n_in + 1) * units + 3 * (units + 1)


@pytest.mark.parametrize(("architecture", "n_parameters"), [
    ("V(2,2,3,3)", expected_v([2, 2, 3, 3], [12, 16, 20, 24], 28, 20)),
    ("V(2,2,3,3)x0.5", expected_v([2, 2, 3, 3], [6, 8, 10, 12], 14, 10)),
    ("V(0,0,1,1)x0.25", expected_v([0, 0, 1, 1], [3, 4, 5, 6], 7, 5)),
    ("V(1,1,1,1)x1.5", expected_v([1, 1, 1, 1], [18, 24, 30, 36], 42, 30)),
    ("V(1,0,0,1)x0.125", expected_v([1, 0, 0, 1], [2, 2, 3, 3], 4, 3)),
    ("I(2,1,2)", expected_i([2, 1, 2], 16, 32, 20)),
    ("I(2,1,2)x0.5", expected_i([2, 1, 2], 8, 16, 10)),
    ("I(1,0,1)x2", expected_i([1, 0, 1], 32, 64, 40)),
    ("I(1,0,1)x0.05", expected_i([1, 0, 1], 1, 2, 1))])
def test_a_width_multiplies_every_filter_and_hidden_unit(architecture, n_parameters):
    assert count_parameters(build(architecture)) == n_parameters


def test_weight_decay_is_on_every_kernel_but_the_last_of_the_inception_family():
    v, i = build("V(0,0,1,0)"), build("I(0,0,1)")
    assert all(layer.kernel_regularizer is not None for layer in v.layers if layer.name in kernels(v))
    without = [layer.name for layer in i.layers if layer.name in kernels(i) and layer.kernel_regularizer is None]
    assert without == [list(kernels(i))[-1]]


def test_same_seed_same_weights_and_another_seed_others():
    first, again, other = (build("I(0,0,1)", seed=seed).get_weights() for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    kernels_differ = [not np.array_equal(a, b) for a, b in zip(first, other, strict=True) if a.ndim > 1]
    assert all(kernels_differ)


def test_no_two_kernels_start_alike():
    values = [kernel.numpy().ravel()[:8] for kernel in kernels(build("V(3,0,0,0)")).values()]
    assert len({value.tobytes() for value in values}) == len(values)


def test_a_fresh_network_counts_fewer_non_zero_than_parameters():
    model = build("V(0,0,1,1)")
    assert 0 < count_nonzero(model) < count_parameters(model)


@pytest.mark.parametrize("text", ["", "V", "V(1,2,3)", "I(1,2,3,4)", "R(1,2,3)", "V(1,2,3,-4)", "V(1,2,3,x)",
                                  "V(1,,2,3)", "V(2,2,3,3)x", "V(2,2,3,3)x0", "V(2,2,3,3)x0.04", "V(2,2,3,3)x9",
                                  "V(2,2,3,3)x.5", "V(2,2,3,3)x1e1", "V(2,2,3,3)x0.1234"])
def test_what_is_no_architecture_is_an_error(text):
    with pytest.raises(RecipeError, match="unknown architecture"):
        parse_architecture(text)


def test_blanks_and_case_do_not_matter():
    assert str(parse_architecture(" v( 2,2, 3,3 ) ")) == "V(2,2,3,3)"
    assert str(parse_architecture("i(2,1,2) X 0.50")) == "I(2,1,2)x0.5"


@given(st.integers(50, 8000).map(lambda n: n / 1000))
def test_a_width_is_written_as_it_is_read(width):
    architecture = parse_architecture(f"V(1,2,3,4)x{width:.3f}")
    assert architecture.width == width
    assert parse_architecture(str(architecture)) == architecture


@pytest.mark.parametrize("shape", [(15, 467, 1), (48, 15, 1)])
def test_an_input_that_pools_to_nothing_is_an_error(shape):
    with pytest.raises(RecipeError, match="nothing is left"):
        build("V(0,0,0,0)", input_shape=shape)


@settings(max_examples=4)
@given(st.one_of(st.tuples(st.just("V"), st.lists(st.integers(0, 2), min_size=4, max_size=4)),
                 st.tuples(st.just("I"), st.lists(st.integers(0, 2), min_size=3, max_size=3))))
def test_any_depths_build_and_give_probabilities(drawn):
    family, depths = drawn
    model = build(f"{family}({','.join(map(str, depths))})", input_shape=(16, 33, 1))
    probabilities = model(np.full((2, 16, 33, 1), -40, np.float32)).numpy()
    assert probabilities.shape == (2, 3)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
