"""Sparse tensors: any pruned array survives every layout, and the layout that is chosen is the smallest."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asc.errors import ModelFileError
from edge_asc.tflite_file import read_model
from edge_asc.tflite_file.encode import Layout, encode, smallest_layout
from edge_asc.tflite_file.flatbuffer import Table, parse, serialize
from edge_asc.tflite_file.sparsity import expand, index_bytes
from edge_asc.tflite_file.write import GraphWriter


def pruned(shape: tuple[int, ...], *, density: float, seed: int, dtype: str = "i1") -> np.ndarray:
    rng = np.random.default_rng(seed)
    return ((rng.random(shape) < density) * rng.integers(1, 100, shape)).astype(dtype)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    shape = tuple(draw(st.lists(st.integers(1, 7), min_size=1, max_size=4)))
    return pruned(shape, density=draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])), seed=draw(st.integers(0, 99)))


@given(arrays(), st.sampled_from(["never", "may", "must"]))
def test_any_array_comes_back_from_its_smallest_layout(array, reshape):
    layout, _ = smallest_layout(array, itemsize=1, reshape=reshape)
    values, sparsity = encode(array, layout)
    found = expand(values, layout.shape, sparsity, where="it").reshape(array.shape)
    np.testing.assert_array_equal(found, array)


@given(st.integers(0, 99), st.sampled_from([0.05, 0.3]))
def test_every_layout_gives_the_array_back(seed, density):
    array = pruned((4, 3, 2, 6), density=density, seed=seed)
    for block in (None, (0, 2), (3, 2), (3, 3)):
        for order in itertools.permutations(range(4)):
            layout = Layout(array.shape, order, (bool(seed % 2), True, False, True), block)
            values, sparsity = encode(array, layout)
            np.testing.assert_array_equal(expand(values, array.shape, sparsity, where="it"), array)


@pytest.mark.parametrize(("shape", "density"), [((20, 2436), 0.2), ((24, 3, 3, 24), 0.2), ((32, 5, 5, 32), 0.2),
                                                ((28, 1, 1, 24), 0.2), ((12, 3, 3, 12), 0.5)])
def test_the_price_is_what_the_file_grows_by(shape, density):
    array = pruned(shape, density=density, seed=1)
    for reshape in ("never", "may"):
        layout, priced = smallest_layout(array, itemsize=1, reshape=reshape)
        values, sparsity = encode(array, layout)
        assert priced - 260 < index_bytes(sparsity) + values.nbytes <= priced


def test_a_wide_layer_needs_little_more_than_one_index_byte_a_weight():
    array = pruned((20, 2436), density=0.2, seed=1)
    layout, n_bytes = smallest_layout(array, itemsize=1, reshape="may")
    assert layout.shape != array.shape
    assert n_bytes < 2.1 * np.count_nonzero(array)
    _, unshaped = smallest_layout(array, itemsize=1, reshape="never")
    assert unshaped > n_bytes + 4000


def test_weights_pruned_in_blocks_are_stored_in_blocks():
    array = np.zeros((16, 64), np.int8)
    array.reshape(16, 16, 4)[np.random.default_rng(0).random((16, 16)) < 0.2] = 7
    layout, _ = smallest_layout(array, itemsize=1, reshape="never")
    assert layout.block == (1, 4)


def test_index_arrays_are_as_narrow_as_their_values():
    for size, kind in ((256, "Uint8Vector"), (257, "Uint16Vector"), (70_000, "Int32Vector")):
        array = np.zeros((1, size), np.int8)
        array[0, -1] = 1
        _, sparsity = encode(array, Layout(array.shape, (0, 1), (False, True)))
        assert sparsity["dim_metadata"][1]["array_indices"].kind == kind


def added_by_litert(array: np.ndarray, layout: Layout, delegate: bool) -> np.ndarray:
    """What LiteRT's DENSIFY makes of a layout, read off a file that adds it to zeros."""
    from ai_edge_litert import interpreter as module

    writer = GraphWriter()
    values, sparsity = encode(array, layout)
    for _ in range(3):  # input, dense weights, output
        writer.tensor(array.shape, array.dtype)
    source = writer.tensor(array.shape, array.dtype, buffer=writer.buffer(values.tobytes()), sparsity=sparsity)
    writer.operator("DENSIFY", [source], [1])
    writer.operator("ADD", [0, 1], [2], options=Table("AddOptions"))
    data = serialize(writer.root((0,), (2,)))
    np.testing.assert_array_equal(read_model(data).tensors[1].data, array)
    kinds = module.OpResolverType
    resolver = kinds.AUTO if delegate else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = module.Interpreter(model_content=data, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.zeros(array.shape, array.dtype))
    interpreter.invoke()
    found: np.ndarray = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return found


