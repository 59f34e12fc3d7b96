"""The guard against getting slower: ratios of one run against ratios that were written down, each with its noise band.

Only ratios are kept: they mean the same on another machine of the kind, absolute times do not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_asc.errors import InputError

DEFAULT_BAND = 0.25


@dataclass(frozen=True, kw_only=True)
class Expected:
    """One line of baseline.json."""

    value: float
    """The ratio, larger is better."""
    band: float
    """Share of it that may be lost to noise."""
    wanted: float | None = None
    """What the project promises; None if nothing."""

    @property
    def least(self) -> float:
        """What is still within the band."""
        return self.value * (1 - self.band)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One ratio judged."""

    name: str
    found: float | None
    """None: it was not measured, though the baseline has it."""
    expected: Expected

    @property
    def ok(self) -> bool:
        """Whether it is there and within its band."""
        return self.found is not None and self.found >= self.expected.least

    @property
    def keeps_promise(self) -> bool | None:
        """Whether it reaches what is promised; None if nothing is, or it was not measured."""
        return None if self.found is None or self.expected.wanted is None else self.found >= self.expected.wanted

    def __str__(self) -> str:
        least = f"{self.expected.value:.2f} less {self.expected.band:.0%} of noise ({self.expected.least:.2f})"
        if self.found is None:
            return f"{self.name}: not measured, wanted {least}"
        return f"{self.name}: {self.found:.2f}, wanted at least {least}"


def read_baseline(path: Path) -> dict[str, Expected]:
    """Read baseline.json.

    Raises:
        InputError: It is missing, damaged, or has a value that cannot be.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["ratios"]
        expected = {str(name): Expected(value=float(entry["value"]), band=float(entry["band"]),
                                        wanted=None if entry.get("wanted") is None else float(entry["wanted"]))
                    for name, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a baseline", found=f"{type(error).__name__}: {error}",
                         wanted='{"ratios": {name: {"value": 5.0, "band": 0.25, "wanted": 3.5}}}') from error
    for name, each in expected.items():
        if not (each.value > 0 and 0 <= each.band < 1):
            raise InputError(f"{path}: {name} is impossible", found=f"value {each.value}, band {each.band}",
                             wanted="a value above 0 and a band from 0 to below 1")
    return expected


def write_baseline(path: Path, ratios: Mapping[str, float], *, machine: str, old: Mapping[str, Expected],
                   wanted: Mapping[str, float]) -> None:
    """Write down the ratios of a run; the bands of an older file are kept, and ratios it had and this run lacks."""
    from edge_asc.atomic import write_text

    entries: dict[str, Any] = {name: {"value": each.value, "band": each.band, "wanted": each.wanted}
                               for name, each in old.items()}
    for name, value in ratios.items():
        entries[name] = {"value": round(value, 3), "band": old[name].band if name in old else DEFAULT_BAND,
                         "wanted": wanted.get(name)}
    text = json.dumps({"measured_on": machine, "ratios": entries}, indent=1)
    write_text(path, text + "\n")


def judge(ratios: Mapping[str, float], baseline: Mapping[str, Expected], *,
          only: frozenset[str] | None = None) -> list[Verdict]:
    """Every ratio of the baseline, or only those that a shorter run measures; one that is missing fails."""
    return [Verdict(name=name, found=ratios.get(name), expected=expected) for name, expected in baseline.items()
            if only is None or name in only]
