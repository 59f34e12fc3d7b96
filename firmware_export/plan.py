"""When each step runs, how many columns every buffer must hold, and where the buffers lie in one static arena.

Execution is depth first over stripes of columns: of all steps that have enough input, the last one runs. So a map
never exists as a whole, only the columns that a later step still needs. The runner (asc_model.c) follows the same
rule, so what is counted here is what happens there.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_export.lower import WINDOW, Program, Step

ALIGNMENT_BYTES = 4
TAP_BYTES = 8
"""sizeof(AscTap)"""
SPARE_TAPS = 5
"""Room that kernels may use to mark the ends of the list and to align it."""
NEVER = 1 << 30


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
class Trace:
    """What a simulated run shows."""

    n_pieces: list[int]
    """Pieces per step."""
    alive: list[tuple[int, int]]
    """Per buffer: the pieces of its first write and of its last read."""


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


def sources(step: Step) -> tuple[int, ...]:
    """The buffers that a step reads columns of."""
    return tuple(index for index in step.inputs[:1 if step.kind == "dense" else 2] if index != WINDOW)


def last_reader(program: Program, buffer: int) -> int:
    """The last step that reads a buffer, 0 if none does. After a piece, the search for the next one begins with the
    last reader of what it wrote: later steps had not enough input before, and have got none since."""
    return max((i for i, step in enumerate(program.steps) if buffer in sources(step)), default=0)


class _Run:
    """A run without data. Columns are counted without the padding on the left, which is below 0."""

    def __init__(self, program: Program) -> None:
        self.steps, self.buffers = program.steps, program.buffers
        n_buffers = len(self.buffers)
        self.sources = [sources(step) for step in self.steps]
        self.writers = [[i for i, s in enumerate(self.steps) if s.output == b] for b in range(n_buffers)]
        self.readers = [[i for i, s in enumerate(self.sources) if b in s] for b in range(n_buffers)]
        self.last_reader = [last_reader(program, b) for b in range(n_buffers)]
        self.done, self.n_pieces = [0] * len(self.steps), [0] * len(self.steps)
        self.least, self.furthest = [0] * n_buffers, [0] * n_buffers
        self.alive = [(NEVER, 0)] * n_buffers
        for buffer in self.buffers:
            buffer.n_slots = 0

    def trace(self) -> Trace:
        start, now = len(self.steps) - 1, 0
        while self.done[-1] < self.steps[-1].n_columns:
            i, n = self.next_piece(start)
            self.run(i, n, now)
            start, now = max(i, self.last_reader[self.steps[i].output]), now + 1
        exit_ = self.steps[-1].output
        self.alive[exit_] = (self.alive[exit_][0], NEVER)
        return Trace(self.n_pieces, self.alive)

    def next_piece(self, start: int) -> tuple[int, int]:
        """The last step up to `start` that can run, and how many columns of it."""
        for i in range(start, -1, -1):
            step, done = self.steps[i], self.done[i]
            ready = step.n_columns
            if done == ready:
                continue
            for b in self.sources[i]:
                have = self.least[b]
                if have < self.buffers[b].n_columns:
                    ready = min(ready, (have + step.left - step.reach) // step.stride + 1)
            if ready - done >= step.chunk or ready == step.n_columns:
                return i, min(step.chunk, ready - done)
        raise AssertionError("no step is ready")

    def hold(self, b: int, end: int) -> None:
        """Make room in a buffer for all columns from the oldest that is still read up to `end`."""
        buffer, oldest = self.buffers[b], self.furthest[b]
        for r in self.readers[b]:
            step, done = self.steps[r], self.done[r]
            if done < step.n_columns:
                oldest = min(oldest, max(done * step.stride - step.left, -buffer.pad_left))
        buffer.n_slots = max(buffer.n_slots, end - oldest)

    def run(self, i: int, n: int, now: int) -> None:
        """n more columns of step i."""
        step, done = self.steps[i], self.done[i] + n
        for b in self.sources[i]:
            # Padding on the right is appended when the first piece that reads it runs.
            buffer = self.buffers[b]
            self.hold(b, min((done - 1) * step.stride - step.left + step.reach, buffer.n_columns + buffer.pad_right))
            self.alive[b] = (self.alive[b][0], now)
        b, finished = step.output, done
        if step.kind == "dense":
            sums, finished = step.inputs[1], done // step.n_columns
            self.buffers[sums].n_slots, self.alive[sums] = 1, (min(self.alive[sums][0], now), now)
        self.hold(b, max(self.furthest[b], finished))
        self.done[i] = done
        self.n_pieces[i] += 1
        self.furthest[b] = max(self.furthest[b], finished)
        self.least[b] = finished if len(self.writers[b]) == 1 else min(self.done[w] for w in self.writers[b])
        self.alive[b] = (min(self.alive[b][0], now), now)


def simulate(program: Program) -> Trace:
    """Run without data. Sets `n_slots` of every buffer."""
    return _Run(program).trace()


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


def conv_run(step: Step, program: Program, n_columns: int) -> int:
    """Accumulators of a piece of a convolution: everything from its first to its last output."""
    return (n_columns * step.pool - 1) * program.buffers[step.inputs[0]].pitch + step.n_rows * step.pool


def finish(program: Program, *, max_taps: int, tile: int) -> Plan:
    """Simulate with the chunks as they are and place the buffers.

    Args:
        program: What to plan.
        max_taps: Non-zero weights of the largest output channel of a convolution in any member with this program.
        tile: Accumulators that a kernel makes at a time; it may read and write that many minus one too far.
    """
    trace = simulate(program)
    acc_values, scratch_bytes, even = 0, 0, max(2, tile)
    for step in program.steps:
        source = program.buffers[step.inputs[0]]
        if step.kind == "conv":
            run = conv_run(step, program, min(step.chunk, step.n_columns))
            acc_values = max(acc_values, -(-run // even) * even)
        elif step.kind == "max":
            scratch_bytes = max(scratch_bytes, source.n_rows + step.top + step.kernel_rows + 8)
        elif step.kind == "dense" and source.n_planes > 1:
            scratch_bytes = max(scratch_bytes, source.n_planes * source.n_rows)
    scratch_bytes = max(scratch_bytes, 4 * acc_values + TAP_BYTES * (max_taps + SPARE_TAPS))
    arena_bytes = place(program, trace, reserved_bytes=-(-scratch_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES)
    return Plan(program, trace, tile, acc_values, max_taps, arena_bytes + tile)
