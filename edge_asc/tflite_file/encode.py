"""The smallest sparse form of a dense array that stock kernels can expand, found by computing the bytes of each.

What the kernel (DENSIFY) leaves to choose: the order of the dimensions, which of them are compressed, one dense
block per tensor, the width of every index array and, with a RESHAPE after it, the shape itself. Index arrays of
one byte are the largest part of an int8 file, so long inner dimensions of at most 256 win.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_asc.tflite_file.flatbuffer import Table
from edge_asc.tflite_file.schema import DENSE, SPARSE_CSR

RESHAPE_BYTES = 68
"""What a RESHAPE operator with its extra tensor adds to a file."""
_TABLE_BYTES = 16
_LEVEL_BYTES = {DENSE: 4, SPARSE_CSR: 36}
_BLOCKS = (2, 4, 8, 16)
_VECTORS = ((1 << 8, "Uint8Vector", 3, np.uint8), (1 << 16, "Uint16Vector", 2, np.uint16),
            (1 << 31, "Int32Vector", 1, np.int32))


@dataclass(frozen=True)
class Layout:
    """One way to store a tensor."""

    shape: tuple[int, ...]
    """The shape it is stored in; another than the tensor's own needs a RESHAPE."""
    order: tuple[int, ...]
    """The dimensions of `shape`, outermost first."""
    compressed: tuple[bool, ...]
    """For each place in `order`."""
    block: tuple[int, int] | None = None
    """(dimension, size) of a dense block."""


def smallest_layout(dense: NDArray[Any], *, itemsize: int,
                    reshape: Literal["never", "may", "must"]) -> tuple[Layout, int]:
    """The layout with the fewest bytes, and those bytes (values, arrays and tables).

    Args:
        dense: The tensor.
        itemsize: Bytes of one stored value.
        reshape: Whether the tensor may or must be stored in another shape.
    """
    occupied = dense != 0
    shapes = [] if reshape == "must" else [tuple(dense.shape)]
    if reshape != "never":
        others = [(dense.size // inner, inner) for inner in range(1, 257) if dense.size % inner == 0]
        # Three dimensions where no two will do.
        shapes += [shape for shape in others if shape != dense.shape] or [(*dense.shape, 1)]
    best: tuple[int, Layout] | None = None
    for shape in shapes:
        extra = RESHAPE_BYTES if shape != dense.shape else 0
        for block in _blocks(shape):
            parts = _parts(occupied.reshape(shape), block)
            for layout, n_bytes in _priced(shape, block, parts, itemsize):
                if best is None or n_bytes + extra < best[0]:
                    best = n_bytes + extra, layout
    assert best is not None
    return best[1], best[0]


def encode(dense: NDArray[Any], layout: Layout) -> tuple[NDArray[Any], Table]:
    """The stored values and the SparsityParameters of a tensor in that layout."""
    array = dense.reshape(layout.shape)
    rank, block = len(layout.shape), layout.block
    if block:
        array = _split(array, block)
    axes = layout.order + ((rank,) if block else ())
    array = array.transpose(axes)
    compressed = layout.compressed + ((False,) if block else ())
    metadata, parents = [], np.zeros(1, np.int64)
    occupied = array != 0
    for level, size in enumerate(array.shape):
        # Every child of every stored position; in a compressed level those with something below them.
        children = (parents[:, None] * size + np.arange(size)).reshape(-1)
        if not compressed[level]:
            metadata.append(Table("DimensionMetadata", dense_size=size))
            parents = children
            continue
        prefix = occupied.reshape(int(np.prod(array.shape[:level + 1])), -1).any(axis=1)[children]
        counts = prefix.reshape(-1, size).sum(axis=1)
        segments = np.concatenate([[0], np.cumsum(counts)])
        parents = children[prefix]
        metadata.append(_compressed_level(segments, parents % size))
    sparsity = Table("SparsityParameters", traversal_order=np.array(axes, np.int32), dim_metadata=metadata)
    if block:
        sparsity["block_map"] = np.array([block[0]], np.int32)
    return array.reshape(-1)[parents], sparsity


def _compressed_level(segments: NDArray[np.int64], indices: NDArray[np.int64]) -> Table:
    level = Table("DimensionMetadata", format=SPARSE_CSR)
    for name, values in (("array_segments", segments), ("array_indices", indices)):
        _, kind, number, dtype = next(row for row in _VECTORS if values.max(initial=0) < row[0])
        level |= {f"{name}_type": number, name: Table(kind, values=values.astype(dtype))}
    return level


def _blocks(shape: tuple[int, ...]) -> list[tuple[int, int] | None]:
    return [None, *((dim, size) for dim in range(len(shape)) for size in _BLOCKS
                    if shape[dim] % size == 0 and shape[dim] > size)]


def _split(array: NDArray[Any], block: tuple[int, int]) -> NDArray[Any]:
    """The block becomes a last dimension of its own."""
    dim, size = block
    shape = list(array.shape)
    shape[dim:dim + 1] = [shape[dim] // size, size]
    return np.moveaxis(array.reshape(shape), dim + 1, -1)


def _parts(occupied: NDArray[np.bool_], block: tuple[int, int] | None) -> NDArray[np.bool_]:
    return np.asarray(_split(occupied, block).any(axis=-1)) if block else occupied


def _priced(shape: tuple[int, ...], block: tuple[int, int] | None, occupied: NDArray[np.bool_],
            itemsize: int) -> Iterator[tuple[Layout, int]]:
    """Every layout of this shape and block with its bytes."""
    rank, sizes = len(shape), occupied.shape
    # How many positions of a set of dimensions have something below them: independent of the order within the set.
    n_occupied = {dims: int(occupied.any(axis=tuple(set(range(rank)) - set(dims))).sum())
                  for n in range(1, rank + 1) for dims in itertools.combinations(range(rank), n)}
    for order in itertools.permutations(range(rank)):
        prefixes = [n_occupied[tuple(sorted(order[:level + 1]))] for level in range(rank)]
        for compressed in itertools.product((False, True), repeat=rank):
            if not any(compressed):
                continue
            n_bytes, n_parents = _TABLE_BYTES + 4 * rank, 1
            for dim, n, is_compressed in zip(order, prefixes, compressed, strict=True):
                n_bytes += _LEVEL_BYTES[SPARSE_CSR if is_compressed else DENSE]
                if is_compressed:
                    n_bytes += _vector_bytes(n_parents + 1, n) + _vector_bytes(n, sizes[dim] - 1)
                    n_parents = n
                else:
                    n_parents *= sizes[dim]
            n_values = n_parents * (block[1] if block else 1)
            n_bytes += -(-n_values * itemsize // 4) * 4 + (8 if block else 0)
            yield Layout(shape, order, compressed, block), n_bytes


def _vector_bytes(n: int, largest: int) -> int:
    width = 1 if largest < 1 << 8 else 2 if largest < 1 << 16 else 4
    return 4 + -(-n * width // 4) * 4
