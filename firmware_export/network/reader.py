"""Checks that every operator's translation shares: types, shapes, quantisation, weights.

What passes is what the generated C relies on; what does not is an error that names member, operator and tensor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asc.errors import ModelFileError
from edge_asc.tflite_file import Model, Operator, Tensor
from firmware_export.network.layers import Activation
from firmware_export.network.quantise import activation_range, product_scale, quantise_multiplier

_MAX_SIDE = 4096
"""Rows or columns of any map: the C tables hold them, and products of them, in 16 and 32 bits."""
_MAX_VECTOR = 65535
_MAX_ACCUMULATOR = 1 << 31
_CONVERT_INT8 = "Convert the member with the variant int8-dense or int8-sparse."


class Reader:
    """A model under translation: which operator, and the activations found so far."""

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
