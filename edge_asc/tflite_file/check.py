"""Does the graph make sense? Order, arity, types and shapes, before any interpreter or exporter relies on them."""

from __future__ import annotations

import numpy as np

from edge_asc.errors import ModelFileError
from edge_asc.tflite_file.model import Model, Operator, Tensor

# operator -> least and most inputs
_N_INPUTS = {
    "ADD": (2, 2), "SUB": (2, 2), "MUL": (2, 2), "ADD_N": (1, 64), "CONCATENATION": (1, 64), "CONV_2D": (2, 3),
    "DEPTHWISE_CONV_2D": (2, 3), "FULLY_CONNECTED": (2, 3), "RESHAPE": (1, 2), "PAD": (2, 2), "MEAN": (2, 2),
}
_QUANTIZED = (np.dtype("i1"), np.dtype("u1"))
_SCALES = (1e-20, 1e20)
"""Beyond these, kernels meet multipliers that they cannot express."""
_LARGEST_RATIO = 1 << 16


def check(model: Model) -> None:
    """Raise ModelFileError unless every operator can run in the order in which they stand."""
    n_tensors = len(model.tensors)
    for name, indices in (("input", model.inputs), ("output", model.outputs)):
        if not indices:
            raise ModelFileError(f"the model has no {name}")
        for index in indices:
            _in_range(index, n_tensors, f"a model {name}")
    ready = {tensor.index for tensor in model.tensors if tensor.data is not None}
    if ready & set(model.inputs):
        raise ModelFileError("a model input is a constant", found=sorted(ready & set(model.inputs)))
    ready |= set(model.inputs)
    for index, operator in enumerate(model.operators):
        where = f"operator {index} ({operator.name})"
        _arity(operator, where)
        for each in operator.inputs:
            if each == -1 and operator.inputs.index(each) >= 2:
                continue
            _in_range(each, n_tensors, f"{where}: an input")
            if each not in ready:
                raise ModelFileError(f"{where} reads a tensor before anything writes it", found=each)
        for each in operator.outputs:
            _in_range(each, n_tensors, f"{where}: an output")
            if each in ready:
                raise ModelFileError(f"{where} writes a tensor that has a value already", found=each)
            ready.add(each)
        _fits(operator, [model.tensors[each] for each in operator.inputs if each >= 0],
              model.tensors[operator.outputs[0]], where)
    missing = set(model.outputs) - ready
    if missing:
        raise ModelFileError("a model output is never written", found=sorted(missing))


def _in_range(index: int, n_tensors: int, what: str) -> None:
    if not 0 <= index < n_tensors:
        raise ModelFileError(f"{what} is no tensor of this model", found=index, wanted=f"0..{n_tensors - 1}")


def _arity(operator: Operator, where: str) -> None:
    least, most = _N_INPUTS.get(operator.name, (1, 1))
    if not least <= len(operator.inputs) <= most or len(operator.outputs) != 1:
        raise ModelFileError(f"{where} has another number of inputs or outputs",
                             found=f"{len(operator.inputs)} and {len(operator.outputs)}",
                             wanted=f"{least}{f' to {most}' if most > least else ''} and 1")


def _fits(operator: Operator, inputs: list[Tensor], output: Tensor, where: str) -> None:
    for tensor in (*inputs, output):
        # The scales of sparse weights may stand only on what these two make of them.
        if tensor.dtype in _QUANTIZED and operator.name not in ("DENSIFY", "RESHAPE"):
            _quantized(tensor, where)
    _rescaling_fits(operator, inputs, output, where)
    _options_fit(operator, where)
    if operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        _convolution_fits(operator, inputs, output, where)
    elif operator.name == "FULLY_CONNECTED":
        weights = inputs[1]
        if len(weights.shape) != 2 or inputs[0].n_elements % weights.shape[1] or output.shape[-1:] != weights.shape[:1]:
            raise _unfit(where, [inputs[0].shape, weights.shape, output.shape])
        _bias_fits(inputs, weights.shape[0], where)
    elif operator.name in ("DENSIFY", "DEQUANTIZE", "QUANTIZE", "RELU", "RELU6", "LOGISTIC", "SOFTMAX"):
        if output.shape != inputs[0].shape:
            raise _unfit(where, [inputs[0].shape, output.shape])
        if operator.name == "DENSIFY" and (not inputs[0].is_sparse or output.dtype != inputs[0].dtype):
            raise ModelFileError(f"{where} needs a sparse constant", found=f"tensor {inputs[0].index}")
    elif operator.name == "RESHAPE":
        if output.n_elements != inputs[0].n_elements or output.dtype != inputs[0].dtype:
            raise _unfit(where, [inputs[0].shape, output.shape])
    elif operator.name == "CONCATENATION":
        _concatenation_fits(operator, inputs, output, where)
    elif operator.name in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
        _pooling_fits(operator, inputs[0].shape, output.shape, where)


def _quantized(tensor: Tensor, where: str) -> None:
    parameters = tensor.quantization
    if parameters is None:
        raise ModelFileError(f"{where}: a quantised tensor without quantisation parameters",
                             found=f"tensor {tensor.index}")
    limits = np.iinfo(tensor.dtype)
    if np.any(parameters.zero_point < limits.min) or np.any(parameters.zero_point > limits.max):
        raise ModelFileError(f"{where}: a zero point that tensor {tensor.index} cannot hold",
                             found=f"{parameters.zero_point.min()}..{parameters.zero_point.max()}",
                             wanted=f"{limits.min}..{limits.max}")
    # A channel of zeros may have a scale of zero.
    least = 0.0 if tensor.data is not None else _SCALES[0]
    if np.any(parameters.scale < least) or np.any(parameters.scale > _SCALES[1]):
        raise ModelFileError(f"{where}: an impossible quantisation scale of tensor {tensor.index}",
                             found=f"{parameters.scale.min()}..{parameters.scale.max()}", wanted=f"{_SCALES}")


