"""Where two networks begin to differ: every layer's output, side by side, in units of its quantisation step.

A network is made to give out all its layers by naming them as outputs of the file. Unlike an interpreter's option to
preserve tensors this works with a delegate, in tflite-runtime and in TFLite Micro alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asc.errors import ModelFileError
from edge_asc.parity.results import LayerGap
from edge_asc.quantization import quantize
from edge_asc.tflite_file import Model, Operator, Tensor, read_model, write_model

Float32 = NDArray[np.float32]

FLOAT_STEP = 2.0**-14
"""What stands for the quantisation step of a float layer, as a part of the layer's largest magnitude."""
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")


def stored_input(model: Model, windows: Float32) -> NDArray[Any]:
    """Windows [n, n_mels, n_frames] -> [n, n_mels, n_frames, 1] of the network's input type."""
    tensor = model.tensors[model.inputs[0]]
    values: NDArray[Any] = np.asarray(windows, np.float32)[..., np.newaxis]
    if tensor.dtype == np.int8:
        scale, zero_point = scale_of(tensor)
        values = quantize(values, scale=scale, zero_point=zero_point)
    return values


def real(values: NDArray[Any], tensor: Tensor) -> Float32:
    """What stored values of a tensor stand for."""
    if values.dtype == np.float32:
        return values
    scale, zero_point = scale_of(tensor)
    return ((values.astype(np.int32) - zero_point) * np.float32(scale)).astype(np.float32)


def scale_of(tensor: Tensor) -> tuple[float, int]:
    """Step and zero point of a whole tensor."""
    if tensor.quantization is None or tensor.quantization.scale.size != 1:
        raise ModelFileError(f"tensor {tensor.index} has no quantisation parameters, or one for each channel")
    return float(tensor.quantization.scale[0]), int(tensor.quantization.zero_point[0])


def exposed(data: bytes) -> tuple[bytes, list[tuple[Operator, Tensor]]]:
    """The same network with the output of every layer as an output, in the order in which they are computed."""
    model = read_model(data)
    layers = [(operator, model.tensors[index]) for operator in model.operators for index in operator.outputs]
    return write_model(dataclasses.replace(model, outputs=tuple(tensor.index for _, tensor in layers))), layers


def severed(data: bytes) -> tuple[bytes, list[int]]:
    """The same operators, each for itself: its inputs are inputs of the file, its output is an output.

    Returns:
        The file, and for each of its inputs the tensor of the network, by its index, that belongs there.
    """
    model = read_model(data)
    tensors, copies, operators = list(model.tensors), dict(zip(model.inputs, model.inputs, strict=True)), []
    for operator in model.operators:
        for index in operator.inputs:
            if index >= 0 and tensors[index].data is None and index not in copies:
                copies[index] = len(tensors)
                tensors.append(dataclasses.replace(tensors[index], index=len(tensors)))
        operators.append(dataclasses.replace(operator, inputs=tuple(copies.get(i, i) for i in operator.inputs)))
    alone = dataclasses.replace(model, tensors=tuple(tensors), operators=tuple(operators),
                                inputs=tuple(copies.values()),
                                outputs=tuple(index for operator in operators for index in operator.outputs))
    return write_model(alone), list(copies)


def gaps(layers: Sequence[tuple[Operator, Tensor]], found: Sequence[NDArray[Any]], wanted: Sequence[NDArray[Any]],
         wanted_layers: Sequence[tuple[Operator, Tensor]]) -> list[LayerGap]:
    """Layer by layer, how far `found` is from `wanted`, in steps of the tensors of `found`.

    Args:
        layers, found: A network's layers and their outputs as stored, [n, ...] each.
        wanted, wanted_layers: Those of the other network; the same one on another engine, or its float original.

    Raises:
        ModelFileError: The two do not have the same layers.
    """
    ours, theirs = _matched(layers, found), _matched(wanted_layers, wanted)
    if [_kind(layer) for layer, _ in ours] != [_kind(layer) for layer, _ in theirs]:
        raise ModelFileError("the two networks do not have the same layers", found=len(ours), wanted=len(theirs))
    result = []
    for position, ((layer, mine), (other, others)) in enumerate(zip(ours, theirs, strict=True)):
        operator, tensor = layer
        a, b = real(mine, tensor), real(others, other[1])
        step = scale_of(tensor)[0] if mine.dtype != np.float32 else float(np.abs(b).max()) * FLOAT_STEP
        difference = np.abs(a.astype(np.float64) - b) / (step or 1.0)
        result.append(LayerGap(position=position, operator=operator.name, shape=tensor.shape[1:], step=step,
                               is_int8=mine.dtype == np.int8, n_values=mine.size,
                               n_different=int(np.count_nonzero(difference)),
                               largest_steps=float(difference.max()), mean_steps=float(difference.mean())))
    return result


def _matched(layers: Sequence[tuple[Operator, Tensor]], outputs: Sequence[NDArray[Any]]
             ) -> list[tuple[tuple[Operator, Tensor], NDArray[Any]]]:
    return [(layer, output) for layer, output in zip(layers, outputs, strict=True) if layer[0].name not in _CONVERSIONS]


def _kind(layer: tuple[Operator, Tensor]) -> tuple[str, tuple[int, ...]]:
    return layer[0].name, layer[1].shape
