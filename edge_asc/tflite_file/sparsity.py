"""TFLite's sparse tensors: what a SparsityParameters table means, and back into a dense array.

The format is that of TACO: the dimensions (and blocks of them) are walked in `traversal_order`; each level is
either dense (every position occurs) or compressed (segments and indices, as in CSR).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asc.errors import ModelFileError
from edge_asc.tflite_file.flatbuffer import Table
from edge_asc.tflite_file.schema import DENSE, SPARSE_CSR

MAX_EXPANDED_BYTES = 1 << 26
"""A sparse tensor that expands to more is refused; nothing in the file's length bounds it."""


def expand(values: NDArray[Any], shape: tuple[int, ...], sparsity: Table, *, where: str) -> NDArray[Any]:
    """The dense array of a sparse tensor.

    Args:
        values: The stored values in traversal order; some may be zero.
        shape: The dense shape.
        sparsity: Its SparsityParameters.
        where: Names the tensor in errors.

    Raises:
        ModelFileError: Metadata that contradict the shape or the number of values, or that repeat a position.
    """
    positions = stored_positions(shape, sparsity, itemsize=values.itemsize, where=where)
    if positions.size != values.size:
        raise _wrong(where, "the number of stored values", values.size, positions.size)
    dense = np.zeros(int(np.prod(shape, dtype=np.int64)), values.dtype)
    dense[positions] = values
    return dense.reshape(shape)


def index_bytes(sparsity: Table) -> int:
    """Bytes of all segment and index arrays."""
    vectors = [level.value(name) for level in sparsity.value("dim_metadata")
               for name in ("array_segments", "array_indices")]
    return sum(int(vector.value("values").nbytes) for vector in vectors if vector is not None)


def stored_positions(shape: tuple[int, ...], sparsity: Table, *, itemsize: int, where: str) -> NDArray[np.int64]:
    """Flat row-major position of each stored value, in the order in which the values are stored."""
    n_elements = 1
    for size in shape:
        n_elements *= size
    if n_elements * itemsize > MAX_EXPANDED_BYTES:
        raise _wrong(where, "its expanded size in bytes", n_elements * itemsize, f"at most {MAX_EXPANDED_BYTES}")
    levels = _levels(shape, sparsity, where)
    positions, n_parents = np.zeros(1, np.int64), 1
    for metadata, size, stride in levels:
        if metadata.value("format") == DENSE:
            positions = (positions[:, None] + stride * np.arange(size)[None, :]).reshape(-1)
        else:
            segments, indices = _segments(metadata, n_parents, size, where)
            positions = np.repeat(positions, np.diff(segments).astype(np.intp)) + stride * indices
        n_parents = positions.size
    return positions


def _levels(shape: tuple[int, ...], sparsity: Table, where: str) -> list[tuple[Table, int, int]]:
    """(metadata, number of positions, row-major stride) of each level, outermost first."""
    rank, order = len(shape), sparsity.value("traversal_order").tolist()
    block_map, metadata = sparsity.value("block_map").tolist(), sparsity.value("dim_metadata")
    if sorted(order) != list(range(rank + len(block_map))) or sorted(order[:rank]) != list(range(rank)):
        raise _wrong(where, "traversal order", order, f"the {rank} dimensions, then the {len(block_map)} blocks")
    if len(metadata) != len(order):
        raise _wrong(where, "the number of levels", len(metadata), len(order))
    # The kernel takes one block per dimension, the dimensions ascending, the blocks in their own order.
    if sorted(set(block_map)) != block_map or any(not 0 <= dim < rank for dim in block_map) \
            or order[rank:] != list(range(rank, len(order))):
        raise _wrong(where, "block map", block_map, "ascending dimensions, blocks walked in order")
    strides = [int(np.prod(shape[dim + 1:], dtype=np.int64)) for dim in range(rank)]
    outer = list(shape)
    blocks: list[tuple[Table, int, int]] = []
    for dim, level in zip(block_map, metadata[rank:], strict=True):
        size = level.value("dense_size")
        if level.value("format") != DENSE or size < 1 or shape[dim] % size:
            raise _wrong(where, "a block", size, f"a dense one that divides {shape[dim]}")
        blocks.append((level, size, strides[dim]))
        outer[dim] //= size
        strides[dim] *= size
    levels = [(level, outer[dim], strides[dim]) for dim, level in zip(order[:rank], metadata[:rank], strict=True)]
    for level, size, _ in levels:
        if level.value("format") not in (DENSE, SPARSE_CSR):
            raise _wrong(where, "a level's format", level.value("format"), f"{DENSE} or {SPARSE_CSR}")
        if level.value("format") == DENSE and level.value("dense_size") != size:
            raise _wrong(where, "a dense level's size", level.value("dense_size"), size)
    return levels + blocks


def _segments(metadata: Table, n_parents: int, size: int, where: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    arrays = []
    for name in ("array_segments", "array_indices"):
        vector = metadata.value(name)
        if vector is None:
            raise _wrong(where, f"a compressed level's {name}", "nothing", "a vector")
        arrays.append(vector.value("values").astype(np.int64))
    segments, indices = arrays
    if segments.size != n_parents + 1 or segments[0] != 0 or segments[-1] != indices.size \
            or np.any(np.diff(segments) < 0):
        raise _wrong(where, "segments", f"{segments.size} of them", f"{n_parents + 1} rising from 0 to {indices.size}")
    if indices.size and (indices.min() < 0 or indices.max() >= size):
        raise _wrong(where, "an index", f"{indices.min()}..{indices.max()}", f"0..{size - 1}")
    # Within a segment the indices rise, or a position would be written twice. (Not np.isin: for a question that sorted
    # numbers answer it loads numpy.ma, 1.5 MB that a listening node would keep.)
    falls = np.flatnonzero(np.diff(indices) <= 0) + 1
    if not np.array_equal(segments[np.searchsorted(segments, falls)], falls):
        raise _wrong(where, "indices", "one that does not rise", "rising ones within a segment")
    return segments, indices


def _wrong(where: str, what: str, found: object, wanted: object) -> ModelFileError:
    return ModelFileError(f"{where}: damaged sparsity metadata ({what})", found=found, wanted=wanted,
                          fix="Take the model again from where it was made.")
