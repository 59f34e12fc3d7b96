"""Rulers that take the C export: flash and RAM by its planner, instructions by an emulated Cortex-M4F."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_asc.bundle import NewMember, save_bundle
from edge_asc.errors import MissingDependencyError, VerificationError
from edge_asc.lab.pareto.part import Part
from edge_asc.runtime import record_golden
from edge_asc.spec import LABELS, FeatureSpec
from firmware_export.boards.board import Need, find_board
from firmware_export.boards.fitting import code_bytes
from firmware_export.export import estimate_need, export_bundle
from firmware_export.planning.plan import FIRMWARE
from firmware_export.proof.build import TARGETS, missing_tools
from firmware_export.proof.verify import verify_export

_TARGET = "m4f"


class Planner:
    """Flash and RAM of exports, each planned once.

    Args:
        spec: The front end.
        board: The name of the board to lay them out for; parts in general if None.
    """

    def __init__(self, *, spec: FeatureSpec, board: str | None) -> None:
        self.spec, self._board = spec, find_board(board) if board else None
        self._found: dict[tuple[str, ...], Need] = {}

    def need(self, parts: Sequence[Part]) -> Need:
        """What these members take together.

        Raises:
            OverBudgetError: They do not fit the board.
        """
        key = tuple(part.name for part in parts)
        if key not in self._found:
            self._found[key] = estimate_need({part.name: part.data for part in parts}, spec=self.spec,
                                             board=self._board)
        return self._found[key]

    def need_anywhere(self, part: Part) -> Need:
        """What a member takes without a board, where it always fits."""
        return estimate_need({part.name: part.data}, spec=self.spec)


class FirmwareRuler:
    """Bytes of flash or RAM of the exported C, with its code, window and stack."""

    is_exact = False

    def __init__(self, name: str, planner: Planner) -> None:
        self.name, self.is_largest, self._planner = name, name == "firmware-ram", planner
        self._alone: dict[str, int] = {}

    def supports(self, variant: str) -> bool:
        """The C computes in int8."""
        return variant.startswith("int8")

    def members(self, parts: Sequence[Part]) -> list[int]:
        """What each adds: the code is there once, the RAM is shared."""
        for part in parts:
            if part.name not in self._alone:
                need = self._planner.need_anywhere(part)
                flash_bytes = need.flash_bytes - code_bytes(self._planner.spec)
                self._alone[part.name] = need.ram_bytes if self.is_largest else flash_bytes
        return [self._alone[part.name] for part in parts]

    def ensemble(self, parts: Sequence[Part]) -> int:
        """As the exporter lays them out together."""
        need = self._planner.need(parts)
        return need.ram_bytes if self.is_largest else need.flash_bytes


class Instructions:
    """Instructions of the networks for one window on an emulated Cortex-M4F, counted by QEMU; they are not cycles.

    All members that are asked for together are exported and verified as one ensemble, with the default stripes.

    Raises:
        MissingDependencyError: The compiler or the emulator is not installed.
    """

    name, is_largest, is_exact = "instructions", False, True

    def __init__(self, *, spec: FeatureSpec) -> None:
        if missing := missing_tools(TARGETS[_TARGET]):
            raise MissingDependencyError("instructions cannot be counted on this machine",
                                         found=f"no {' and no '.join(missing)}",
                                         fix="Install them (Debian: gcc gcc-arm-none-eabi libnewlib-arm-none-eabi "
                                             "qemu-system-arm) or take another ruler, such as macs-nonzero.")
        self._spec = spec
        self._found: dict[str, int] = {}

    def supports(self, variant: str) -> bool:
        """The C computes in int8."""
        return variant.startswith("int8")

    def members(self, parts: Sequence[Part]) -> list[int]:
        """Of each, in the export of all that were not counted yet."""
        if new := list({part.name: part for part in parts if part.name not in self._found}.values()):
            self._found |= self._count(new)
        return [self._found[part.name] for part in parts]

    def ensemble(self, parts: Sequence[Part]) -> int:
        """The sum over the members."""
        return sum(self.members(parts))

    def _count(self, parts: Sequence[Part]) -> dict[str, int]:
        noise = np.random.default_rng(0).integers(-2000, 2000, self._spec.window_samples)
        samples = (noise / 32768).astype(np.float32)
        members = [NewMember(name=part.name, architecture=part.architecture, seed=0, models={part.variant: part.data},
                             n_parameters=None) for part in parts]
        with tempfile.TemporaryDirectory(prefix="edge-asc-lab-") as scratch:
            bundle = save_bundle(Path(scratch) / "bundle", labels=LABELS, features=self._spec, members=members,
                                 golden=lambda made: record_golden(made, samples), audit=lambda _: {},
                                 model_card=lambda _: "", made={}, default_variant=parts[0].variant)
            exported = export_bundle(bundle, Path(scratch) / "firmware", purpose=FIRMWARE)
            verification = verify_export(exported, bundle=bundle, targets=[_TARGET], n_windows=1)
        if problems := verification.problems():
            raise VerificationError(f"the exported C does not compute what its members do: {'; '.join(problems)}")
        return verification.results[0].member_instructions