@pytest.mark.parametrize("delegate", [False, True])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
@pytest.mark.parametrize("compressed", [(False, False, False, True), (True, False, True, False), (True,) * 4])
@pytest.mark.parametrize("block", [None, (0, 2), (3, 4)])
def test_litert_expands_every_layout_to_the_same_array(order, compressed, block, delegate):
    array = pruned((4, 3, 5, 8), density=0.2, seed=4, dtype="<f4")
    layout = Layout(array.shape, order, compressed, block)
    np.testing.assert_array_equal(added_by_litert(array, layout, delegate), array)


def test_litert_expands_wide_indices():
    for size in (300, 70_000):
        array = pruned((2, size), density=0.01, seed=4, dtype="<f4")
        layout = Layout(array.shape, (0, 1), (False, True))
        np.testing.assert_array_equal(added_by_litert(array, layout, False), array)


# Damage

def damaged() -> list[tuple[str, Table]]:
    def changed(**levels: Table) -> Table:
        table = fresh()
        table["dim_metadata"] = [levels.get(f"level{n}", level) for n, level in enumerate(table["dim_metadata"])]
        return table

    def fresh() -> Table:
        return encode(pruned((4, 6), density=0.5, seed=3), Layout((4, 6), (0, 1), (False, True)))[1]

    def csr(segments: list[int], indices: list[int]) -> Table:
        return Table("DimensionMetadata", format=1, array_segments_type=3, array_indices_type=3,
                     array_segments=Table("Uint8Vector", values=np.array(segments, np.uint8)),
                     array_indices=Table("Uint8Vector", values=np.array(indices, np.uint8)))

    n = fresh()["dim_metadata"][1]["array_indices"]["values"].size
    order = fresh()
    order["traversal_order"] = np.array([0, 0], np.int32)
    block = fresh()
    block["block_map"] = np.array([5], np.int32)
    return [
        ("traversal order", order), ("levels", Table("SparsityParameters", traversal_order=np.array([0, 1], np.int32))),
        ("traversal order", block), ("dense level's size", changed(level0=Table("DimensionMetadata", dense_size=400))),
        ("format", changed(level0=Table("DimensionMetadata", format=9))),
        ("segments", changed(level1=csr([0, n], list(range(n))))),
        ("segments", changed(level1=csr([0, 3, 2, 4, 4], [0, 1, 2, 3]))),
        ("an index", changed(level1=csr([0, 1, 1, 1, 1], [6]))),
        ("indices", changed(level1=csr([0, 2, 2, 2, 2], [1, 1]))),
        ("stored values", changed(level1=csr([0, 1, 1, 1, 1], [1]))),
        ("array_segments", changed(level1=Table("DimensionMetadata", format=1)))]


@pytest.mark.parametrize(("what", "sparsity"), damaged())
def test_metadata_that_cannot_be_are_refused(what, sparsity):
    values = np.ones(np.count_nonzero(pruned((4, 6), density=0.5, seed=3)), np.int8)
    with pytest.raises(ModelFileError, match=what):
        expand(values, (4, 6), sparsity, where="tensor 7")


def test_a_shape_that_would_fill_the_memory_is_refused_before_it_does():
    sparsity = Table("SparsityParameters", traversal_order=np.array([0, 1], np.int32), dim_metadata=[])
    with pytest.raises(ModelFileError, match="expanded size"):
        expand(np.ones(1, np.int8), (1 << 30, 1 << 30), sparsity, where="tensor 0")


# The FlatBuffer below

def test_equal_parts_of_a_file_stand_once():
    def size(n: int) -> int:
        writer = GraphWriter()
        for _ in range(n):
            writer.constant(np.arange(1000, dtype=np.int32))
        return len(serialize(writer.root((0,), (0,))))

    # Only the list of tensors grows.
    assert size(11) - size(1) <= 10 * 4 + 16


def test_what_is_written_reads_back():
    writer = GraphWriter()
    writer.constant(np.arange(6, dtype=np.int64).reshape(2, 3))
    root = parse(serialize(writer.root((0,), (0,), description="grüße")))
    assert root.value("description") == "grüße"
    assert root["subgraphs"][0]["tensors"][0].value("shape").tolist() == [2, 3]
    assert root["buffers"][1]["data"].view("<i8").tolist() == [0, 1, 2, 3, 4, 5]
