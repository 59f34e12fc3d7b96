"""Striped execution: what the planner says about RAM is what the C has, and stripes never change what is computed."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_export.emit.model import Member, work
from firmware_export.emit.weights import ALL, BITS, GAPS, decode, encode
from firmware_export.export import max_taps, n_values
from firmware_export.network.read import read_network
from firmware_export.output.sizes import model_bytes, plan_bytes, weight_bytes
from firmware_export.planning.lower import lower
from firmware_export.planning.plan import Plan, Purpose, conv_run, finish, sources
from firmware_export.planning.stripes import make_plan
from firmware_export.proof.build import TARGETS, compile_program
from firmware_export.proof.elf import footprint
from tests.conftest import require_program
from tests.firmware.exports import NETWORK, write_networks
from tests.firmware.native import C
from tests.firmware.networks import SHAPES, network_bytes

NETWORKS = {shape: read_network(network_bytes(shape, 0), name=shape) for shape in ("vgg", "inception", "residual")}


def _plan(shape: str, arena_bytes: int) -> Plan:
    network = NETWORKS[shape]
    program = lower(network)
    return make_plan(program, n_values=n_values([network], program), max_taps=max_taps([network]),
                     purpose=Purpose(arena_bytes=arena_bytes, tile=8))


def _check_arena(plan: Plan) -> None:
    """No byte of the arena belongs to two buffers that are busy at the same time."""
    buffers, busy = plan.program.buffers, plan.trace.busy
    scratch_end = 4 * plan.acc_values + 8 * plan.max_taps
    for buffer in buffers:
        assert scratch_end <= buffer.at - buffer.row_pad
        assert buffer.at - buffer.row_pad + buffer.n_bytes + plan.tile <= plan.arena_bytes
    for (a, busy_a), (b, busy_b) in itertools.combinations(zip(buffers, busy, strict=True), 2):
        apart = a.at - a.row_pad + a.n_bytes <= b.at - b.row_pad or b.at - b.row_pad + b.n_bytes <= a.at - a.row_pad
        assert apart or not busy_a & busy_b


@pytest.mark.parametrize("shape", NETWORKS)
def test_steps_come_after_what_they_read(shape: str) -> None:
    program = lower(NETWORKS[shape])
    written: set[int] = set()
    for position, step in enumerate(program.steps):
        assert set(sources(step)) <= written
        written |= {step.output}
        later = {other.output for other in program.steps[position + 1:]}
        assert not set(sources(step)) & later


@settings(max_examples=25)
@given(data=st.data(), shape=st.sampled_from(sorted(NETWORKS)))
def test_any_choice_of_chunks_runs_to_the_end_and_fits_its_arena(data: st.DataObject, shape: str) -> None:
    program = lower(NETWORKS[shape])
    for step in program.steps:
        step.chunk = data.draw(st.integers(1, 30))
    plan = finish(program, max_taps=10, tile=8)
    _check_arena(plan)
    assert plan.trace.n_pieces[-1] >= 1
    for step in program.steps:
        if step.kind == "conv":
            assert conv_run(step, program, min(step.chunk, step.n_columns)) <= plan.acc_values


def test_ram_grows_with_the_limit_and_stays_below_it() -> None:
    plans = [_plan("inception", arena_bytes) for arena_bytes in (1, 1300, 1600, 20_000)]
    for plan, limit in zip(plans[1:], (1300, 1600, 20_000), strict=True):
        assert plan.arena_bytes <= limit
        _check_arena(plan)
    assert plans[0].arena_bytes < plans[1].arena_bytes < plans[2].arena_bytes < plans[3].arena_bytes
    n_pieces = [sum(plan.trace.n_pieces) for plan in plans]
    assert n_pieces == sorted(n_pieces, reverse=True)


def test_striping_needs_a_fraction_of_whole_maps() -> None:
    whole = lower(NETWORKS["vgg"])
    for step in whole.steps:
        step.chunk = step.n_columns
    assert 3 * _plan("vgg", 1).arena_bytes < finish(whole, max_taps=max_taps([NETWORKS["vgg"]]), tile=8).arena_bytes


def test_branches_that_look_further_ahead_come_later() -> None:
    """Until they meet, the 5 x 5 branch of an inception block has to run before the others fill the common buffer."""
    steps = lower(NETWORKS["inception"]).steps
    deepest = next(i for i, step in enumerate(steps) if step.kind == "conv" and step.left == 2)
    beside = [i for i, step in enumerate(steps) if step.kind == "max" and step.left == 1 and step.stride == 1]
    assert beside
    assert max(beside) < deepest



@pytest.mark.tool
def test_the_planners_figures_are_the_linkers(tmp_path: Path) -> None:
    target = TARGETS["m4f"]
    require_program(target.compiler)
    members = write_networks(tmp_path, [network_bytes(shape, seed) for shape in SHAPES for seed in (0, 1)],
                             arena_bytes=5000)
    (tmp_path / "main.c").write_text('#include "asc_model.h"\n#include "io.h"\nstatic AscModel the_model;\n'
                                     "int verify_main(void) { return asc_model_begin(&the_model, 0)\n"
                                     "    + asc_model_step(&the_model, 0, 0) + asc_model_output(&the_model, 0); }\n")
    from firmware_export.proof.build import PORTS

    compile_program(target, [*(C / name for name in NETWORK), tmp_path / "asc_model_data.c", tmp_path / "main.c",
                             PORTS / "verify" / "io_semihosting.c"], tmp_path / "program",
                    include=[C, tmp_path, PORTS / "verify"])
    symbols = footprint(tmp_path / "program").symbols
    assert symbols["the_model"] == model_bytes(members)
    tables = sum(size for name, size in symbols.items() if name.startswith(("asc_plan", "asc_m0", "asc_m1", "asc_m2",
                 "asc_m3", "asc_m4", "asc_m5", "asc_m6", "asc_m7", "asc_m8", "asc_m9", "asc_model_data")))
    assert tables == plan_bytes(members) + sum(sum(weight_bytes(member).values()) for member in members)


def test_work_does_not_depend_on_stripes() -> None:
    plans = [_plan("inception", arena_bytes) for arena_bytes in (1, 20_000)]
    assert len({work(Member(NETWORKS["inception"], plan, 0)) for plan in plans}) == 1


weights = st.builds(
    lambda seed, outputs, positions, density: np.where(
        np.random.default_rng(seed).random((outputs, positions)) < density,
        np.random.default_rng(seed + 1).integers(-127, 128, (outputs, positions)), 0).astype(np.int8),
    st.integers(0, 1000), st.integers(1, 6), st.integers(1, 90), st.floats(0, 1))


@given(weights=weights, encoding=st.sampled_from([GAPS, BITS, ALL, None]))
def test_encoded_weights_come_back(weights: np.ndarray, encoding: str | None) -> None:
    sparse = encode(weights, encoding=encoding)
    assert np.array_equal(decode(sparse, weights.shape[1]), weights)
    if encoding is None:
        assert sparse.n_bytes == min(encode(weights, encoding=e).n_bytes for e in (GAPS, BITS, ALL))


def test_a_pruned_layer_costs_little_more_than_its_values() -> None:
    rng = np.random.default_rng(0)
    layer = np.where(rng.random((24, 216)) < 0.2, rng.integers(1, 128, (24, 216)), 0).astype(np.int8)
    assert encode(layer).n_bytes < 1.6 * np.count_nonzero(layer)
    assert encode(np.ones((4, 9), np.int8)).encoding == ALL