def _rescaling_fits(operator: Operator, inputs: list[Tensor], output: Tensor, where: str) -> None:
    """Kernels turn the ratio of scales into a fixed-point number, and stop the process if it does not fit."""
    scales = [float(tensor.quantization.scale.max()) for tensor in inputs[:2] if tensor.quantization]
    if not scales or output.quantization is None or operator.name in ("DENSIFY", "RESHAPE"):
        return
    multiplies = operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MUL")
    ratio = (float(np.prod(scales)) if multiplies else max(scales)) / float(output.quantization.scale.min() or 1)
    if ratio > _LARGEST_RATIO:
        raise ModelFileError(f"{where}: quantisation scales that do not go together", found=f"a factor of {ratio:.3g}",
                             wanted=f"at most {_LARGEST_RATIO}")


def _number(operator: Operator, name: str, default: int = 1) -> int:
    return int(operator.options.get(name, default))


def _options_fit(operator: Operator, where: str) -> None:
    for name, value in operator.options.items():
        if name in ("stride_w", "stride_h", "filter_width", "filter_height", "dilation_w_factor", "dilation_h_factor",
                    "depth_multiplier") and not 1 <= int(value) <= 1 << 16:
            raise ModelFileError(f"{where}: impossible {name}", found=value, wanted="1 to 65536")
        if name == "beta" and not (np.isfinite(value) and float(value) > 0):
            raise ModelFileError(f"{where}: impossible beta", found=value, wanted="above 0")
        if name in ("weights_format", "quantized_bias_type") and value not in (0, 2):
            raise ModelFileError(f"{where}: unsupported {name}", found=value, wanted=0)


def _spatial(operator: Operator, shape: tuple[int, ...], height: int, width: int) -> tuple[int, ...]:
    """Height and width that an operator with a sliding window makes of its input."""
    sizes = []
    for size, kernel, axis in ((shape[1], height, "h"), (shape[2], width, "w")):
        stride = _number(operator, f"stride_{axis}")
        extent = (kernel - 1) * _number(operator, f"dilation_{axis}_factor") + 1
        covered = size if operator.options["padding"] == "SAME" else size - extent + 1
        sizes.append(-(-covered // stride))
    return tuple(sizes)


def _convolution_fits(operator: Operator, inputs: list[Tensor], output: Tensor, where: str) -> None:
    source, weights = inputs[0].shape, inputs[1].shape
    if len(source) != 4 or len(weights) != 4 or len(output.shape) != 4:
        raise _unfit(where, [source, weights, output.shape])
    depthwise = operator.name == "DEPTHWISE_CONV_2D"
    n_channels = weights[3] if depthwise else weights[0]
    wanted_in = source[3] * _number(operator, "depth_multiplier") if depthwise else weights[3]
    found_in = n_channels if depthwise else source[3]
    if found_in != wanted_in or output.shape != (source[0], *_spatial(operator, source, weights[1], weights[2]),
                                                 n_channels):
        raise _unfit(where, [source, weights, output.shape])
    _bias_fits(inputs, n_channels, where)


def _pooling_fits(operator: Operator, source: tuple[int, ...], output: tuple[int, ...], where: str) -> None:
    height, width = _number(operator, "filter_height"), _number(operator, "filter_width")
    if len(source) != 4 or output != (source[0], *_spatial(operator, source, height, width), source[3]):
        raise _unfit(where, [source, output])


def _bias_fits(inputs: list[Tensor], n_channels: int, where: str) -> None:
    if len(inputs) > 2 and inputs[2].n_elements != n_channels:
        raise ModelFileError(f"{where}: a bias that does not fit", found=inputs[2].shape, wanted=(n_channels,))
    wanted = np.dtype("i4") if inputs[0].dtype == np.int8 else inputs[0].dtype
    if inputs[1].dtype != inputs[0].dtype or (len(inputs) > 2 and inputs[2].dtype != wanted):
        raise ModelFileError(f"{where}: a mixture of types that is not supported",
                             found=", ".join(str(tensor.dtype) for tensor in inputs))


def _concatenation_fits(operator: Operator, inputs: list[Tensor], output: Tensor, where: str) -> None:
    rank = len(output.shape)
    axis = _number(operator, "axis", 0)
    if not -rank <= axis < rank or any(len(tensor.shape) != rank for tensor in inputs):
        raise _unfit(where, [tensor.shape for tensor in (*inputs, output)])
    shape = list(inputs[0].shape)
    shape[axis] = sum(tensor.shape[axis] for tensor in inputs)
    same = all(tensor.shape[dim] == shape[dim] for tensor in inputs for dim in range(rank) if dim != axis % rank)
    if not same or tuple(shape) != output.shape:
        raise _unfit(where, [tensor.shape for tensor in (*inputs, output)])


def _unfit(where: str, shapes: list[tuple[int, ...]]) -> ModelFileError:
    return ModelFileError(f"{where}: shapes that do not fit", found=" ".join(str(shape) for shape in shapes))
