"""One function per operator of TFLite: a checked operator -> a plain layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge_asc.tflite_file import Operator, Tensor
from firmware_export.network.layers import (
    Activation,
    Add,
    Concat,
    Conv,
    Dense,
    Layer,
    Multiply,
    Pad,
    Pool,
    Rescale,
    Reshape,
    Softmax,
)
from firmware_export.network.quantise import activation_range, product_scale, quantise_multiplier, softmax_numbers
from firmware_export.network.reader import Reader

Translate = Callable[[Reader, Operator, str], Layer]


def _convolution(reader: Reader, operator: Operator, name: str) -> Layer:
    source, (tensor, numbers) = reader.source(operator), reader.weights(operator)
    assert tensor.data is not None
    dilation = (reader.option(operator, "dilation_h_factor"), reader.option(operator, "dilation_w_factor"))
    stride = (reader.option(operator, "stride_h", most=16), reader.option(operator, "stride_w", most=16))
    weights, multiplier = tensor.data, 0
    if operator.name == "DEPTHWISE_CONV_2D":
        weights = np.moveaxis(weights, 3, 0)[..., None][:, 0]
        multiplier = weights.shape[0] // source.shape[2]
        if tensor.shape[0] != 1 or multiplier * source.shape[2] != weights.shape[0]:
            raise reader.error("depthwise weights that do not fit the input", tensor.index, found=tensor.shape)
    elif weights.shape[3] != source.shape[2]:
        raise reader.error("weights for another number of channels", tensor.index, found=weights.shape[3],
                           wanted=source.shape[2])
    reach = ((weights.shape[1] - 1) * dilation[0] + 1, (weights.shape[2] - 1) * dilation[1] + 1)
    if max(reach) > 255:
        raise reader.error("a kernel that is too large", tensor.index, found=reach, wanted="at most 255")
    rows, columns, pad = reader.extent(operator, reach, stride)
    reader.expect_shape(operator, (rows, columns, weights.shape[0]))
    return Conv(name=name, inputs=(source.index,), output=operator.outputs[0], stride=stride, dilation=dilation,
                weights=np.ascontiguousarray(weights), pad=pad, depth_multiplier=multiplier, **numbers,
                **reader.clamp(operator))


def _dense(reader: Reader, operator: Operator, name: str) -> Layer:
    source, (tensor, numbers) = reader.source(operator), reader.weights(operator)
    assert tensor.data is not None
    if operator.options.get("weights_format", 0) != 0 or tensor.shape[1] != source.n_values:
        raise reader.error("weights that do not fit the input", tensor.index, found=tensor.shape,
                           wanted=f"(n, {source.n_values})")
    reader.expect_shape(operator, (tensor.shape[0], 1, 1))
    return Dense(name=name, inputs=(source.index,), output=operator.outputs[0], weights=tensor.data, **numbers,
                 **reader.clamp(operator))


def _pool(reader: Reader, operator: Operator, name: str) -> Layer:
    source = reader.source(operator)
    kernel = (reader.option(operator, "filter_height"), reader.option(operator, "filter_width"))
    stride = (reader.option(operator, "stride_h"), reader.option(operator, "stride_w"))
    rows, columns, pad = reader.extent(operator, kernel, stride)
    reader.expect_shape(operator, (rows, columns, source.shape[2]))
    reader.same_quantisation(source, reader.target(operator))
    return Pool(name=name, inputs=(source.index,), output=operator.outputs[0], kernel=kernel, stride=stride,
                kind="max" if operator.name == "MAX_POOL_2D" else "average", pad=(pad[0], pad[2]),
                **reader.clamp(operator))


def _concat(reader: Reader, operator: Operator, name: str) -> Layer:
    sources = [reader.source(operator, i) for i in range(len(operator.inputs))]
    target, axis = reader.target(operator), operator.options.get("axis")
    if axis not in (3, -1) or any(len(reader.tensor(s.index).shape) != 4 for s in sources):
        raise reader.error("only channels can be concatenated", found=f"axis {axis}", wanted="axis 3 of 4")
    if operator.options.get("fused_activation_function", "NONE") != "NONE":
        raise reader.error("an activation is fused into a concatenation")
    for source in sources:
        reader.same_quantisation(source, target)
        if source.shape[:2] != sources[0].shape[:2]:
            raise reader.error("inputs of different sizes", source.index, found=source.shape, wanted=sources[0].shape)
    reader.expect_shape(operator, (*sources[0].shape[:2], sum(s.shape[2] for s in sources)))
    return Concat(name=name, inputs=tuple(s.index for s in sources), output=target.index)


def _reshape(reader: Reader, operator: Operator, name: str) -> Layer:
    source, target = reader.source(operator), reader.target(operator)
    reader.same_quantisation(source, target)
    if target.shape not in (source.shape, (source.n_values, 1, 1)):
        raise reader.error("a map can only be flattened", found=target.shape, wanted=(source.n_values, 1, 1))
    return Reshape(name=name, inputs=(source.index,), output=target.index)


def _pad(reader: Reader, operator: Operator, name: str) -> Layer:
    source, table = reader.source(operator), reader.tensor(operator.inputs[1])
    reader.same_quantisation(source, reader.target(operator))
    if table.data is None or table.shape != (4, 2) or table.data[[0, 3]].any() or (table.data < 0).any() or \
            table.data.max() > 255:
        raise reader.error("only rows and columns can be padded", table.index)
    top, bottom, left, right = (int(n) for n in table.data[1:3].reshape(4))
    rows, columns, channels = source.shape
    reader.expect_shape(operator, (rows + top + bottom, columns + left + right, channels))
    return Pad(name=name, inputs=(source.index,), output=operator.outputs[0], pad=(top, bottom, left, right))


def _rescale(reader: Reader, operator: Operator, name: str) -> Layer:
    source, target = reader.source(operator), reader.target(operator)
    reader.expect_shape(operator, source.shape)
    if operator.name == "RELU6":
        # TFLite Micro clamps here and does not rescale, TFLite does both: one answer only where they agree.
        reader.same_quantisation(source, target)
    real = float(source.scale) / float(target.scale)
    multiplier, shift = quantise_multiplier(real)
    if not -31 <= shift <= 20:
        raise reader.error("scales that are too far apart", found=real)
    function = "NONE" if operator.name == "QUANTIZE" else operator.name
    bounds = activation_range(function, scale=target.scale, zero_point=target.zero_point)
    assert bounds is not None
    return Rescale(name=name, inputs=(source.index,), output=target.index, multiplier=multiplier, shift=shift,
                   low=bounds[0], high=bounds[1])


def _operands(reader: Reader, operator: Operator) -> tuple[Activation, np.float32, Activation | NDArray[np.int64]]:
    """The first input, the second's scale, and the second: an activation or a constant for each channel."""
    constants = [reader.tensor(index).data is not None for index in operator.inputs]
    if len(constants) != 2 or all(constants):
        raise reader.error("two inputs are wanted, one of them not constant", found=operator.inputs)
    if any(constants):
        tensor = reader.tensor(operator.inputs[constants.index(True)])
        source = reader.source(operator, constants.index(False))
        scale, values = _channel_constant(reader, tensor, source)
        reader.expect_shape(operator, source.shape)
        return source, scale, values
    a, b = reader.source(operator, 0), reader.source(operator, 1)
    if a.shape != b.shape:
        raise reader.error("inputs of different shapes", found=a.shape, wanted=b.shape)
    reader.expect_shape(operator, a.shape)
    return a, b.scale, b


