"""Holding out whole recordings: no recording is ever on both sides, each label loses about the same share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from edge_asc.errors import InputError


def held_out_recordings(sizes: Mapping[str, tuple[str, float]], *, fraction: float, seed: int) -> set[str]:
    """Chooses recordings so that each label loses as near to `fraction` of its size as whole recordings allow.

    Args:
        sizes: Recording -> (label, size in any unit).
        fraction: From 0 (none) to below 1.
        seed: Of the order in which recordings are tried; the order of `sizes` does not matter.

    Returns:
        The recordings held out. A label with two or more recordings has at least one on each side, unless
        `fraction` is 0; a label with one keeps it.
    """
    if not 0 <= fraction < 1:
        raise InputError("impossible share to hold out", found=fraction, wanted="from 0 to below 1")
    by_label: dict[str, list[str]] = defaultdict(list)
    for recording in sorted(sizes):
        by_label[sizes[recording][0]].append(recording)
    held: set[str] = set()
    for number, label in enumerate(sorted(by_label)):
        recordings = by_label[label]
        if fraction > 0 and len(recordings) > 1:
            order = np.random.default_rng([seed, number]).permutation(len(recordings))
            held |= _nearest([(recordings[i], sizes[recordings[i]][1]) for i in order], fraction)
    return held


def _nearest(recordings: Sequence[tuple[str, float]], fraction: float) -> set[str]:
    """Takes each recording that brings the sum nearer to the target; never all, never none."""
    target = fraction * sum(size for _, size in recordings)
    held: set[str] = set()
    total = 0.0
    for name, size in recordings:
        if abs(total + size - target) < abs(total - target) and len(held) < len(recordings) - 1:
            held.add(name)
            total += size
    return held or {min(recordings, key=lambda item: item[1])[0]}
