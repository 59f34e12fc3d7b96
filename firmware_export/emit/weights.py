"""Sparse weights for flash: the non-zero values, and where they stand in the fewest bytes.

Three ways to say where, the smallest taken for each layer. "gaps": half a byte per non-zero with how far it is from
the last one, 1 to 15; 0 means fifteen zeros and no non-zero yet. "bits": one bit per weight. "all": nothing, every
weight is there. The first two take about 4.2 and 5 bits per non-zero where one weight in five is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GAPS, BITS, ALL = "gaps", "bits", "all"


@dataclass(frozen=True)
class SparseWeights:
    """The weights of one layer, one output after the other."""

    encoding: str
    values: NDArray[np.int8]
    positions: NDArray[np.uint8]
    counts: NDArray[np.uint16]
    """Values per output: how many of `values` belong to it."""

    @property
    def count_bytes(self) -> int:
        """Bytes of one count in flash."""
        return 1 if self.counts.max(initial=0) < 256 else 2

    @property
    def n_bytes(self) -> int:
        """Flash bytes."""
        return self.values.size + self.positions.size + self.counts.size * self.count_bytes


def encode(weights: NDArray[np.int8], *, encoding: str | None = None) -> SparseWeights:
    """Encode [outputs, positions]; the smallest encoding unless one is asked for."""
    if encoding is None:
        return min((encode(weights, encoding=e) for e in (GAPS, BITS, ALL)), key=lambda w: w.n_bytes)
    nonzero = weights != 0
    counts, values = nonzero.sum(axis=1).astype(np.uint16), weights[nonzero]
    if encoding == ALL:
        n_outputs, n_positions = weights.shape
        full = np.full(n_outputs, n_positions, np.uint16)
        return SparseWeights(ALL, weights.reshape(-1), np.zeros(0, np.uint8), full)
    if encoding == BITS:
        return SparseWeights(BITS, values, np.packbits(nonzero.reshape(-1), bitorder="little"), counts)
    nibbles: list[int] = []
    for row in nonzero:
        for distance in np.diff(np.flatnonzero(row), prepend=-1).tolist():
            nibbles += [0] * ((distance - 1) // 15) + [(distance - 1) % 15 + 1]
    nibbles += [0] * (len(nibbles) % 2)
    pairs = np.array(nibbles, np.uint8).reshape(-1, 2)
    return SparseWeights(GAPS, values, (pairs[:, 0] | pairs[:, 1] << 4).astype(np.uint8), counts)


def decode(sparse: SparseWeights, n_positions: int) -> NDArray[np.int8]:
    """The inverse of `encode`."""
    n_outputs = sparse.counts.size
    if sparse.encoding == ALL:
        return sparse.values.reshape(n_outputs, n_positions)
    weights = np.zeros((n_outputs, n_positions), np.int8)
    if sparse.encoding == BITS:
        bits = np.unpackbits(sparse.positions, bitorder="little", count=weights.size).astype(bool)
        weights[bits.reshape(weights.shape)] = sparse.values
        return weights
    nibbles = iter(np.stack([sparse.positions & 15, sparse.positions >> 4], axis=1).reshape(-1).tolist())
    values = iter(sparse.values.tolist())
    for row, count in zip(weights, sparse.counts.tolist(), strict=True):
        at = -1
        for _ in range(count):
            while (distance := next(nibbles)) == 0:
                at += 15
            at += distance
            row[at] = next(values)
    return weights
