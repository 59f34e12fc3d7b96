"""Reading members: what the C can run comes through, all else is an error that names it; damage gets no further."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asc.errors import EdgeAscError, ModelFileError
from edge_asc.tflite_file import Model, Operator, Quantization, compact
from firmware_export.emit.model import config_header, data_source
from firmware_export.export import planned
from firmware_export.network.layers import Conv, Network
from firmware_export.network.quantise import quantise_multiplier, rescale
from firmware_export.network.read import read_network, translate
from firmware_export.planning.plan import Purpose
from tests.firmware.networks import LABELS, SHAPES, Builder, network_bytes


def _read(model: Model | bytes) -> Network:
    return read_network(model, name="v3") if isinstance(model, bytes) else translate(model, name="v3")


def _small() -> tuple[Builder, Model]:
    builder = Builder(0)
    return builder, builder.model(builder.dense(builder.flat(builder.pool(builder.conv(builder.input, 3))), LABELS))


def _with_tensor(model: Model, index: int, **changes: Any) -> Model:
    tensors = list(model.tensors)
    tensors[index] = dataclasses.replace(tensors[index], **changes)
    return dataclasses.replace(model, tensors=tuple(tensors))


def _with_operator(model: Model, position: int, **changes: Any) -> Model:
    operators = list(model.operators)
    operators[position] = dataclasses.replace(operators[position], **changes)
    return dataclasses.replace(model, operators=tuple(operators))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_supported_operator_is_read_and_shapes_follow(shape: str) -> None:
    network = _read(network_bytes(shape, 0))
    assert network.activations[network.output].shape == (LABELS, 1, 1)
    assert {layer.output for layer in network.layers} | {network.input} == set(network.activations)


def test_a_sparse_file_gives_the_same_network_as_a_dense_one() -> None:
    data = network_bytes("vgg", 0)
    dense, sparse = _read(data), _read(compact(data))
    assert dense.structure() == sparse.structure()
    for a, b in zip(dense.layers, sparse.layers, strict=True):
        if isinstance(a, Conv) and isinstance(b, Conv):
            assert np.array_equal(a.weights, b.weights)
            assert np.array_equal(a.bias, b.bias)


def test_networks_that_differ_in_weights_only_have_one_structure() -> None:
    assert _read(network_bytes("vgg", 0)).structure() == _read(network_bytes("vgg", 1)).structure()
    assert _read(network_bytes("vgg", 0)).structure() != _read(network_bytes("padded", 0)).structure()


def test_an_unknown_operator_is_named_with_its_tensor_and_member() -> None:
    builder, model = _small()
    logistic = builder.add("LOGISTIC", (model.outputs[0],), (1, LABELS), 1 / 256, -128)
    with pytest.raises(ModelFileError, match=rf"member v3, operator LOGISTIC, tensor {logistic} \('t{logistic}'\)"):
        _read(builder.model(logistic))


FLOAT = {"dtype": np.dtype(np.float32), "stored_dtype": np.dtype(np.float32)}
CONV, POOL, FLAT, DENSE = range(4)


@pytest.mark.parametrize(("change", "words"), [
    (lambda m: _with_tensor(m, m.inputs[0], **FLOAT), "not an int8 activation"),
    (lambda m: _with_tensor(m, m.inputs[0], quantization=None), "not quantised as a whole"),
    (lambda m: _with_tensor(m, m.inputs[0], shape=(1, 12, 23, 0)), "impossible size"),
    (lambda m: _with_tensor(m, m.inputs[0], shape=(2, 12, 23, 1)), "a shape that the C code has not"),
    (lambda m: _with_operator(m, CONV, options=m.operators[CONV].options | {"fused_activation_function": "TANH"}),
     "no such activation"),
    (lambda m: _with_operator(m, CONV, options=m.operators[CONV].options | {"stride_h": 0}), "impossible stride_h"),
    (lambda m: _with_operator(m, CONV, options=m.operators[CONV].options | {"stride_h": 2}), "another shape"),
    (lambda m: _with_operator(m, CONV, inputs=(*m.operators[CONV].inputs[:2], m.inputs[0])), "bias"),
    (lambda m: _with_operator(m, CONV, inputs=(m.outputs[0], *m.operators[CONV].inputs[1:])), "no earlier operator"),
    (lambda m: _with_operator(m, POOL, options=m.operators[POOL].options | {"filter_width": 60}), "larger than its"),
    (lambda m: _with_operator(m, DENSE, options=m.operators[DENSE].options | {"weights_format": 1}), "do not fit"),
    (lambda m: _with_operator(m, DENSE, outputs=m.operators[CONV].outputs), "no other writes"),
    (lambda m: dataclasses.replace(m, outputs=(m.operators[CONV].outputs[0],)), "not a vector"),
    (lambda m: dataclasses.replace(m, inputs=(0, 0)), "one input and one output"),
    (lambda m: dataclasses.replace(m, operators=m.operators[:2]), "no operator writes the output"),
])
def test_what_the_c_code_cannot_run_is_refused(change: Any, words: str) -> None:
    _, model = _small()
    with pytest.raises(EdgeAscError, match=words):
        _read(change(model))


@pytest.mark.parametrize("zero_point", [0, 3])
def test_weights_must_be_symmetric(zero_point: int) -> None:
    _, model = _small()
    weights = model.tensors[model.operators[CONV].inputs[1]]
    assert weights.quantization is not None
    quantization = Quantization(weights.quantization.scale, np.full(3, zero_point, np.int64), 0)
    changed = _with_tensor(model, weights.index, quantization=quantization)
    if zero_point:
        with pytest.raises(ModelFileError, match="symmetric"):
            _read(changed)
    else:
        _read(changed)


def test_accumulators_that_may_overflow_are_refused() -> None:
    _, model = _small()
    bias = model.tensors[model.operators[CONV].inputs[2]]
    with pytest.raises(ModelFileError, match="32 bits"):
        _read(_with_tensor(model, bias.index, data=np.full(3, 2**31 - 1, np.int32)))


def test_relu6_between_different_scales_is_refused_because_interpreters_disagree() -> None:
    builder = Builder(0)
    x = builder.conv(builder.input, 2, activation="NONE")
    y = builder.add("RELU6", (x,), builder.shape(x), 0.1, -128)
    with pytest.raises(ModelFileError, match="quantised differently"):
        _read(builder.model(builder.dense(builder.flat(y), LABELS)))


@settings(max_examples=60)
@given(data=st.data(), shape=st.sampled_from(sorted(SHAPES)))
def test_a_damaged_file_is_an_error_or_sound_c_and_never_a_crash(data: st.DataObject, shape: str) -> None:
    damaged = bytearray(_CACHE.setdefault(shape, network_bytes(shape, 0)))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    try:
        network = _read(bytes(damaged))
    except EdgeAscError:
        return
    members = planned([network], Purpose(arena_bytes=1, tile=8))
    assert "nan" not in config_header(members, provenance="/* */").lower()
    assert data_source(members, labels=[""] * LABELS, provenance="/* */")


_CACHE: dict[str, bytes] = {}


@given(real=st.floats(1e-12, 1e6))
def test_multipliers_are_normalised_and_near(real: float) -> None:
    multiplier, shift = quantise_multiplier(real)
    assert multiplier == 0 or 1 << 30 <= multiplier < 1 << 31
    assert multiplier * 2.0 ** (shift - 31) == pytest.approx(real, rel=1e-9) or real < 2**-31


@given(value=st.integers(-(1 << 24), 1 << 24), real=st.floats(1e-6, 0.99))
def test_rescaling_rounds_twice_and_so_errs_by_three_quarters_at_most(value: int, real: float) -> None:
    assert abs(rescale(value, *quantise_multiplier(real)) - value * real) <= 0.75 + abs(value) * 2**-30


def test_operators_with_two_constants_or_none_are_refused() -> None:
    builder = Builder(0)
    x = builder.conv(builder.input, 2)
    quantization = Quantization(np.ones(1, np.float32), np.zeros(1, np.int64))
    constant = builder.tensor((2,), np.int8, np.ones(2, np.int8), quantization)
    for inputs, words in (((constant, constant), "two inputs"), ((x, x), "by constants only")):
        graph = Builder(0)
        graph.tensors, graph.operators = list(builder.tensors), list(builder.operators)
        graph.operators.append(Operator("MUL", 2, inputs, (y := graph.activation(graph.shape(x), 1.0, 0),),
                                        {"fused_activation_function": "NONE"}))
        with pytest.raises(ModelFileError, match=words):
            _read(graph.model(graph.dense(graph.flat(y), LABELS) if inputs[0] == -1 else y))
