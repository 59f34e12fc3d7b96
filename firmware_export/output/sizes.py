"""Flash and RAM of an export, counted before anything is compiled.

RAM is exact for 32-bit parts: the structures of the C code, member by member, as their compilers lay them out. Flash is
exact for the tables; the code is what the compiler makes of it and is measured by `edge-asc firmware verify`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_asc.spec import FeatureSpec
from firmware_export.emit.frontend import frontend_table_bytes
from firmware_export.emit.model import Member, n_distances, piece_works, work
from firmware_export.emit.step_numbers import step_numbers
from firmware_export.output.exported import Exported

# sizeof of the structures of asc_tables.h on a 32-bit part.
_BUFFER_BYTES, _STEP_BYTES, _LAYER_BYTES, _PLAN_BYTES, _MEMBER_BYTES = 16, 48, 36, 16, 24


def model_bytes(members: Sequence[Member]) -> int:
    """sizeof(AscModel)."""
    plans = [member.plan for member in members]
    n_buffers = max(len(plan.program.buffers) for plan in plans)
    n_steps = max(len(plan.program.steps) for plan in plans)
    return _up(arena_bytes(members), 4) + _up(2 * (2 * n_buffers + n_steps + 2), 4)


def arena_bytes(members: Sequence[Member]) -> int:
    """Of the member that needs most: they run one after the other."""
    return max(member.plan.arena_bytes for member in members)


def state_bytes(spec: FeatureSpec, members: Sequence[Member], *, n_spare_frames: int,
                fixed_point: bool = False) -> int:
    """sizeof(AscState) on a 32-bit part, with the front end in float32 or, for parts without an FPU, in integers."""
    n_labels = members[0].network.activations[members[0].network.output].shape[0]
    ring, outputs = spec.n_frames + n_spare_frames, len(members) * n_labels
    counters, window, power = 9 * 4, 16, 8 if fixed_point else 4  # bytes of one bin, and where it may stand
    before = counters + window + _up(2 * outputs, 4) + 4 * n_labels + ring * (spec.n_mels + 1)
    front_end = _up(2 * spec.n_fft + 4, power) + _up(max(4 * spec.n_fft, power * (spec.n_fft // 2 + 1)), power)
    return _up(_up(before, power) + front_end + model_bytes(members), power)


def weight_bytes(member: Member) -> dict[str, int]:
    """Flash of one member's tables: weights with their positions, quantisation, and what ties them to the steps."""
    weights = quantisation = 0
    numbers = step_numbers(member.network, member.plan.program)
    for of_step in numbers:
        weights += of_step.weights.n_bytes if of_step.weights else 0
        quantisation += 4 * len(of_step.bias) + 4 * len(of_step.multipliers) + len(of_step.shifts)
    return {"weights": weights, "quantisation": quantisation,
            "steps": _LAYER_BYTES * len(numbers) + len(member.plan.program.buffers) + _MEMBER_BYTES}


def plan_bytes(members: Sequence[Member]) -> int:
    """Flash of all plans: buffers, steps and distances of taps."""
    plans = {member.plan_number: member for member in members}
    return sum(_PLAN_BYTES + _BUFFER_BYTES * len(member.plan.program.buffers)
               + _STEP_BYTES * len(member.plan.program.steps) + 2 * n_distances(member) for member in plans.values())


def size_report(exported: Exported, members: Sequence[Member], *, n_spare_frames: int) -> dict[str, Any]:
    """Everything that can be known without a compiler, bytes."""
    per_member = {member.network.name: weight_bytes(member) for member in members}
    tables = sum(sum(sizes.values()) for sizes in per_member.values()) + plan_bytes(members)
    return {
        "flash_tables_bytes": tables,
        "flash_weights_and_quantisation_bytes": sum(s["weights"] + s["quantisation"] for s in per_member.values()),
        "flash_members_bytes": per_member,
        "flash_frontend_tables_bytes": frontend_table_bytes(exported.features),
        "ram_state_bytes": state_bytes(exported.features, members, n_spare_frames=n_spare_frames),
        "ram_state_fixed_point_bytes": state_bytes(exported.features, members, n_spare_frames=n_spare_frames,
                                                   fixed_point=True),
        "ram_model_bytes": model_bytes(members),
        "ram_arena_bytes": {member.network.name: member.plan.arena_bytes for member in members},
        "ram_window_bytes": (exported.features.n_frames + n_spare_frames) * (exported.features.n_mels + 1),
        "n_spare_frames": n_spare_frames,
        "largest_piece_multiplications": max(max(piece_works(member)) for member in members),
        "multiplications": {member.network.name: work(member) for member in members},
    }


def _up(n: int, to: int) -> int:
    return -(-n // to) * to
