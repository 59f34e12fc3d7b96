"""What only libraries for a host have: factors in floating point that equal the integer rule, or are not used."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from firmware_export.emit.host_tables import float_rescaling, ready_taps
from firmware_export.export import planned
from firmware_export.network.layers import Conv
from firmware_export.network.quantise import rescale
from firmware_export.network.read import read_network
from firmware_export.planning.plan import HOST
from tests.firmware.networks import network_bytes


@given(st.integers(1 << 30, (1 << 31) - 1), st.integers(-16, 0), st.integers(0, 255), st.booleans(),
       st.integers(1, (1 << 23) - 1), st.integers(0, 2**32 - 1))
def test_a_factor_that_is_given_equals_the_integer_rule(multiplier: int, shift: int, zero: int, relu: bool, bound: int,
                                                        seed: int) -> None:
    low = zero if relu else 0
    factor, summand = float_rescaling(multiplier, shift, zero=zero, low=low, high=255, bound=bound)
    if factor == 0:
        return
    accumulators = np.random.default_rng(seed).integers(-bound, bound, 300, endpoint=True)
    # As the processor does it: exact until the one rounding to float32.
    found = np.rint((accumulators * float(factor) + float(summand)).astype(np.float32)) + 128
    wanted = [min(255, max(low, rescale(int(x), multiplier, shift) + zero)) for x in accumulators]
    assert np.clip(found, low, 255).astype(int).tolist() == wanted


def test_most_channels_of_a_usual_size_have_one() -> None:
    rng = np.random.default_rng(0)
    found = [float_rescaling(int(rng.integers(1 << 30, 1 << 31)), -8, zero=0, low=0, high=255, bound=400_000)[0]
             for _ in range(100)]
    assert np.count_nonzero(found) > 80


def test_ready_taps_are_the_weights_in_groups_of_four() -> None:
    member = planned([read_network(network_bytes("vgg", 0, density=0.3), name="n")], HOST)[0]
    for step in member.plan.program.steps:
        if step.kind != "conv":
            continue
        layer = member.network.layers[step.layers[0]]
        assert isinstance(layer, Conv)
        taps = ready_taps(layer, step, member.plan.program.buffers[step.inputs[0]])
        assert not (taps.counts % 4).any()
        assert taps.counts.sum() == taps.values.size == taps.distances.size
        assert np.count_nonzero(taps.values) == np.count_nonzero(layer.weights)
        assert taps.values.astype(int).sum() == layer.weights.astype(int).sum()
