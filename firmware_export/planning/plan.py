"""When each step runs, how many columns every buffer must hold, and where the buffers lie in one static arena.

Execution is depth first over stripes of columns: of all steps that have enough input, the last one runs. So a map
never exists as a whole, only the columns that a later step still needs. The runner (asc_model.c) follows the same
rule, so what is counted here is what happens there.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_export.planning.lower import WINDOW, Program, Step

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
    piece_values: int | None = None
    """Values that a step makes at a time, whatever the arena takes; None: as many as pay for their RAM."""


FIRMWARE = Purpose(arena_bytes=49 * 512, tile=8)
"""With the window, the front end and the stack, 5V + 1I stay within 64 KiB."""
HOST = Purpose(arena_bytes=1 << 20, tile=64, piece_values=6000)
"""Pieces about as large as a cache of the first level. The arena's limit does not count then."""


@dataclass(frozen=True)
class Trace:
    """What a simulated run shows."""

    n_pieces: list[int]
    """Pieces per step."""
    busy: list[int]
    """Per buffer the pieces at which it holds something that is still read, as bits. One with padding is busy from its
    first write to its last read; another is free whenever all its columns are used up."""


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
        self.busy, self.busy_since = [0] * n_buffers, [NEVER] * n_buffers
        self.padded = [bool(b.row_pad or b.pad_left or b.pad_right) for b in self.buffers]
        for buffer in self.buffers:
            buffer.n_slots = 0

    def trace(self) -> Trace:
        start, now = len(self.steps) - 1, 0
        while self.done[-1] < self.steps[-1].n_columns:
            i, n = self.next_piece(start)
            self.run(i, n, now)
            start, now = max(i, self.last_reader[self.steps[i].output]), now + 1
        for b in range(len(self.buffers)):
            self.release(b, now)
        return Trace(self.n_pieces, self.busy)

    def release(self, b: int, now: int) -> None:
        """Note the pieces up to now at which a buffer was busy."""
        if self.busy_since[b] <= now:
            self.busy[b] |= (1 << (now + 1)) - (1 << self.busy_since[b])
            self.busy_since[b] = NEVER

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

    def oldest(self, b: int) -> int:
        """The first column of a buffer that is still read, or where the next will be written."""
        buffer, oldest = self.buffers[b], self.furthest[b]
        for r in self.readers[b]:
            step, done = self.steps[r], self.done[r]
            if done < step.n_columns:
                oldest = min(oldest, max(done * step.stride - step.left, -buffer.pad_left))
        return oldest

    def hold(self, b: int, end: int) -> None:
        """Make room in a buffer for all columns from the oldest that is still read up to `end`."""
        self.buffers[b].n_slots = max(self.buffers[b].n_slots, end - self.oldest(b))

    def run(self, i: int, n: int, now: int) -> None:
        """n more columns of step i."""
        step, done = self.steps[i], self.done[i] + n
        for b in self.sources[i]:
            # Padding on the right is appended when the first piece that reads it runs.
            buffer = self.buffers[b]
            self.hold(b, min((done - 1) * step.stride - step.left + step.reach, buffer.n_columns + buffer.pad_right))
        b, finished = step.output, done
        if step.kind == "dense":
            sums, finished = step.inputs[1], done // step.n_columns
            self.buffers[sums].n_slots = 1
            self.busy_since[sums] = min(self.busy_since[sums], now)
            if finished:
                self.release(sums, now)
        self.hold(b, max(self.furthest[b], finished))
        self.done[i] = done
        self.n_pieces[i] += 1
        self.furthest[b] = max(self.furthest[b], finished)
        self.least[b] = finished if len(self.writers[b]) == 1 else min(self.done[w] for w in self.writers[b])
        self.busy_since[b] = min(self.busy_since[b], now)
        for source in self.sources[i]:
            over = all(self.done[r] == self.steps[r].n_columns for r in self.readers[source])
            if over or (not self.padded[source] and self.oldest(source) == self.furthest[source]):
                self.release(source, now)


def simulate(program: Program) -> Trace:
    """Run without data. Sets `n_slots` of every buffer."""
    return _Run(program).trace()


def place(program: Program, trace: Trace, *, reserved_bytes: int) -> int:
    """Give every buffer its place behind the first `reserved_bytes` of the arena; those that are never busy together
    may share. Returns the bytes of the arena."""
    placed: list[tuple[int, int, int]] = []
    for index in sorted(range(len(program.buffers)), key=lambda b: (-program.buffers[b].n_bytes, b)):
        buffer, busy = program.buffers[index], trace.busy[index]
        n_bytes, at = -(-buffer.n_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES, reserved_bytes
        for begin, stop, other in sorted(placed):
            if busy & other:
                if at + n_bytes <= begin:
                    break
                at = max(at, stop)
        placed.append((at, at + n_bytes, busy))
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
    acc_values, scratch_bytes, even = 0, program.n_window_rows + 3, max(2, tile)
    for step in program.steps:
        source = program.buffers[step.inputs[0]]
        if step.kind == "conv":
            run = conv_run(step, program, min(step.chunk, step.n_columns))
            acc_values = max(acc_values, -(-run // even) * even)
        elif step.kind == "max":
            scratch_bytes = max(scratch_bytes, source.n_rows + step.top + step.kernel_rows + 32)
        elif step.kind == "dense" and source.n_planes > 1:
            scratch_bytes = max(scratch_bytes, source.n_planes * source.n_rows)
    scratch_bytes = max(scratch_bytes, 4 * acc_values + TAP_BYTES * (max_taps + SPARE_TAPS))
    arena_bytes = place(program, trace, reserved_bytes=-(-scratch_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES)
    return Plan(program, trace, tile, acc_values, max_taps, arena_bytes + max(16, tile))
