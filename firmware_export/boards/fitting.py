"""What an ensemble needs on a board, and the widest stripes and the spare frames that suit it.

Wide stripes cost RAM and save time. Spare frames keep the sound without a gap while a window is being classified:
as many are taken as the classification is estimated to last, if there is room.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from edge_asc.spec import FeatureSpec
from firmware_export.boards.board import KIB, Board, Need, require_fit
from firmware_export.emit.frontend import SPARE_FRAMES, frontend_table_bytes
from firmware_export.emit.model import Member, work
from firmware_export.network.layers import Network
from firmware_export.output.sizes import plan_bytes, state_bytes, weight_bytes
from firmware_export.planning.plan import FIRMWARE, Purpose

_CODE_BYTES = 21 * KIB
"""Without tables, generously: 14 KiB were measured on Cortex-M4F, 20 on Cortex-M0+."""
STACK_BYTES = 2 * KIB
"""Generously: about 1 KiB was measured, without interrupts."""
OWN_BYTES = 4 * KIB
"""What spare frames leave, where they can, to the program's own variables, such as a microphone's blocks."""
SINGLE_RAM_BYTES, SINGLE_SPARE_FRAMES = 48 * KIB, 24
"""Without a board, a member alone is planned for this."""
_WIDE_KIB, _NARROW_KIB = (64, 40), (24, 16, 12, 8, 4, 2, 1)

Planner = Callable[[Sequence[Network], Purpose], list[Member]]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How an ensemble is laid out."""

    purpose: Purpose = FIRMWARE
    n_spare_frames: int = SPARE_FRAMES


def settings_without_board(networks: Sequence[Network], *, spec: FeatureSpec, plan: Planner) -> Settings:
    """Stripes and spare frames for parts in general: an ensemble of the default sizes stays within 64 KiB of RAM with
    its stack, and a single V within 48 KiB."""
    if len(networks) > 1:
        return Settings()
    found = need(plan(networks, FIRMWARE), spec=spec, n_spare_frames=SINGLE_SPARE_FRAMES)
    arena_bytes = FIRMWARE.arena_bytes - max(0, found.ram_bytes - SINGLE_RAM_BYTES)
    return Settings(purpose=replace(FIRMWARE, arena_bytes=max(1, arena_bytes)), n_spare_frames=SINGLE_SPARE_FRAMES)


def settings_for(board: Board, networks: Sequence[Network], *, spec: FeatureSpec, plan: Planner) -> Settings:
    """Stripes and spare frames for a board: the widest stripes that leave half of its RAM to others, or else the
    widest that fit at all; what is left is not all filled with spare frames.

    Args:
        board: The board.
        networks: The members.
        spec: The front end.
        plan: Makes members with their plans.

    Raises:
        OverBudgetError: Not even the narrowest stripes fit; the message says what does.
    """
    members: list[Member] = []
    purpose = FIRMWARE
    for kib in _WIDE_KIB + _NARROW_KIB:
        purpose = replace(FIRMWARE, arena_bytes=kib * KIB)
        members = plan(networks, purpose)
        wanted = wanted_spare_frames(board, members, spec=spec)
        found = need(members, spec=spec, n_spare_frames=wanted)
        leaves = board.ram_bytes // 2 if kib in _WIDE_KIB else OWN_BYTES
        if found.fits(board) and found.ram_bytes <= board.ram_bytes - leaves:
            return Settings(purpose=purpose, n_spare_frames=wanted)
    least = need(members, spec=spec, n_spare_frames=0)
    if not least.fits(board):
        require_fit(board, least, alternatives=_fewer(networks, purpose, spec=spec, plan=plan))
    left = max(0, board.ram_bytes - least.ram_bytes - OWN_BYTES)
    return Settings(purpose=purpose, n_spare_frames=left // (spec.n_mels + 1))


def wanted_spare_frames(board: Board, members: Sequence[Member], *, spec: FeatureSpec) -> int:
    """Frames that arrive while the board classifies one window, by estimate; at most a window of them."""
    seconds = estimated_s(board, sum(map(work, members)))
    return min(spec.n_frames, math.ceil(seconds * spec.sample_rate_hz / spec.hop_length) + 1)


def estimated_s(board: Board, n_multiplications: int) -> float:
    """Roughly how long a classification takes while sound is coming in, in seconds; never measured on the board."""
    busy = min(0.9, board.estimated_s(board.core.frontend_instructions_per_s))
    return board.estimated_s(n_multiplications * board.core.instructions_per_multiplication) / (1 - busy)


def need(members: Sequence[Member], *, spec: FeatureSpec, n_spare_frames: int) -> Need:
    """Flash and RAM of an ensemble, code and stack included."""
    tables = plan_bytes(members) + sum(sum(weight_bytes(member).values()) for member in members)
    state = state_bytes(spec, members, n_spare_frames=n_spare_frames)
    return Need(label=" ".join(member.network.name for member in members), flash_bytes=tables + code_bytes(spec),
                ram_bytes=state + STACK_BYTES)


def most_frames(board: Board, members: Sequence[Member], *, spec: FeatureSpec) -> Iterator[Need]:
    """What members with these plans need with as many spare frames as the board's RAM has room for."""
    left = board.ram_bytes - need(members, spec=spec, n_spare_frames=0).ram_bytes
    if left >= 0:
        n = max(0, left - 4) // (spec.n_mels + 1)  # the ring is rounded up to whole words
        found = need(members, spec=spec, n_spare_frames=n)
        yield replace(found, label=f"{found.label} with {n} spare frames")


def code_bytes(spec: FeatureSpec) -> int:
    """Flash of the code and of the front end's tables: what is there once, whatever the members."""
    return _CODE_BYTES + frontend_table_bytes(spec)


def _fewer(networks: Sequence[Network], purpose: Purpose, *, spec: FeatureSpec, plan: Planner) -> Iterator[Need]:
    """What the first members need, ever fewer, and then each alone."""
    choices = [networks[:n] for n in range(len(networks) - 1, 0, -1)] + [[network] for network in networks[1:]]
    for choice in choices:
        yield need(plan(choice, purpose), spec=spec, n_spare_frames=0)
