"""Layers -> steps over buffers, the form that the C runner executes a few columns at a time.

A buffer holds one or more maps as channel planes of whole columns, lowest row first, so that a convolution's taps
are fixed distances and neighbouring outputs neighbouring bytes. What a step needs of its input is only a range of
columns; that is all the planner has to know. Padding is bytes that stand in the buffers, except for pools, which
leave it out. Concatenation and flattening cost nothing: their inputs are written where they are read.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from firmware_export.network.layers import (
    Add,
    Concat,
    Conv,
    Dense,
    Layer,
    Multiply,
    Network,
    Pad,
    Pool,
    Rescale,
    Reshape,
    Softmax,
)

WINDOW = -1
"""As a step's input: the window of features, not a buffer."""


DENSE_STATE_BYTES = 12
"""What a dense layer keeps between pieces beside its sums: its place among the weights."""


@dataclass
class Buffer:
    """Columns of one map, or of several side by side as planes. The planner fills in the last two fields."""

    activation: int
    n_planes: int
    n_rows: int
    n_columns: int
    pad_left: int = 0
    pad_right: int = 0
    row_pad: int = 0
    """Fill between neighbouring columns, enough for the taps above and below: both share it."""
    n_slots: int = 0
    """Columns held at most."""
    at: int = 0
    """Byte in the arena of the first plane's first row."""

    @property
    def pitch(self) -> int:
        """Bytes from a column to the next."""
        return self.n_rows + self.row_pad

    @property
    def plane_bytes(self) -> int:
        """Bytes from a channel to the next."""
        return self.n_slots * self.pitch

    @property
    def n_bytes(self) -> int:
        """Arena bytes, the fill above the first row included."""
        return self.row_pad + self.n_planes * self.plane_bytes


@dataclass
class Step:
    """One operator. Output column c needs the input columns from c * stride - left on, `reach` of them. A dense layer
    counts input columns: each is added to sums (its second input), and the output appears after the last."""

    kind: str
    """conv, dense, max, average, stage, flatten, affine, add, rescale or softmax."""
    layers: tuple[int, ...]
    """The layers whose numbers it uses; none for a stage."""
    inputs: tuple[int, ...]
    output: int
    n_columns: int
    """Output columns in all."""
    reach: int = 1
    stride: int = 1
    left: int = 0
    first_plane: int = 0
    """Where in the output buffer: not 0 for all but one part of a concatenation."""
    input_plane: int = 0
    n_planes: int = 0
    """Output planes."""
    n_rows: int = 0
    """Output rows."""
    kernel_rows: int = 1
    row_stride: int = 1
    top: int = 0
    pool: int = 1
    """Convolution: 2 if the maxima of 2 x 2 are taken before requantising."""
    phases: tuple[int, int] = (1, 1)
    """Stage: rows and columns that are dealt out to planes of their own, for a strided convolution."""
    chunk: int = 1
    """Output columns at a time. The planner's choice."""


@dataclass
class Program:
    """What the planner orders and the runner runs."""

    n_window_rows: int
    buffers: list[Buffer] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)


def lower(network: Network) -> Program:
    """The steps of a network in an order in which they could run one after the other."""
    return _Lowering(network).program()


