"""When each step runs, how many columns every buffer must hold, and where the buffers lie in one static arena.

Execution is depth first over stripes of columns: of all steps that have enough input, the last one runs. So a map
never exists as a whole, only the columns that a later step still needs. The runner (asc_model.c) follows the same
rule, so what is counted here is what happens there.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_export.lower import WINDOW, Buffer, Program, Step

ALIGNMENT_BYTES = 4
TAP_BYTES = 8
"""sizeof(AscTap)"""
SPARE_TAPS = 5
"""Room that kernels may use to mark the ends of the list and to align it."""
NEVER = 1 << 30


@dataclass(frozen=True)
class Trace:
    """What a simulated run shows."""

    n_pieces: list[int]
    """Pieces per step."""
    alive: list[tuple[int, int]]
    """Per buffer: the pieces of its first write and of its last read."""


def n_ready(step: Step, written: list[int], program: Program) -> int:
    """Output columns that the input suffices for, those already made included."""
    n = step.n_columns
    for index in sources(step):
        have, whole = written[index], program.buffers[index].n_columns
        if have < step.start_at:
            return 0
        if have < whole:
            n = min(n, max(0, (have + step.left - step.reach) // step.stride + 1))
    return n


def first_needed(step: Step, buffer: Buffer, n_done: int) -> int:
    """The first column, padding counted, that the step still reads after n_done output columns."""
    if n_done == step.n_columns:
        return NEVER
    return max(0, n_done * step.stride - step.left + buffer.pad_left)


def n_finished(step: Step, n_done: int) -> int:
    """Output columns that exist after n_done columns."""
    return n_done // step.n_columns if step.kind == "dense" else n_done


def sources(step: Step) -> tuple[int, ...]:
    """The buffers that it reads."""
    return tuple(index for index in step.inputs[:1 if step.kind == "dense" else 2] if index != WINDOW)


def simulate(program: Program) -> Trace:
    """Run without data. Sets `n_slots` of every buffer.

    Raises:
        AssertionError: The steps wait for each other (a bug, not a property of any network).
    """
    steps, buffers = program.steps, program.buffers
    done, written = [0] * len(steps), [0] * len(buffers)
    writers: list[list[int]] = [[i for i, s in enumerate(steps) if s.output == b] for b in range(len(buffers))]
    readers: list[list[int]] = [[i for i, s in enumerate(steps) if b in sources(s)] for b in range(len(buffers))]
    alive, pieces, piece = [(NEVER, 0)] * len(buffers), [0] * len(steps), 0
    for buffer in buffers:
        buffer.n_slots = 0
    while done[-1] < steps[-1].n_columns:
        for i in range(len(steps) - 1, -1, -1):
            step = steps[i]
            ready = n_ready(step, written, program)
            if ready - done[i] >= step.chunk or (ready == step.n_columns and ready > done[i]):
                break
        else:
            raise AssertionError("no step is ready")
        b, buffer = step.output, buffers[step.output]
        n_new = min(step.chunk, ready - done[i])
        for index in sources(step):
            # Padding on the right is appended when the first piece that reads it runs.
            padded = buffers[index]
            end = min((done[i] + n_new - 1) * step.stride - step.left + step.reach, padded.n_columns + padded.pad_right)
            oldest = min(first_needed(steps[r], padded, done[r]) for r in readers[index])
            padded.n_slots = max(padded.n_slots, padded.pad_left + end - oldest)
            alive[index] = (alive[index][0], piece)
        if step.kind == "dense":
            sums = step.inputs[1]
            buffers[sums].n_slots, alive[sums] = 1, (min(alive[sums][0], piece), piece)
        oldest = min((first_needed(steps[r], buffer, done[r]) for r in readers[b]), default=0)
        done[i] += n_new
        finished = [n_finished(steps[w], done[w]) for w in writers[b]]
        written[b] = min(finished)
        buffer.n_slots = max(buffer.n_slots, buffer.pad_left + max(finished) - oldest)
        alive[b] = (min(alive[b][0], piece), piece)
        piece += 1
        pieces[i] += 1
    alive[steps[-1].output] = (alive[steps[-1].output][0], NEVER)
    return Trace(pieces, alive)


def place(program: Program, trace: Trace, *, reserved_bytes: int) -> int:
    """Give every buffer its place behind the first `reserved_bytes` of the arena; those that are never alive together
    may share. Returns the bytes of the arena."""
    placed: list[tuple[int, int, tuple[int, int]]] = []
    for index in sorted(range(len(program.buffers)), key=lambda b: (-program.buffers[b].n_bytes, b)):
        buffer, (start, end) = program.buffers[index], trace.alive[index]
        n_bytes, at = -(-buffer.n_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES, reserved_bytes
        for begin, stop, (other_start, other_end) in sorted(placed):
            if start <= other_end and other_start <= end:
                if at + n_bytes <= begin:
                    break
                at = max(at, stop)
        placed.append((at, at + n_bytes, (start, end)))
        buffer.at = at + buffer.row_pad
    return max(stop for _, stop, _ in placed)


@dataclass(frozen=True, kw_only=True)
class Purpose:
    """What stripes are chosen for."""

    arena_bytes: int
    """RAM that wider stripes may fill; the narrowest are taken if even they need more."""
    tile: int
    """Accumulators that a kernel makes at a time."""


FIRMWARE = Purpose(arena_bytes=22 * 1024, tile=8)
HOST = Purpose(arena_bytes=512 * 1024, tile=64)


@dataclass(frozen=True)
class Plan:
    """A program with every number that the runner needs."""

    program: Program
    trace: Trace
    tile: int
    acc_values: int
    """Accumulators of the largest piece, in whole tiles; they stand at the start of the arena, the taps behind them."""
    max_taps: int
    """Non-zero weights of the largest output channel of a convolution."""
    arena_bytes: int


def conv_run(step: Step, program: Program, n_columns: int) -> int:
    """Accumulators of a piece of a convolution: everything from its first to its last output."""
    return (n_columns * step.pool - 1) * program.buffers[step.inputs[0]].pitch + step.n_rows * step.pool


def finish(program: Program, *, max_taps: int, tile: int) -> Plan:
    """Simulate with the chunks as they are and place the buffers.

    Args:
        max_taps: Non-zero weights of the largest output channel of a convolution in any member with this program.
        tile: Accumulators that a kernel makes at a time; it may read and write that many minus one too far.
    """
    trace = simulate(program)
    runs = [conv_run(step, program, min(step.chunk, step.n_columns)) for step in program.steps if step.kind == "conv"]
    even = max(2, tile)
    acc_values = -(-max(runs, default=0) // even) * even
    columns = [program.buffers[step.inputs[0]] for step in program.steps if step.kind == "dense"]
    gathered = [b.n_planes * b.n_rows for b in columns if b.n_planes > 1]
    gathered += [program.buffers[step.inputs[0]].n_rows + step.top + step.kernel_rows + 8
                 for step in program.steps if step.kind == "max"]
    scratch_bytes = max(4 * acc_values + TAP_BYTES * (max_taps + SPARE_TAPS), *gathered, 0)
    arena_bytes = place(program, trace, reserved_bytes=-(-scratch_bytes // 4) * 4)
    return Plan(program, trace, tile, acc_values, max_taps, arena_bytes + tile)
