"""How many columns each step makes at a time: as many as pay for the RAM that they take.

Wide pieces unpack their weights less often and waste fewer accumulators on the padding between columns; narrow ones
need shorter buffers. The search starts from single columns and widens, one step after the other, where a byte of RAM
saves most instructions, as long as the arena stays within its limit.
"""

from __future__ import annotations

from collections.abc import Sequence

from firmware_export.planning.lower import Program, Step
from firmware_export.planning.plan import Plan, Purpose, conv_run, finish

# Instructions on a Cortex-M4, counted by QEMU: per tap and tile, per tile, per tap, per output value, per channel.
_TAP_TILE, _TILE, _TAP, _VALUE, _COLUMN, _CHANNEL = 13, 25, 32, 6, 15, 130
_WIDTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256)


def make_plan(program: Program, *, n_values: Sequence[int], max_taps: int, purpose: Purpose) -> Plan:
    """Choose the chunks and finish the plan.

    Args:
        program: What to plan; its chunks and places are set.
        n_values: Non-zero weights of every step.
        max_taps: Non-zero weights of the largest output channel of a convolution.
        purpose: The limit of the arena, and the kernels' tile.
    """
    if purpose.piece_values is not None:
        for step in program.steps:
            n_column = step.n_rows * step.pool * step.pool
            step.chunk = max(1, min(step.n_columns, purpose.piece_values // n_column))
        return finish(program, max_taps=max_taps, tile=purpose.tile)
    for step in program.steps:
        step.chunk = 1
    plan = finish(program, max_taps=max_taps, tile=purpose.tile)
    gains: dict[int, float] = {}
    candidates = set(range(len(program.steps)))
    while candidates:
        # A gain only shrinks as others widen, mostly: the best of old figures is tried first.
        index = max(candidates, key=lambda i: gains.get(i, float("inf")))
        step, before = program.steps[index], program.steps[index].chunk
        cost = _cost(step, program, n_values[index])
        saved = 0.0
        for step.chunk in (min(width, step.n_columns) for width in _WIDTHS if width > before):
            saved = cost - _cost(step, program, n_values[index])
            if saved > 0:
                break
        trial = finish(program, max_taps=max_taps, tile=purpose.tile)
        gain = saved / max(1, trial.arena_bytes - plan.arena_bytes)
        if saved <= 0 or trial.arena_bytes > purpose.arena_bytes:
            step.chunk = before
            candidates.remove(index)
        elif gain < max((gains.get(i, float("inf")) for i in candidates if i != index), default=0):
            step.chunk, gains[index] = before, gain
        else:
            plan, gains[index] = trial, gain
    return finish(program, max_taps=max_taps, tile=purpose.tile)


def _cost(step: Step, program: Program, n_values: int) -> float:
    """Instructions of all pieces of a step, as far as they depend on its chunk."""
    n_pieces = -(-step.n_columns // step.chunk)
    if step.kind != "conv":
        return n_pieces * 700.0
    run = conv_run(step, program, step.chunk)
    tiles = -(-run // 8)
    outputs = step.chunk * step.n_rows
    per_channel = _CHANNEL + tiles * _TILE + step.chunk * _COLUMN + _VALUE * (outputs if step.pool > 1 else run)
    return n_pieces * (700 + step.n_planes * per_channel + n_values * (_TAP + _TAP_TILE * tiles))