def _channel_constant(reader: Reader, tensor: Tensor, source: Activation) -> tuple[np.float32, NDArray[np.int64]]:
    assert tensor.data is not None
    quantization, n_channels = tensor.quantization, source.shape[2]
    if tensor.dtype != np.int8 or quantization is None or len(quantization.scale) != 1 or \
            not (np.isfinite(quantization.scale[0]) and quantization.scale[0] > 0):
        raise reader.error("a constant that is not quantised as a whole to int8", tensor.index)
    if tensor.n_elements not in (1, n_channels) or tensor.shape[-1:] not in ((1,), (n_channels,), ()):
        raise reader.error("only one constant for all or one for each channel can be applied", tensor.index,
                           found=tensor.shape, wanted=f"({n_channels},)")
    values = tensor.data.reshape(-1).astype(np.int64) - int(quantization.zero_point[0])
    return np.float32(quantization.scale[0]), np.broadcast_to(values, (n_channels,))


def _add(reader: Reader, operator: Operator, name: str) -> Layer:
    (a, scale, b), target = _operands(reader, operator), reader.target(operator)
    scales = [float(a.scale), float(scale)]
    twice_larger = 2 * max(scales)
    pairs = [quantise_multiplier(real) for real in (
        float(a.scale) / twice_larger, float(scale) / twice_larger, twice_larger / (2**20 * float(target.scale)))]
    if any(shift > 0 for _, shift in pairs):
        raise reader.error("scales that are too far apart", found=(*scales, target.scale))
    inputs, constant = ((a.index,), b) if isinstance(b, np.ndarray) else ((a.index, b.index), None)
    (m0, s0), (m1, s1), (m2, s2) = pairs
    return Add(name=name, inputs=inputs, output=target.index, multipliers=(m0, m1, m2), shifts=(s0, s1, s2),
               constant=constant, **reader.clamp(operator))


