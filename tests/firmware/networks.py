"""Small int8 networks of every operator, built from a seed, and what TFLite Micro says about them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asc.tflite_file import Model, Operator, Quantization, Tensor, write_model

ROWS, COLUMNS, LABELS = 12, 23, 8


class Builder:
    """A network under construction; every method adds an operator and returns its output tensor."""

    def __init__(self, seed: int, *, rows: int = ROWS, columns: int = COLUMNS, density: float = 0.3) -> None:
        self.rng, self.density = np.random.default_rng(seed), density
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self.input = self.activation((1, rows, columns, 1), 0.5, int(self.rng.integers(-128, 128)))

    def tensor(self, shape: tuple[int, ...], dtype: Any, data: NDArray[Any] | None,
               quantization: Quantization | None) -> int:
        index = len(self.tensors)
        self.tensors.append(Tensor(index=index, name=f"t{index}", shape=shape, dtype=np.dtype(dtype), data=data,
                                   is_sparse=False, quantization=quantization, stored_dtype=np.dtype(dtype)))
        return index

    def activation(self, shape: tuple[int, ...], scale: float, zero_point: int) -> int:
        return self.tensor(shape, np.int8, None, Quantization(np.array([scale], np.float32),
                                                              np.array([zero_point], np.int64)))

    def shape(self, index: int) -> tuple[int, ...]:
        return self.tensors[index].shape

    def quantization(self, index: int) -> tuple[float, int]:
        found = self.tensors[index].quantization
        assert found is not None
        return float(found.scale[0]), int(found.zero_point[0])

    def constant(self, data: NDArray[Any], scale: NDArray[np.float32] | None = None, axis: int = 0) -> int:
        zero = None if scale is None else Quantization(scale, np.zeros(len(scale), np.int64), axis)
        return self.tensor(data.shape, data.dtype, data, zero)

    def add(self, name: str, inputs: tuple[int, ...], shape: tuple[int, ...], scale: float, zero_point: int, *,
            version: int = 1, **options: Any) -> int:
        output = self.activation(shape, scale, zero_point)
        self.operators.append(Operator(name, version, inputs, (output,), options))
        if name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "MUL"):
            self.settle(output)
        return output

    def settle(self, output: int) -> None:
        """Give an output a scale that it neither overflows nor leaves unused, as calibration would."""
        window = self.rng.integers(-128, 128, (1, *self.shape(self.input)[1:3])).astype(np.int8)
        for _ in range(12):
            scale, zero_point = self.quantization(output)
            values = judged(self.bytes(output), window)
            above, spread = float((values == 127).mean()), float(values.std())
            if 0 < above < 0.2 or (above == 0 and spread > 20):
                return
            scale *= 1.7 if above else 0.6
            self.tensors[output] = dataclasses.replace(self.tensors[output], quantization=Quantization(
                np.array([scale], np.float32), np.array([zero_point], np.int64)))

    def weights(self, source: int, shape: tuple[int, ...], axis: int, per_channel: bool) -> tuple[int, int, float]:
        """Weights and bias with their tensors, and a scale for an output that fills its range."""
        n, n_inputs = shape[axis], int(np.prod(shape)) // shape[axis]
        values = self.rng.integers(-127, 128, shape)
        values[self.rng.random(shape) >= self.density] = 0
        values = values.astype(np.int8)
        scales = self.rng.uniform(0.002, 0.02, n if per_channel else 1).astype(np.float32)
        spread = 40 * 70 * np.sqrt(max(1.0, self.density * n_inputs))
        bias = self.rng.normal(0, spread / 2, n).astype(np.int32)
        output_scale = float(self.quantization(source)[0] * scales.mean() * spread / 50)
        return self.constant(values, scales, axis), self.constant(bias), output_scale

    def zero_point(self, activation: str) -> int:
        return -128 if activation.startswith("RELU") and self.rng.random() < 0.7 else int(self.rng.integers(-100, 100))

    def conv(self, source: int, channels: int, kernel: tuple[int, int] = (3, 3), *, stride: tuple[int, int] = (1, 1),
             padding: str = "SAME", dilation: tuple[int, int] = (1, 1), activation: str = "RELU",
             depthwise: bool = False, per_channel: bool = True) -> int:
        _, rows, columns, n_inputs = self.shape(source)
        shape = (1, *kernel, n_inputs * channels) if depthwise else (channels, *kernel, n_inputs)
        weights, bias, scale = self.weights(source, shape, 3 if depthwise else 0, per_channel)
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        size = [-(-n // s) if padding == "SAME" else (n - r) // s + 1
                for n, r, s in zip((rows, columns), reach, stride, strict=True)]
        options: dict[str, Any] = {
            "padding": padding, "stride_h": stride[0], "stride_w": stride[1], "dilation_h_factor": dilation[0],
            "dilation_w_factor": dilation[1], "fused_activation_function": activation}
        if depthwise:
            options["depth_multiplier"] = channels
        return self.add("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", (source, weights, bias),
                        (1, size[0], size[1], n_inputs * channels if depthwise else channels), scale,
                        self.zero_point(activation), version=3, **options)

    def dense(self, source: int, n: int, *, activation: str = "NONE", per_channel: bool = False) -> int:
        n_inputs = int(np.prod(self.shape(source)))
        weights, bias, scale = self.weights(source, (n, n_inputs), 0, per_channel)
        return self.add("FULLY_CONNECTED", (source, weights, bias), (1, n), scale, self.zero_point(activation),
                        version=4, fused_activation_function=activation, weights_format=0, keep_num_dims=False)

    def pool(self, source: int, kind: str = "MAX", kernel: tuple[int, int] = (2, 2), *,
             stride: tuple[int, int] = (2, 2), padding: str = "VALID", activation: str = "NONE") -> int:
        _, rows, columns, channels = self.shape(source)
        size = [-(-n // s) if padding == "SAME" else (n - k) // s + 1
                for n, k, s in zip((rows, columns), kernel, stride, strict=True)]
        return self.add(f"{kind}_POOL_2D", (source,), (1, size[0], size[1], channels), *self.quantization(source),
                        version=2, padding=padding, stride_h=stride[0], stride_w=stride[1], filter_height=kernel[0],
                        filter_width=kernel[1], fused_activation_function=activation)

    def concat(self, *sources: int) -> int:
        shapes = [self.shape(source) for source in sources]
        return self.add("CONCATENATION", sources, (*shapes[0][:3], sum(shape[3] for shape in shapes)),
                        *self.quantization(sources[0]), version=2, axis=3, fused_activation_function="NONE")

    def requantized(self, source: int, like: int) -> int:
        return self.add("QUANTIZE", (source,), self.shape(source), *self.quantization(like))

    def relu(self, source: int, name: str = "RELU") -> int:
        scale, zero_point = self.quantization(source)
        if name == "RELU":
            scale, zero_point = scale * 0.8, int(self.rng.integers(-128, -60))
        return self.add(name, (source,), self.shape(source), scale, zero_point, version=2)

    def sum(self, a: int, b: int, activation: str = "NONE") -> int:
        scale = 1.3 * max(self.quantization(a)[0], self.quantization(b)[0])
        return self.add("ADD", (a, b), self.shape(a), scale, self.zero_point(activation), version=2,
                        fused_activation_function=activation)

    def channel_constant(self, source: int, name: str, *, activation: str = "NONE", n: int | None = None) -> int:
        scale, _ = self.quantization(source)
        values = self.rng.integers(-128, 128, self.shape(source)[3] if n is None else n).astype(np.int8)
        own = np.array([0.015 if name == "MUL" else scale], np.float32)
        constant = self.tensor(values.shape, np.int8, values,
                               Quantization(own, np.array([int(self.rng.integers(-30, 30))], np.int64)))
        return self.add(name, (source, constant), self.shape(source), scale * 1.2, self.zero_point(activation),
                        version=2, fused_activation_function=activation)

    def pad(self, source: int, amounts: tuple[int, int, int, int]) -> int:
        top, bottom, left, right = amounts
        _, rows, columns, channels = self.shape(source)
        table = self.constant(np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32))
        return self.add("PAD", (source, table), (1, rows + top + bottom, columns + left + right, channels),
                        *self.quantization(source), version=2)

    def flat(self, source: int) -> int:
        n = int(np.prod(self.shape(source)))
        shape = self.constant(np.array([1, n], np.int32))
        return self.add("RESHAPE", (source, shape), (1, n), *self.quantization(source))

    def softmax(self, source: int, beta: float = 1.0) -> int:
        return self.add("SOFTMAX", (source,), self.shape(source), 1 / 256, -128, version=2, beta=beta)

    def model(self, output: int) -> Model:
        return Model(tensors=tuple(self.tensors), operators=tuple(self.operators), inputs=(self.input,),
                     outputs=(output,), description="")

    def bytes(self, output: int) -> bytes:
        return write_model(self.model(output))


def _vgg(b: Builder) -> int:
    x = b.pool(b.conv(b.conv(b.input, 5), 6))
    x = b.pool(b.conv(x, 7, activation="NONE"))
    return b.softmax(b.dense(b.dense(b.flat(b.conv(x, 6, (1, 1))), 9, activation="RELU"), LABELS), 1 / 40)


def _inception(b: Builder) -> int:
    x = b.pool(b.conv(b.input, 6, (7, 7), stride=(2, 2)), kernel=(3, 3), padding="SAME")
    x = b.channel_constant(b.channel_constant(x, "MUL"), "ADD")
    one = b.conv(b.conv(x, 4, (1, 1)), 5)
    two = b.requantized(b.conv(b.conv(x, 4, (1, 1)), 3, (5, 5)), one)
    three = b.requantized(b.conv(b.pool(x, kernel=(3, 3), stride=(1, 1), padding="SAME"), 4, (1, 1)), one)
    x = b.pool(b.concat(one, two, three), kernel=(3, 3), padding="SAME")
    return b.dense(b.flat(b.pool(x, "AVERAGE", (3, 3), padding="SAME")), LABELS, per_channel=True)


def _residual(b: Builder) -> int:
    x = b.conv(b.input, 6, (3, 4), activation="RELU6")
    y = b.sum(x, b.conv(b.conv(x, 5, (3, 3), dilation=(2, 1), activation="NONE"), 6, (1, 3)), "RELU")
    z = b.relu(b.sum(y, x), "RELU6")
    return b.dense(b.pool(b.relu(z), "AVERAGE", (4, 5), stride=(3, 2)), LABELS)


def _depthwise(b: Builder) -> int:
    x = b.conv(b.input, 2, depthwise=True)
    x = b.conv(b.conv(x, 2, (3, 3), stride=(2, 1), depthwise=True, activation="RELU6"), 7, (1, 1))
    x = b.conv(x, 1, (5, 3), stride=(2, 3), depthwise=True, padding="VALID")
    return b.dense(b.channel_constant(x, "MUL", activation="RELU", n=1), LABELS)


def _padded(b: Builder) -> int:
    x = b.conv(b.pad(b.input, (1, 2, 0, 3)), 5, (3, 3), stride=(2, 2), padding="VALID")
    x = b.pool(b.pad(x, (0, 1, 2, 1)), kernel=(3, 2), stride=(1, 2), padding="SAME", activation="RELU")
    x = b.channel_constant(b.conv(x, 4, (2, 2), per_channel=False, activation="RELU_N1_TO_1"), "ADD")
    x = b.pool(b.concat(x, x), "AVERAGE", (2, 3), stride=(2, 3))
    return b.softmax(b.flat(b.conv(x, LABELS, (4, 2), padding="VALID", activation="NONE")), 0.1)


SHAPES = {"vgg": _vgg, "inception": _inception, "residual": _residual, "depthwise": _depthwise, "padded": _padded}
"""Between them every operator, every padding, strides, dilation and every way in which a buffer has several readers."""


def network_bytes(shape: str, seed: int, *, density: float = 0.3) -> bytes:
    """The TFLite file of one of SHAPES."""
    builder = Builder(seed, density=density)
    return builder.bytes(SHAPES[shape](builder))


def judged(data: bytes, windows: NDArray[np.int8]) -> NDArray[np.int8]:
    """What TFLite Micro answers: [n, labels] for [n, rows, columns]."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(data, arena_size=1 << 20)
    answers = []
    for window in windows:
        interpreter.set_input(window[np.newaxis, ..., np.newaxis], 0)
        interpreter.invoke()
        answers.append(interpreter.get_output(0)[0].copy())
    return np.stack(answers)
