"""Flash and RAM of an export, counted before anything is compiled.

RAM is exact for 32-bit parts: the structures of the C code, member by member, as their compilers lay them out. Flash is
exact for the tables; the code is what the compiler makes of it and is measured by `edge-asc firmware verify`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_asc.spec import FeatureSpec
from firmware_export.emit import Member, work
from firmware_export.exported import Exported
from firmware_export.step_numbers import step_numbers


def model_bytes(members: Sequence[Member]) -> int:
    """sizeof(AscModel)."""
    plans = [member.plan for member in members]
    n_buffers = max(len(plan.program.buffers) for plan in plans)
    n_steps = max(len(plan.program.steps) for plan in plans)
    return _up(arena_bytes(members), 4) + _up(2 * (2 * n_buffers + n_steps + 1), 4)


def arena_bytes(members: Sequence[Member]) -> int:
    """Of the member that needs most: they run one after the other."""
    return max(member.plan.arena_bytes for member in members)


def state_bytes(spec: FeatureSpec, members: Sequence[Member], *, n_spare_frames: int) -> int:
    """sizeof(AscState) with the float32 front end on a 32-bit part."""
    n_labels = members[0].network.activations[members[0].network.output].shape[0]
    ring, outputs = spec.n_frames + n_spare_frames, len(members) * n_labels
    counters, window = 9 * 4, 16
    front_end = 2 * spec.n_fft + 4 + max(4 * spec.n_fft, 4 * (spec.n_fft // 2 + 1))
    return counters + window + _up(2 * outputs, 4) + 4 * n_labels + _up(ring * (spec.n_mels + 1), 4) + front_end + \
        model_bytes(members)


def weight_bytes(member: Member) -> dict[str, int]:
    """Flash of one member's tables, its plan apart."""
    weights = quantisation = 0
    for numbers in step_numbers(member.network, member.plan.program):
        weights += numbers.weights.n_bytes if numbers.weights else 0
        quantisation += 4 * len(numbers.bias) + 4 * len(numbers.multipliers) + len(numbers.shifts)
    return {"weights": weights, "quantisation": quantisation, "steps": 44 * len(member.plan.program.steps)}


def plan_bytes(members: Sequence[Member]) -> int:
    """Flash of all plans: buffers, steps and taps."""
    plans = {member.plan_number: member for member in members}
    total = 0
    for member in plans.values():
        program = member.plan.program
        taps = sum(layer.weights.shape[1] * layer.weights.shape[2] for step in program.steps if step.kind == "conv"
                   for layer in [member.network.layers[step.layers[0]]] if hasattr(layer, "weights"))
        total += 16 * len(program.buffers) + 52 * len(program.steps) + 2 * taps
    return total


def size_report(exported: Exported, members: Sequence[Member], *, n_spare_frames: int) -> dict[str, Any]:
    """Everything that can be known without a compiler, bytes."""
    per_member = {member.network.name: weight_bytes(member) for member in members}
    tables = sum(sum(sizes.values()) for sizes in per_member.values()) + plan_bytes(members)
    return {
        "flash_tables_bytes": tables,
        "flash_weights_and_quantisation_bytes": sum(s["weights"] + s["quantisation"] for s in per_member.values()),
        "flash_members_bytes": per_member,
        "ram_state_bytes": state_bytes(exported.features, members, n_spare_frames=n_spare_frames),
        "ram_model_bytes": model_bytes(members),
        "ram_arena_bytes": {member.network.name: member.plan.arena_bytes for member in members},
        "ram_window_bytes": (exported.features.n_frames + n_spare_frames) * (exported.features.n_mels + 1),
        "n_spare_frames": n_spare_frames,
        "multiplications": {member.network.name: work(member) for member in members},
    }


def _up(n: int, to: int) -> int:
    return -(-n // to) * to
