"""Rulers of complexity: each measures members and whole ensembles on their real files, and says what it cannot.

Whatever `edge-asc audit` counts is a ruler, by the same name and code; the four others run or plan something.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from edge_asc.audit import COUNTS, MEASURES, sum_sizes
from edge_asc.errors import InputError
from edge_asc.lab.pareto.firmware import FirmwareRuler, Instructions, Planner
from edge_asc.lab.pareto.part import Part
from edge_asc.runtime.interpreter import InterpretedMember
from edge_asc.spec import FeatureSpec

N_ROUNDS = 25
"""Of the latency: every member once a round, the median counts."""


class Ruler(Protocol):
    """A measure of complexity: less is better."""

    name: str
    is_largest: bool
    """An ensemble costs as much as its costliest member, and not the sum."""
    is_exact: bool
    """What members cost tells exactly what an ensemble costs; otherwise it is a first estimate."""

    def supports(self, variant: str) -> bool:
        """Whether files of this variant can be measured."""

    def members(self, parts: Sequence[Part]) -> list[int]:
        """The cost of each member alone."""

    def ensemble(self, parts: Sequence[Part]) -> int:
        """The cost of all of them together.

        Raises:
            OverBudgetError: It does not fit the board that it is measured for.
        """


def find_rulers(names: Sequence[str], *, spec: FeatureSpec, board: str | None = None) -> list[Ruler]:
    """The rulers of these names, each once.

    Args:
        spec: The front end of the members.
        board: The board that `firmware-flash` and `firmware-ram` are planned for; parts in general if None.

    Raises:
        InputError: An unknown ruler or board.
        MissingDependencyError: A ruler needs programs that are not installed.
    """
    planner = Planner(spec=spec, board=board)
    made: dict[str, Ruler] = {}
    for name in dict.fromkeys(names):
        if name in COUNTS:
            made[name] = Counted(name, spec=spec)
        elif name in ("firmware-flash", "firmware-ram"):
            made[name] = FirmwareRuler(name, planner)
        elif name == "instructions":
            made[name] = Instructions(spec=spec)
        elif name == "latency":
            made[name] = Latency(spec=spec)
        else:
            raise InputError(f"no ruler {name!r}", wanted=f"some of {', '.join(COUNTS | MEASURES)}")
    return list(made.values())


class Counted:
    """What `edge-asc audit` counts in the files."""

    is_exact = True

    def __init__(self, name: str, *, spec: FeatureSpec) -> None:
        self.name, self.is_largest, self._window_s = name, name == "ram", spec.window_s

    def supports(self, variant: str) -> bool:
        """Every variant."""
        return True

    def members(self, parts: Sequence[Part]) -> list[int]:
        """As the audit counts each."""
        return [part.sizes.count(self.name, window_s=self._window_s) for part in parts]

    def ensemble(self, parts: Sequence[Part]) -> int:
        """As the audit counts their sum; RAM is that of the largest."""
        return sum_sizes([part.sizes for part in parts]).count(self.name, window_s=self._window_s)


class Latency:
    """Microseconds of this machine for one window: the members one after the other, on one thread.

    Each member is measured once, in turns with the others that are asked for together. It is a clock on the wall: a
    busy machine shows.
    """

    name, is_largest, is_exact = "latency", False, True

    def __init__(self, *, spec: FeatureSpec) -> None:
        self._window = np.random.default_rng(0).uniform(-90, -10, (spec.n_mels, spec.n_frames)).astype(np.float32)
        self._found: dict[tuple[str, str], int] = {}

    def supports(self, variant: str) -> bool:
        """Every variant."""
        return True

    def members(self, parts: Sequence[Part]) -> list[int]:
        """The median of `N_ROUNDS` inferences each."""
        new = {(part.name, part.precision): part for part in parts if (part.name, part.precision) not in self._found}
        networks = {key: InterpretedMember(part.data, name=part.name) for key, part in new.items()}
        times: dict[tuple[str, str], list[int]] = {key: [] for key in networks}
        for _ in range(N_ROUNDS):
            for key, network in networks.items():
                start_ns = time.perf_counter_ns()
                network.probabilities(self._window)
                times[key].append(time.perf_counter_ns() - start_ns)
        self._found |= {key: max(1, round(statistics.median(each) / 1000)) for key, each in times.items()}
        return [self._found[part.name, part.precision] for part in parts]

    def ensemble(self, parts: Sequence[Part]) -> int:
        """The sum over the members."""
        return sum(self.members(parts))
