"""Limits by name: the DCASE challenge rules by year, and a user's own.

Rules: DCASE 2020 Task 1B, 500 KB of non-zero parameters (1 KB = 1024 bytes); 2021 Task 1A, 128 KB of non-zero
parameters (1 KB = 1024 bytes); 2022 Task 1, 128 000 parameters, zeros counted, int8, and 30 million MACs per 1 s
clip; 2023 to 2025, 128 000 bytes of parameters in any format, zeros counted, and 30 million MACs per 1 s clip.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_asc.errors import InputError

COUNTS = {
    "nonzero": ("non-zero parameters, BatchNorm counted", "bytes"),
    "nonzero-without-batchnorm": ("non-zero parameters, BatchNorm left out", "bytes"),
    "parameters": ("all parameters, zeros counted", "bytes"),
    "n-parameters": ("all parameters, zeros counted", ""),
    "file": ("sum of the model files", "bytes"),
    "compressed": ("sum of the model files, each compressed (zlib)", "bytes"),
    "flash": ("weights as deployed: values, index arrays and biases", "bytes"),
    "ram": ("largest sum of whole activation maps alive at once, of any member", "bytes"),
    "macs": ("multiplications for one window, all members", ""),
    "macs-nonzero": ("multiplications by non-zero weights for one window, all members", ""),
    "macs-per-s": ("multiplications per second of audio, all members, one window after the other", ""),
}
"""What can be limited -> (in words, unit)."""
MEASURES = {
    "firmware-flash": ("flash of the exported C, code and tables", "bytes"),
    "firmware-ram": ("RAM of the exported C, window and stack", "bytes"),
    "instructions": ("instructions of a Cortex-M4F for one window, all members", ""),
    "latency": ("time of the runtime for one window, all members, on this machine", "us"),
}
"""What takes more than the files to find out: `edge-asc lab` limits it too."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """One limit."""

    name: str
    limit: int
    """In bytes or microseconds, or a count."""
    counts: str
    """A key of `COUNTS` or `MEASURES`."""

    @property
    def words(self) -> str:
        """What is limited, in words."""
        return (COUNTS | MEASURES)[self.counts][0]

    @property
    def unit(self) -> str:
        """`bytes`, `us` (microseconds) or nothing, for a count."""
        return (COUNTS | MEASURES)[self.counts][1]


def _rule(name: str, *limits: tuple[str, int]) -> tuple[Budget, ...]:
    return tuple(Budget(name=name, limit=limit, counts=counts) for counts, limit in limits)


PRESETS = {name: _rule(name, *limits) for name, limits in {
    "dcase2020-1b": [("nonzero", 500 * 1024)],
    "dcase2020-1b-organisers": [("nonzero-without-batchnorm", 500 * 1024)],
    "dcase2021-1a": [("nonzero-without-batchnorm", 128 * 1024)],
    "dcase2022": [("n-parameters", 128_000), ("macs-per-s", 30_000_000)],
    "dcase2023": [("parameters", 128_000), ("macs-per-s", 30_000_000)],
    "dcase2024": [("parameters", 128_000), ("macs-per-s", 30_000_000)],
    "dcase2025": [("parameters", 128_000), ("macs-per-s", 30_000_000)],
}.items()}
"""`dcase2020-1b` counts BatchNorm, as Ooi et al. did; the organisers' script leaves it out."""

DEFAULT_BUDGET = "dcase2020-1b"

_FACTORS = {"bytes": {"": 1, "b": 1, "kb": 1024, "kib": 1024, "mb": 1024**2, "mib": 1024**2},
            "us": {"us": 1, "ms": 10**3, "s": 10**6}, "": {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}}
_WANTED = {"bytes": "a number of bytes, KB or MB, as in file=300KB", "us": "a number of us, ms or s, as in latency=5ms",
           "": "a number, K, M or G, as in macs=30M"}


def parse_budgets(texts: Sequence[str], *, counts: Mapping[str, tuple[str, str]] = COUNTS) -> tuple[Budget, ...]:
    """Budgets from the command line: names of presets, or own limits such as `file=300KB`, `macs=30M`.

    KB is 1024 bytes; K and M of a count are thousands and millions.

    Args:
        counts: What may be limited.

    Raises:
        InputError: An unknown name or an unreadable limit.
    """
    budgets: list[Budget] = []
    for text in texts:
        what, equals, amount = text.partition("=")
        if not equals:
            if text not in PRESETS:
                raise InputError(f"no budget {text!r}", wanted=f"one of {', '.join(PRESETS)}, or WHAT=LIMIT",
                                 fix=f"WHAT is one of {', '.join(counts)}.")
            budgets += PRESETS[text]
            continue
        if what not in counts:
            raise InputError(f"a budget for something unknown: {what!r}", wanted=f"one of {', '.join(counts)}")
        budgets.append(Budget(name=text, limit=_amount(text, amount, counts[what][1]), counts=what))
    return tuple(budgets)


def _amount(text: str, amount: str, unit: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", amount.strip().lower())
    if not match or match[2] not in _FACTORS[unit]:
        raise InputError(f"a limit that cannot be read: {text!r}", wanted=_WANTED[unit])
    return int(float(match[1]) * _FACTORS[unit][match[2]])