class _Lowering:
    def __init__(self, network: Network) -> None:
        self.network = network
        self.result = Program(network.activations[network.input].shape[0])
        self.place: dict[int, tuple[int, int]] = {}
        """Activation -> buffer and first plane."""
        self.done: set[int] = set()
        self.readers: dict[int, list[int]] = {}
        for position, layer in enumerate(network.layers):
            for index in layer.inputs:
                self.readers.setdefault(index, []).append(position)
        self.concats: dict[int, tuple[int, int]] = {}

    def program(self) -> Program:
        for layer in self.network.layers:
            if isinstance(layer, Concat):
                self.claim(layer)
        for position, layer in enumerate(self.network.layers):
            if position not in self.done:
                self.layer(position, layer)
        for step in self.result.steps:
            if step.kind == "conv":
                held = self.result.buffers[step.inputs[0]]
                last = (step.n_columns - 1) * step.stride - step.left + step.reach
                held.pad_right = max(held.pad_right, last - held.n_columns)
        self.order()
        return self.result

    def order(self) -> None:
        """Of branches that run side by side until their outputs meet, the one that looks furthest ahead comes last: the
        planner then lets it run first, and the others do not fill the common buffer while it waits for input."""
        steps, scale, ahead, lag = self.result.steps, {WINDOW: 1}, [0] * len(self.result.steps), {WINDOW: 0}
        for i, step in enumerate(steps):
            columns = max(scale[index] for index in step.inputs if index in scale)
            ahead[i] = max(lag[index] for index in step.inputs if index in lag)
            ahead[i] += max(0, step.reach - 1 - step.left) * columns
            lag[step.output] = max(lag.get(step.output, 0), ahead[i])
            scale[step.output] = columns * step.stride
        met = list(ahead)
        for i in reversed(range(len(steps))):
            output = steps[i].output
            readers = [met[k] for k, step in enumerate(steps) if output in step.inputs]
            if readers and sum(step.output == output for step in steps) == 1:
                met[i] = min(readers)
        self.result.steps = [steps[i] for i in sorted(range(len(steps)), key=lambda i: met[i])]

    def claim(self, layer: Concat) -> None:
        """Inputs that only this concatenation reads are written straight into it."""
        first = 0
        for index in layer.inputs:
            alone = self.readers[index] == [self.network.layers.index(layer)] and index != self.network.input
            made_by = next((la for la in self.network.layers if la.output == index), None)
            if alone and not isinstance(made_by, Concat | Reshape):
                self.concats[index] = (layer.output, first)
            first += self.network.activations[index].shape[2]

    def sole_reader(self, activation: int) -> Layer | None:
        readers = self.readers.get(activation, [])
        return self.network.layers[readers[0]] if len(readers) == 1 and activation != self.network.output else None

    def layer(self, position: int, layer: Layer) -> None:
        match layer:
            case Conv():
                self.convolution(position, layer)
            case Dense():
                self.dense(position, layer)
            case Pool():
                source = self.source(layer.inputs[0])
                self.step(layer.kind, (position,), source, layer.output, reach=layer.kernel[1], stride=layer.stride[1],
                          left=layer.pad[1], kernel_rows=layer.kernel[0], row_stride=layer.stride[0], top=layer.pad[0])
            case Concat():
                self.concat(layer)
            case Reshape():
                self.reshape(layer)
            case Pad():
                self.step("stage", (), self.source(layer.inputs[0]), layer.output, left=layer.pad[2], top=layer.pad[0])
            case Multiply() | Add() if layer.inputs[1:] == ():
                self.affine(position, layer)
            case Add():
                a, b = self.source(layer.inputs[0]), self.source(layer.inputs[1])
                if a[1] or b[1]:
                    a, b = self.copied(layer.inputs[0], a), self.copied(layer.inputs[1], b)
                self.step("add", (position,), a, layer.output, second=b[0])
            case Rescale():
                self.step("rescale", (position,), self.source(layer.inputs[0]), layer.output)
            case Softmax():
                self.step("softmax", (position,), self.source(layer.inputs[0]), layer.output)

    def concat(self, layer: Concat) -> None:
        first = 0
        for index in layer.inputs:
            n_planes = self.network.activations[index].shape[2]
            if index not in self.concats:
                self.step("stage", (), self.source(index), layer.output, first_plane=first, n_planes=n_planes)
            first += n_planes

    def source(self, activation: int) -> tuple[int, int]:
        """Buffer and first plane; the window is staged into a buffer when it is first read as one."""
        if activation == self.network.input and activation not in self.place:
            self.step("stage", (), (WINDOW, 0), activation)
        return self.place[activation]

    def buffer_for(self, activation: int) -> tuple[int, int]:
        owner, first = self.concats.get(activation, (activation, 0))
        if owner not in self.place:
            rows, columns, channels = self.network.activations[owner].shape
            self.result.buffers.append(Buffer(owner, channels, rows, columns))
            self.place[owner] = (len(self.result.buffers) - 1, 0)
        base = self.place[owner]
        self.place[activation] = (base[0], base[1] + first)
        return self.place[activation]

    def step(self, kind: str, layers: tuple[int, ...], source: tuple[int, int], output: int, *, first_plane: int = 0,
             second: int | None = None, n_planes: int | None = None, **geometry: int) -> None:
        buffer, plane = self.buffer_for(output)
        rows, columns, channels = self.network.activations[output].shape
        inputs = (source[0],) if second is None else (source[0], second)
        self.result.steps.append(Step(
            kind, layers, inputs, buffer, columns, n_rows=rows, n_planes=channels if n_planes is None else n_planes,
            input_plane=source[1], first_plane=plane + first_plane, **geometry))  # type: ignore[arg-type]

    def staged(self, source: tuple[int, int], activation: int, *, rows: int, columns: int,
               phases: tuple[int, int] = (1, 1), top: int = 0, left: int = 0) -> int:
        """A buffer of its own with another layout of an activation."""
        channels = self.network.activations[activation].shape[2]
        n_planes = channels * phases[0] * phases[1]
        self.result.buffers.append(Buffer(activation, n_planes, rows, columns))
        buffer = len(self.result.buffers) - 1
        self.result.steps.append(Step("stage", (), (source[0],), buffer, columns, reach=phases[1], stride=phases[1],
                                      left=left, n_planes=n_planes, n_rows=rows, top=top, phases=phases,
                                      input_plane=source[1]))
        return buffer

    def copied(self, activation: int, source: tuple[int, int]) -> tuple[int, int]:
        rows, columns, _ = self.network.activations[activation].shape
        return self.staged(source, activation, rows=rows, columns=columns), 0

    def convolution(self, position: int, layer: Conv) -> None:
        source = layer.inputs[0]
        rows, columns, _ = self.network.activations[layer.output].shape
        reach_rows, reach = ((k - 1) * d + 1 for k, d in zip(layer.weights.shape[1:3], layer.dilation, strict=True))
        top, _, left, _ = layer.pad
        if layer.stride != (1, 1):
            # Dealt out to one plane per phase, a strided convolution is one of stride 1 over smaller maps.
            taps_rows, taps = (-(-r // s) for r, s in zip((reach_rows, reach), layer.stride, strict=True))
            place = (WINDOW, 0) if source == self.network.input else self.place[source]
            buffer, plane = self.staged(place, source, rows=rows + taps_rows - 1, columns=columns + taps - 1,
                                        phases=layer.stride, top=top, left=left), 0
            reach_rows, reach, top, left = taps_rows, taps, 0, 0
        else:
            buffer, plane = self.source(source)
            held = self.result.buffers[buffer]
            held.row_pad, held.pad_left = max(held.row_pad, *layer.pad[:2]), max(held.pad_left, left)
        output, pool = layer.output, 1
        after = self.sole_reader(output)
        if isinstance(after, Pool) and self.fusible(after):
            output, pool = after.output, 2
            self.done.add(self.network.layers.index(after))
        self.step("conv", (position,), (buffer, plane), output, reach=reach + pool - 1, stride=pool, left=left, top=top,
                  kernel_rows=reach_rows, pool=pool)

    def fusible(self, pool: Pool) -> bool:
        rows, columns, _ = self.network.activations[pool.inputs[0]].shape
        n_rows, n_columns, _ = self.network.activations[pool.output].shape
        return pool.kind == "max" and pool.kernel == pool.stride == (2, 2) and pool.pad == (0, 0) and \
            (pool.low, pool.high) == (-128, 127) and n_rows * 2 <= rows and n_columns * 2 <= columns

    def dense(self, position: int, layer: Dense) -> None:
        activation = self.flattened_from(layer.inputs[0])
        source = self.source(activation)
        self.result.buffers.append(Buffer(layer.output, 1, 4 * layer.weights.shape[0] + DENSE_STATE_BYTES, 1))
        sums = len(self.result.buffers) - 1
        self.step("dense", (position,), source, layer.output, second=sums)
        self.result.steps[-1].n_columns = self.network.activations[activation].shape[1]

    def flattened_from(self, activation: int) -> int:
        """The map behind a flattened vector."""
        made_by = next((la for la in self.network.layers if la.output == activation), None)
        return self.flattened_from(made_by.inputs[0]) if isinstance(made_by, Reshape) else activation

    def reshape(self, layer: Reshape) -> None:
        source, target = (self.network.activations[i] for i in (layer.inputs[0], layer.output))
        if source.shape == target.shape:
            self.place[layer.output] = self.source(layer.inputs[0])
        elif layer.output == self.network.output or any(
                not isinstance(self.network.layers[reader], Dense) for reader in self.readers[layer.output]):
            self.step("flatten", (), self.source(layer.inputs[0]), layer.output, reach=source.shape[1])

    def affine(self, position: int, layer: Multiply | Add) -> None:
        """A multiplication and the addition after it, as batch normalisation leaves them, are one step."""
        layers: tuple[int, ...] = (position,)
        output, after = layer.output, self.sole_reader(layer.output)
        if isinstance(layer, Multiply) and isinstance(after, Add) and after.constant is not None:
            layers, output = (position, self.network.layers.index(after)), after.output
            self.done.add(layers[1])
        self.step("affine", layers, self.source(layer.inputs[0]), output)