def _multiply(reader: Reader, operator: Operator, name: str) -> Layer:
    (a, scale, b), target = _operands(reader, operator), reader.target(operator)
    if not isinstance(b, np.ndarray):
        raise reader.error("the C kernels multiply by constants only", found="two activations")
    multiplier, shift = quantise_multiplier(product_scale(a.scale, scale, target.scale))
    if not -31 <= shift <= 14:
        raise reader.error("scales that are too far apart", found=(a.scale, scale, target.scale))
    return Multiply(name=name, inputs=(a.index,), output=target.index, multiplier=multiplier, shift=shift,
                    constant=b, **reader.clamp(operator))


def _softmax(reader: Reader, operator: Operator, name: str) -> Layer:
    source, target = reader.source(operator), reader.target(operator)
    reader.expect_shape(operator, source.shape)
    if source.shape[1:] != (1, 1) or source.shape[0] > 255:
        raise reader.error("softmax of something else than a vector of at most 255", found=source.shape)
    if target.zero_point != -128 or target.scale != np.float32(1 / 256):
        raise reader.error("an impossible output quantisation", found=f"{target.scale}, {target.zero_point}",
                           wanted="1/256, -128")
    beta = operator.options.get("beta")
    multiplier, shift, least = softmax_numbers(float(beta or 0), source.scale)
    if not isinstance(beta, float) or not 0 < beta < 1e6 or not 0 <= shift <= 31:
        raise reader.error("an impossible beta", found=beta)
    return Softmax(name=name, inputs=(source.index,), output=target.index, multiplier=multiplier, shift=shift,
                   least_difference=least)


TRANSLATORS: dict[str, Translate] = {
    "CONV_2D": _convolution, "DEPTHWISE_CONV_2D": _convolution, "FULLY_CONNECTED": _dense,
    "MAX_POOL_2D": _pool, "AVERAGE_POOL_2D": _pool, "CONCATENATION": _concat,
    "RESHAPE": _reshape, "PAD": _pad, "QUANTIZE": _rescale, "RELU": _rescale,
    "RELU6": _rescale, "ADD": _add, "MUL": _multiply, "SOFTMAX": _softmax,
}
"""TFLite's name of an operator -> what makes a layer of it."""
