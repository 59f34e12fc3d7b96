"""A whole ensemble as one TFLite file: one input, one signature, and the mean of the members as its output.

For programs that run one model and know nothing of bundles. Stock operators only: the members' outputs are
concatenated and averaged, in float also where the members are int8.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from edge_asc.errors import ModelFileError
from edge_asc.tflite_file.compact import write_compact
from edge_asc.tflite_file.model import Model, Operator, Quantization, Tensor
from edge_asc.tflite_file.read import read_model
from edge_asc.tflite_file.write import Signature

SIGNATURE = Signature(inputs=("features",), outputs=("probabilities",))


def merge_members(files: Sequence[bytes]) -> bytes:
    """One file that computes the mean of several.

    Args:
        files: Members with one input and one row of probabilities each, alike in shape, type and quantisation.
            Sparse ones stay sparse.

    Returns:
        A compact file. Its input is that of the members, its output float32 [1, n_labels].

    Raises:
        ModelFileError: A file is damaged, or the members do not take the same input or give the same output.
    """
    models = [read_model(data) for data in files]
    if not models:
        raise ModelFileError("no members to merge")
    sources = [_only(model, model.inputs, "input") for model in models]
    targets = [_only(model, model.outputs, "output") for model in models]
    for number, (source, target) in enumerate(zip(sources, targets, strict=True)):
        if _kind(source) != _kind(sources[0]) or _kind(target) != _kind(targets[0]) or len(target.shape) != 2:
            raise ModelFileError(f"member {number + 1} cannot share input and output with the first",
                                 found=f"{_kind(source)} -> {_kind(target)}",
                                 wanted=f"{_kind(sources[0])} -> {_kind(targets[0])}",
                                 fix="Convert all members of an ensemble in one go.")
    return write_compact(_merged(models), signature=SIGNATURE)


def _only(model: Model, indices: tuple[int, ...], what: str) -> Tensor:
    if len(indices) != 1:
        raise ModelFileError(f"a member has another number of {what}s", found=len(indices), wanted=1)
    return model.tensors[indices[0]]


def _kind(tensor: Tensor) -> tuple[object, ...]:
    quantization = tensor.quantization
    return (tensor.shape, tensor.dtype.name,
            quantization and (quantization.scale.tolist(), quantization.zero_point.tolist()))


def _merged(models: Sequence[Model]) -> Model:
    """The first tensor is the input of all; then each member's own tensors."""
    tensors = [dataclasses.replace(models[0].tensors[models[0].inputs[0]], index=0)]
    operators: list[Operator] = []
    outputs = []
    for model in models:
        place = {model.inputs[0]: 0, -1: -1}
        for tensor in model.tensors:
            if tensor.index not in place:
                place[tensor.index] = len(tensors)
                tensors.append(dataclasses.replace(tensor, index=len(tensors)))
        operators += [dataclasses.replace(operator, inputs=tuple(place[index] for index in operator.inputs),
                                          outputs=tuple(place[index] for index in operator.outputs))
                      for operator in model.operators]
        outputs.append(place[model.outputs[0]])
    return _with_mean(tensors, operators, outputs)


def _with_mean(tensors: list[Tensor], operators: list[Operator], outputs: list[int]) -> Model:
    def activation(shape: tuple[int, ...], dtype: np.dtype[np.generic], quantization: Quantization | None) -> int:
        tensors.append(Tensor(len(tensors), "", shape, dtype, None, False, quantization, dtype))
        return len(tensors) - 1

    row, float32 = tensors[outputs[0]], np.dtype("<f4")
    shape = (len(outputs), row.shape[1])
    rows = activation(shape, row.dtype, row.quantization)
    operators.append(Operator("CONCATENATION", 1 if row.dtype == float32 else 2, tuple(outputs), (rows,),
                              {"axis": 0, "fused_activation_function": "NONE"}))
    if row.dtype != float32:
        rows, narrow = activation(shape, float32, None), rows
        operators.append(Operator("DEQUANTIZE", 2, (narrow,), (rows,)))
    axis = np.zeros(1, np.int32)
    tensors.append(Tensor(len(tensors), "", (1,), axis.dtype, axis, False, None, axis.dtype, axis.nbytes))
    mean = activation((1, shape[1]), float32, None)
    operators.append(Operator("MEAN", 1, (rows, mean - 1), (mean,), {"keep_dims": True}))
    return Model(tuple(tensors), tuple(operators), (0,), (mean,), "")
