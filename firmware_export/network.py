"""TFLite file -> plain layers, with everything checked that the generated C relies on.

Only int8 networks of known operators come through; whatever else is an error that names member, operator and tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asc.errors import ModelFileError
from edge_asc.tflite_file import Model, Operator, Tensor, read_model
from firmware_export.layers import (
    Activation,
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
from firmware_export.quantise import activation_range, product_scale, quantise_multiplier, softmax_numbers

_MAX_SIDE = 4096
"""Rows or columns of any map: the C tables hold them, and products of them, in 16 and 32 bits."""
_MAX_VECTOR = 65535
_MAX_ACCUMULATOR = 1 << 31
_CONVERT_INT8 = "Convert the member with the variant int8-dense or int8-sparse."


def read_network(data: bytes, *, name: str) -> Network:
    """Read a member's .tflite file (sparse or dense).

    Args:
        data: The file.
        name: The member, for messages.

    Raises:
        ModelFileError: The file is damaged, or has an operator, a type or a quantisation that the C code has not.
    """
    return translate(read_model(data), name=name)


def translate(model: Model, *, name: str) -> Network:
    """The same from a model that is read already."""
    return _Reader(model, name).network()


class _Reader:
    def __init__(self, model: Model, member: str) -> None:
        self.model, self.member = model, member
        self.activations: dict[int, Activation] = {}
        self.operator: Operator | None = None

    def error(self, what: str, tensor: int | None = None, *, found: object = None, wanted: object = None,
              fix: str | None = None) -> ModelFileError:
        where = f"member {self.member}"
        if self.operator is not None:
            where += f", operator {self.operator.name}"
            tensor = self.operator.outputs[0] if tensor is None else tensor
        if tensor is not None and 0 <= tensor < len(self.model.tensors):
            where += f", tensor {tensor} ({self.model.tensors[tensor].name!r})"
        return ModelFileError(f"{where}: {what}", found=found, wanted=wanted, fix=fix)

    def network(self) -> Network:
        model = self.model
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise self.error("a network needs one input and one output",
                             found=f"{len(model.inputs)} and {len(model.outputs)}")
        entry, exit_ = model.inputs[0], model.outputs[0]
        self.activations[entry] = self.activation(entry)
        layers = []
        for operator in model.operators:
            self.operator = operator
            translate = _TRANSLATORS.get(operator.name)
            if translate is None:
                raise self.error("the C kernels have no such operator", found=operator.name,
                                 wanted=", ".join(sorted(_TRANSLATORS)))
            if len(operator.outputs) != 1 or operator.outputs[0] in self.activations:
                raise self.error("an operator needs one output that no other writes", found=operator.outputs)
            self.activations[operator.outputs[0]] = self.activation(operator.outputs[0])
            layers.append(translate(self, operator, f"{operator.name} {operator.outputs[0]}"))
        self.operator = None
        if exit_ not in self.activations or exit_ == entry:
            raise self.error("no operator writes the output", exit_)
        if self.activations[exit_].shape[1:] != (1, 1):
            raise self.error("the output is not a vector", exit_, found=model.tensors[exit_].shape,
                             wanted="(1, labels)")
        used = {index for layer in layers for index in layer.inputs} | {exit_}
        if unused := set(self.activations) - used:
            raise self.error("nothing reads this tensor", min(unused))
        return Network(self.member, self.activations, tuple(layers), entry, exit_)

    def activation(self, index: int) -> Activation:
        tensor = self.tensor(index)
        shape = tensor.shape
        if tensor.data is not None or tensor.dtype != np.int8:
            raise self.error("not an int8 activation", index, found=f"{tensor.dtype}" if tensor.data is None else
                             "a constant", wanted="int8", fix=_CONVERT_INT8)
        if len(shape) == 2 and shape[0] == 1:
            rows_columns_channels = (shape[1], 1, 1)
        elif len(shape) == 4 and shape[0] == 1:
            rows_columns_channels = (shape[1], shape[2], shape[3])
        else:
            raise self.error("a shape that the C code has not", index, found=shape,
                             wanted="(1, n) or (1, rows, columns, channels)")
        most = _MAX_VECTOR if len(shape) == 2 else _MAX_SIDE
        if min(rows_columns_channels) < 1 or max(rows_columns_channels) > most:
            raise self.error("an impossible size", index, found=shape, wanted=f"1 to {most} along each axis")
        quantization = tensor.quantization
        if quantization is None or len(quantization.scale) != 1 or len(quantization.zero_point) != 1:
            raise self.error("not quantised as a whole", index, wanted="one scale and one zero point",
                             fix=_CONVERT_INT8)
        scale, zero_point = np.float32(quantization.scale[0]), int(quantization.zero_point[0])
        if not (np.isfinite(scale) and scale > 0 and -128 <= zero_point <= 127):
            raise self.error("an impossible quantisation", index, found=f"scale {scale}, zero point {zero_point}")
        return Activation(index, tensor.name, rows_columns_channels, scale, zero_point)

    def tensor(self, index: int) -> Tensor:
        if not 0 <= index < len(self.model.tensors):
            raise self.error("an input is left out")
        return self.model.tensors[index]

    def source(self, operator: Operator, position: int = 0) -> Activation:
        index = operator.inputs[position] if position < len(operator.inputs) else -1
        self.tensor(index)
        if index not in self.activations:
            raise self.error("an input that no earlier operator writes", index)
        return self.activations[index]

    def target(self, operator: Operator) -> Activation:
        return self.activations[operator.outputs[0]]

    def expect_shape(self, operator: Operator, wanted: tuple[int, int, int]) -> None:
        found = self.target(operator).shape
        if found != wanted:
            raise self.error("the output has another shape than the operator makes", found=found, wanted=wanted)

    def same_quantisation(self, a: Activation, b: Activation) -> None:
        if a.scale != b.scale or a.zero_point != b.zero_point:
            raise self.error("input and output are quantised differently", a.index,
                             found=f"{a.scale}, {a.zero_point}", wanted=f"{b.scale}, {b.zero_point}")

    def clamp(self, operator: Operator) -> dict[str, Any]:
        name, target = str(operator.options.get("fused_activation_function", "NONE")), self.target(operator)
        found = activation_range(name, scale=target.scale, zero_point=target.zero_point)
        if found is None:
            raise self.error("the C kernels have no such activation", found=name)
        return {"low": found[0], "high": found[1]}

    def option(self, operator: Operator, name: str, *, most: int = 255) -> int:
        value = operator.options.get(name)
        if not isinstance(value, int) or not 1 <= value <= most:
            raise self.error(f"an impossible {name}", found=value, wanted=f"1 to {most}")
        return value

    def weights(self, operator: Operator) -> tuple[Tensor, dict[str, Any]]:
        """The int8 weights and, per output channel, bias, multiplier and shift."""
        source, target, tensor = self.source(operator), self.target(operator), self.tensor(operator.inputs[1])
        axis = 3 if operator.name == "DEPTHWISE_CONV_2D" else 0
        n_axes = 2 if operator.name == "FULLY_CONNECTED" else 4
        if tensor.data is None or tensor.dtype != np.int8 or len(tensor.shape) != n_axes:
            raise self.error("weights that are not constant int8", tensor.index, found=f"{tensor.dtype} {tensor.shape}",
                             fix=_CONVERT_INT8)
        quantization, n = tensor.quantization, tensor.shape[axis]
        scales = None if quantization is None else np.asarray(quantization.scale, np.float32)
        if quantization is None or scales is None or len(scales) not in (1, n) or quantization.zero_point.any() or \
                not (np.isfinite(scales) & (scales > 0)).all() or (len(scales) > 1 and quantization.axis != axis):
            raise self.error("weights that are not quantised symmetrically per output channel", tensor.index)
        pairs = [quantise_multiplier(product_scale(source.scale, scales[i % len(scales)], target.scale))
                 for i in range(n)]
        bias = self.bias(operator, n)
        bound = np.abs(tensor.data.astype(np.int64)).sum(axis=tuple(i for i in range(n_axes) if i != axis)) * 255
        bound = (bound + np.abs(bias)) * np.array([1 << max(0, shift) for _, shift in pairs], object)
        if max(bound, default=0) >= _MAX_ACCUMULATOR:
            raise self.error("accumulators may not fit into 32 bits", tensor.index, found=f"up to {max(bound)}")
        return tensor, {"bias": bias, "multipliers": np.array([m for m, _ in pairs], np.int64),
                        "shifts": np.array([s for _, s in pairs], np.int64)}

    def bias(self, operator: Operator, n: int) -> NDArray[np.int64]:
        if len(operator.inputs) < 3 or operator.inputs[2] == -1:
            return np.zeros(n, np.int64)
        tensor = self.tensor(operator.inputs[2])
        if tensor.data is None or tensor.dtype != np.int32 or tensor.n_elements != n:
            raise self.error("a bias that is not constant int32, one per output", tensor.index,
                             found=f"{tensor.dtype} {tensor.shape}", wanted=f"({n},)")
        return tensor.data.reshape(n).astype(np.int64)

    def extent(self, operator: Operator, kernel: tuple[int, int], stride: tuple[int, int]) -> \
            tuple[int, int, tuple[int, int, int, int]]:
        """Rows and columns of the output and the padding on the four sides, as TFLite counts them."""
        sides, pads = [], []
        for size, k, s in zip(self.source(operator).shape[:2], kernel, stride, strict=True):
            if operator.options.get("padding") == "SAME":
                n = -(-size // s)
                pad = max(0, (n - 1) * s + k - size)
            else:
                n, pad = (size - k) // s + 1, 0
            if n < 1:
                raise self.error("the kernel is larger than its input", found=kernel)
            sides.append(n)
            pads += [pad // 2, pad - pad // 2]
        return sides[0], sides[1], (pads[0], pads[1], pads[2], pads[3])

    def convolution(self, operator: Operator, name: str) -> Layer:
        source, (tensor, numbers) = self.source(operator), self.weights(operator)
        assert tensor.data is not None
        dilation = (self.option(operator, "dilation_h_factor"), self.option(operator, "dilation_w_factor"))
        stride = (self.option(operator, "stride_h", most=16), self.option(operator, "stride_w", most=16))
        weights, multiplier = tensor.data, 0
        if operator.name == "DEPTHWISE_CONV_2D":
            weights = np.moveaxis(weights, 3, 0)[..., None][:, 0]
            multiplier = weights.shape[0] // source.shape[2]
            if tensor.shape[0] != 1 or multiplier * source.shape[2] != weights.shape[0]:
                raise self.error("depthwise weights that do not fit the input", tensor.index, found=tensor.shape)
        elif weights.shape[3] != source.shape[2]:
            raise self.error("weights for another number of channels", tensor.index, found=weights.shape[3],
                             wanted=source.shape[2])
        reach = ((weights.shape[1] - 1) * dilation[0] + 1, (weights.shape[2] - 1) * dilation[1] + 1)
        if max(reach) > 255:
            raise self.error("a kernel that is too large", tensor.index, found=reach, wanted="at most 255")
        rows, columns, pad = self.extent(operator, reach, stride)
        self.expect_shape(operator, (rows, columns, weights.shape[0]))
        return Conv(name=name, inputs=(source.index,), output=operator.outputs[0], stride=stride, dilation=dilation,
                    weights=np.ascontiguousarray(weights), pad=pad, depth_multiplier=multiplier, **numbers,
                    **self.clamp(operator))

    def dense(self, operator: Operator, name: str) -> Layer:
        source, (tensor, numbers) = self.source(operator), self.weights(operator)
        assert tensor.data is not None
        if operator.options.get("weights_format", 0) != 0 or tensor.shape[1] != source.n_values:
            raise self.error("weights that do not fit the input", tensor.index, found=tensor.shape,
                             wanted=f"(n, {source.n_values})")
        self.expect_shape(operator, (tensor.shape[0], 1, 1))
        return Dense(name=name, inputs=(source.index,), output=operator.outputs[0], weights=tensor.data, **numbers,
                     **self.clamp(operator))

    def pool(self, operator: Operator, name: str) -> Layer:
        source = self.source(operator)
        kernel = (self.option(operator, "filter_height"), self.option(operator, "filter_width"))
        stride = (self.option(operator, "stride_h"), self.option(operator, "stride_w"))
        rows, columns, pad = self.extent(operator, kernel, stride)
        self.expect_shape(operator, (rows, columns, source.shape[2]))
        self.same_quantisation(source, self.target(operator))
        return Pool(name=name, inputs=(source.index,), output=operator.outputs[0], kernel=kernel, stride=stride,
                    kind="max" if operator.name == "MAX_POOL_2D" else "average", pad=(pad[0], pad[2]),
                    **self.clamp(operator))

    def concat(self, operator: Operator, name: str) -> Layer:
        sources = [self.source(operator, i) for i in range(len(operator.inputs))]
        target, axis = self.target(operator), operator.options.get("axis")
        if axis not in (3, -1) or any(len(self.tensor(s.index).shape) != 4 for s in sources):
            raise self.error("only channels can be concatenated", found=f"axis {axis}", wanted="axis 3 of 4")
        if operator.options.get("fused_activation_function", "NONE") != "NONE":
            raise self.error("an activation is fused into a concatenation")
        for source in sources:
            self.same_quantisation(source, target)
            if source.shape[:2] != sources[0].shape[:2]:
                raise self.error("inputs of different sizes", source.index, found=source.shape, wanted=sources[0].shape)
        self.expect_shape(operator, (*sources[0].shape[:2], sum(s.shape[2] for s in sources)))
        return Concat(name=name, inputs=tuple(s.index for s in sources), output=target.index)

    def reshape(self, operator: Operator, name: str) -> Layer:
        source, target = self.source(operator), self.target(operator)
        self.same_quantisation(source, target)
        if target.shape not in (source.shape, (source.n_values, 1, 1)):
            raise self.error("a map can only be flattened", found=target.shape, wanted=(source.n_values, 1, 1))
        return Reshape(name=name, inputs=(source.index,), output=target.index)

    def pad(self, operator: Operator, name: str) -> Layer:
        source, table = self.source(operator), self.tensor(operator.inputs[1])
        self.same_quantisation(source, self.target(operator))
        if table.data is None or table.shape != (4, 2) or table.data[[0, 3]].any() or (table.data < 0).any() or \
                table.data.max() > 255:
            raise self.error("only rows and columns can be padded", table.index)
        top, bottom, left, right = (int(n) for n in table.data[1:3].reshape(4))
        rows, columns, channels = source.shape
        self.expect_shape(operator, (rows + top + bottom, columns + left + right, channels))
        return Pad(name=name, inputs=(source.index,), output=operator.outputs[0], pad=(top, bottom, left, right))

    def rescale(self, operator: Operator, name: str) -> Layer:
        source, target = self.source(operator), self.target(operator)
        self.expect_shape(operator, source.shape)
        if operator.name == "RELU6":
            # TFLite Micro clamps here and does not rescale, TFLite does both: one answer only where they agree.
            self.same_quantisation(source, target)
        real = float(source.scale) / float(target.scale)
        multiplier, shift = quantise_multiplier(real)
        if not -31 <= shift <= 20:
            raise self.error("scales that are too far apart", found=real)
        function = "NONE" if operator.name == "QUANTIZE" else operator.name
        bounds = activation_range(function, scale=target.scale, zero_point=target.zero_point)
        assert bounds is not None
        return Rescale(name=name, inputs=(source.index,), output=target.index, multiplier=multiplier, shift=shift,
                       low=bounds[0], high=bounds[1])

    def operands(self, operator: Operator) -> tuple[Activation, np.float32, Activation | NDArray[np.int64]]:
        """The first input, the second's scale, and the second: an activation or a constant for each channel."""
        constants = [self.tensor(index).data is not None for index in operator.inputs]
        if len(constants) != 2 or all(constants):
            raise self.error("two inputs are wanted, one of them not constant", found=operator.inputs)
        if any(constants):
            tensor = self.tensor(operator.inputs[constants.index(True)])
            source = self.source(operator, constants.index(False))
            scale, values = self.channel_constant(tensor, source)
            self.expect_shape(operator, source.shape)
            return source, scale, values
        a, b = self.source(operator, 0), self.source(operator, 1)
        if a.shape != b.shape:
            raise self.error("inputs of different shapes", found=a.shape, wanted=b.shape)
        self.expect_shape(operator, a.shape)
        return a, b.scale, b

    def channel_constant(self, tensor: Tensor, source: Activation) -> tuple[np.float32, NDArray[np.int64]]:
        assert tensor.data is not None
        quantization, n_channels = tensor.quantization, source.shape[2]
        if tensor.dtype != np.int8 or quantization is None or len(quantization.scale) != 1 or \
                not (np.isfinite(quantization.scale[0]) and quantization.scale[0] > 0):
            raise self.error("a constant that is not quantised as a whole to int8", tensor.index)
        if tensor.n_elements not in (1, n_channels) or tensor.shape[-1:] not in ((1,), (n_channels,), ()):
            raise self.error("only one constant for all or one for each channel can be applied", tensor.index,
                             found=tensor.shape, wanted=f"({n_channels},)")
        values = tensor.data.reshape(-1).astype(np.int64) - int(quantization.zero_point[0])
        return np.float32(quantization.scale[0]), np.broadcast_to(values, (n_channels,))

    def add(self, operator: Operator, name: str) -> Layer:
        (a, scale, b), target = self.operands(operator), self.target(operator)
        scales = [float(a.scale), float(scale)]
        twice_larger = 2 * max(scales)
        pairs = [quantise_multiplier(real) for real in (
            float(a.scale) / twice_larger, float(scale) / twice_larger, twice_larger / (2**20 * float(target.scale)))]
        if any(shift > 0 for _, shift in pairs):
            raise self.error("scales that are too far apart", found=(*scales, target.scale))
        inputs, constant = ((a.index,), b) if isinstance(b, np.ndarray) else ((a.index, b.index), None)
        (m0, s0), (m1, s1), (m2, s2) = pairs
        return Add(name=name, inputs=inputs, output=target.index, multipliers=(m0, m1, m2), shifts=(s0, s1, s2),
                   constant=constant, **self.clamp(operator))

    def multiply(self, operator: Operator, name: str) -> Layer:
        (a, scale, b), target = self.operands(operator), self.target(operator)
        if not isinstance(b, np.ndarray):
            raise self.error("the C kernels multiply by constants only", found="two activations")
        multiplier, shift = quantise_multiplier(product_scale(a.scale, scale, target.scale))
        if not -31 <= shift <= 14:
            raise self.error("scales that are too far apart", found=(a.scale, scale, target.scale))
        return Multiply(name=name, inputs=(a.index,), output=target.index, multiplier=multiplier, shift=shift,
                        constant=b, **self.clamp(operator))

    def softmax(self, operator: Operator, name: str) -> Layer:
        source, target = self.source(operator), self.target(operator)
        self.expect_shape(operator, source.shape)
        if source.shape[1:] != (1, 1) or source.shape[0] > 255:
            raise self.error("softmax of something else than a vector of at most 255", found=source.shape)
        if target.zero_point != -128 or target.scale != np.float32(1 / 256):
            raise self.error("an impossible output quantisation", found=f"{target.scale}, {target.zero_point}",
                             wanted="1/256, -128")
        beta = operator.options.get("beta")
        multiplier, shift, least = softmax_numbers(float(beta or 0), source.scale)
        if not isinstance(beta, float) or not 0 < beta < 1e6 or not 0 <= shift <= 31:
            raise self.error("an impossible beta", found=beta)
        return Softmax(name=name, inputs=(source.index,), output=target.index, multiplier=multiplier, shift=shift,
                       least_difference=least)


_TRANSLATORS: dict[str, Callable[[_Reader, Operator, str], Layer]] = {
    "CONV_2D": _Reader.convolution, "DEPTHWISE_CONV_2D": _Reader.convolution, "FULLY_CONNECTED": _Reader.dense,
    "MAX_POOL_2D": _Reader.pool, "AVERAGE_POOL_2D": _Reader.pool, "CONCATENATION": _Reader.concat,
    "RESHAPE": _Reader.reshape, "PAD": _Reader.pad, "QUANTIZE": _Reader.rescale, "RELU": _Reader.rescale,
    "RELU6": _Reader.rescale, "ADD": _Reader.add, "MUL": _Reader.multiply, "SOFTMAX": _Reader.softmax,
}
