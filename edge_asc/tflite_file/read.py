"""Bytes of a TFLite file -> Model, or an error: everything an interpreter would trip over is looked at first."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from edge_asc.errors import ModelFileError
from edge_asc.tflite_file import schema, sparsity
from edge_asc.tflite_file.check import check
from edge_asc.tflite_file.flatbuffer import Table, parse
from edge_asc.tflite_file.model import Model, Operator, Quantization, Tensor

MAX_RANK = 8
MAX_TENSOR_ELEMENTS = 1 << 28
"""Activations larger than this are refused: an interpreter would try to allocate them."""


def read_model(data: bytes, *, raw: bool = False) -> Model:
    """Read a network.

    Constants behind DENSIFY, RESHAPE and float16 DEQUANTIZE operators are computed and the operators left out, so
    that a sparse, a compacted and a dense file of the same network read alike. `raw` keeps them.

    Raises:
        ModelFileError: The bytes are damaged, or the network has an operator, an option or a tensor type that is
            not supported; the message names it.
    """
    root = parse(data)
    graph = only_graph(root)
    tensors = tuple(_tensor(index, table, root.value("buffers")) for index, table in enumerate(graph.value("tensors")))
    names = [_operator_name(code) for code in root.value("operator_codes")]
    operators = tuple(_operator(index, table, names) for index, table in enumerate(graph.value("operators")))
    model = Model(tensors, operators, _indices(graph, "inputs"), _indices(graph, "outputs"), root.value("description"))
    check(model)
    return model if raw else _fold(model)


def only_graph(root: Table) -> Table:
    """The file's one subgraph, after a look at what surrounds it."""
    if root.value("version") != schema.SCHEMA_VERSION:
        raise ModelFileError("the model file has another schema version", found=root.value("version"),
                             wanted=schema.SCHEMA_VERSION)
    if len(root.value("subgraphs")) != 1:
        raise ModelFileError("the model file has another number of subgraphs", found=len(root.value("subgraphs")),
                             wanted=1)
    for index, buffer in enumerate(root.value("buffers")):
        if buffer.value("offset") or buffer.value("size"):
            raise ModelFileError(f"buffer {index} is stored outside the FlatBuffer, which is not supported")
    graph: Table = root.value("subgraphs")[0]
    return graph


def _operator_name(code: Table) -> str:
    # Numbers above 127 only fit the newer field; the interpreter takes the larger of the two.
    number = max(int(code.value("deprecated_builtin_code")), int(code.value("builtin_code")))
    if number not in schema.OPERATORS:
        custom = code.value("custom_code")
        raise ModelFileError("the model uses an operator that is not supported",
                             found=f"custom operator {custom!r}" if custom else f"built-in operator number {number}",
                             wanted=", ".join(sorted(schema.OPERATORS.values())))
    return f"{schema.OPERATORS[number]}:{code.value('version')}"


def _indices(table: Table, name: str) -> tuple[int, ...]:
    return tuple(table.value(name).tolist())


def _operator(index: int, table: Table, names: list[str]) -> Operator:
    opcode = int(table.value("opcode_index"))
    if opcode >= len(names):
        raise ModelFileError(f"operator {index} names an operator code that is not there", found=opcode,
                             wanted=f"below {len(names)}")
    name, _, version = names[opcode].partition(":")
    where = f"operator {index} ({name})"
    for part in ("custom_options", "mutating_variable_inputs", "intermediates"):
        if len(table.value(part)):
            raise ModelFileError(f"{where} has {part}, which are not supported")
    if table.value("large_custom_options_offset") or table.value("builtin_options_2_type"):
        raise ModelFileError(f"{where} has options of a kind that is not supported")
    number = int(table.value("builtin_options_type"))
    absent = number == 0 and name in schema.OPTIONAL_OPTIONS
    if not absent and number != schema.OPTIONS_OF.get(name, number):
        raise ModelFileError(f"{where} has the options of another operator", found=number,
                             wanted=schema.OPTIONS_OF[name])
    options: dict[str, int | float | str | bool] = {}
    if number:
        options_table = table.get("builtin_options")
        if options_table is None:
            raise ModelFileError(f"{where} announces options that are not there")
        options = _options(options_table, where)
    return Operator(name, int(version), _indices(table, "inputs"), _indices(table, "outputs"), options)


def _options(table: Table, where: str) -> dict[str, int | float | str | bool]:
    options: dict[str, int | float | str | bool] = {}
    for entry in schema.TABLES[table.kind]:
        if entry.kind != "scalar":
            continue
        value = table.value(entry.name)
        words = {"padding": schema.PADDINGS, "fused_activation_function": schema.ACTIVATIONS}.get(entry.name)
        if words is not None and value not in words:
            raise ModelFileError(f"{where}: impossible {entry.name}", found=value, wanted=words)
        options[entry.name] = words[value] if words is not None else value
    return options


def _tensor(index: int, table: Table, buffers: list[Table]) -> Tensor:
    where = f"tensor {index}"
    dtype = schema.TENSOR_TYPES.get(int(table.value("type")))
    if dtype is None:
        raise ModelFileError(f"{where} has a type that is not supported", found=f"type number {table.value('type')}",
                             wanted=", ".join(str(each) for each in schema.TENSOR_TYPES.values()))
    shape = _indices(table, "shape")
    if len(shape) > MAX_RANK or any(size < 1 for size in shape):
        raise ModelFileError(f"{where} has an impossible shape", found=shape, wanted=f"up to {MAX_RANK} sizes from 1")
    n_elements = 1
    for size in shape:
        n_elements *= size
    if n_elements > MAX_TENSOR_ELEMENTS:
        raise ModelFileError(f"{where} is too large", found=shape, wanted=f"at most {MAX_TENSOR_ELEMENTS} elements")
    if table.value("is_variable"):
        raise ModelFileError(f"{where} is a variable, which is not supported")
    number = int(table.value("buffer"))
    if number >= max(1, len(buffers)):
        raise ModelFileError(f"{where} names a buffer that is not there", found=number, wanted=f"below {len(buffers)}")
    stored = buffers[number].get("data") if number else None
    data, stored_bytes = None, 0
    if stored is not None and len(stored):
        if len(stored) % dtype.itemsize:
            raise ModelFileError(f"{where}: its buffer is no whole number of values", found=f"{len(stored)} bytes",
                                 wanted=f"a multiple of {dtype.itemsize}")
        values = np.frombuffer(stored, dtype)
        stored_bytes = values.nbytes
        if "sparsity" in table:
            stored_bytes += sparsity.index_bytes(table["sparsity"])
            data = sparsity.expand(values, shape, table["sparsity"], where=where)
        elif values.size == n_elements:
            data = values.reshape(shape)
        else:
            raise ModelFileError(f"{where}: its buffer does not fit its shape {shape}", found=values.size,
                                 wanted=f"{n_elements} values")
        data.flags.writeable = False
    return Tensor(index, table.value("name"), shape, dtype, data, data is not None and "sparsity" in table,
                  _quantization(table.get("quantization"), shape, where), dtype, stored_bytes)


def _quantization(table: Table | None, shape: tuple[int, ...], where: str) -> Quantization | None:
    if table is None or len(table.value("scale")) == 0:
        return None
    scale, zero_point, axis = table["scale"], table.value("zero_point"), int(table.value("quantized_dimension"))
    # A scale that is a constant of another dimension never matches; a scalar has one scale and no axis.
    n_wanted = {1} | ({shape[axis]} if 0 <= axis < len(shape) else set())
    if axis < 0 or axis >= max(1, len(shape)) or scale.size not in n_wanted or zero_point.size != scale.size:
        raise ModelFileError(f"{where}: quantisation does not fit its shape {shape}",
                             found=f"{scale.size} scales and {zero_point.size} zero points along dimension {axis}")
    if not np.all(np.isfinite(scale)) or np.any(scale < 0):
        raise ModelFileError(f"{where}: a quantisation scale is negative or not a number")
    return Quantization(scale, zero_point, axis)


def _fold(model: Model) -> Model:
    tensors, kept = list(model.tensors), []
    for operator in model.operators:
        source = tensors[operator.inputs[0]] if operator.inputs else None
        widens = operator.name == "DEQUANTIZE" and source is not None and source.dtype == np.float16
        if source is None or source.data is None or not (operator.name in ("DENSIFY", "RESHAPE") or widens):
            kept.append(operator)
            continue
        target = tensors[operator.outputs[0]]
        data: Any = source.data.astype(target.dtype).reshape(target.shape)
        data.flags.writeable = False
        tensors[target.index] = dataclasses.replace(
            target, data=data, is_sparse=source.is_sparse, quantization=target.quantization or source.quantization,
            stored_dtype=source.stored_dtype, stored_bytes=source.stored_bytes)
    for operator in kept:
        if operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") and len(operator.inputs) > 2:
            _restore_bias_scale(tensors, operator)
    kept = [_without_shape(operator, tensors) for operator in kept]
    return _renumber(tensors, kept, model)


def _without_shape(operator: Operator, tensors: list[Tensor]) -> Operator:
    """A RESHAPE without its second input, a constant that says what the output's shape says too."""
    if operator.name == "RESHAPE" and len(operator.inputs) == 2 and tensors[operator.inputs[1]].data is not None:
        return dataclasses.replace(operator, inputs=operator.inputs[:1])
    return operator


def _restore_bias_scale(tensors: list[Tensor], operator: Operator) -> None:
    """Compacted files leave the scale of a bias out: it is that of the input times that of the weights."""
    if operator.inputs[2] < 0:
        return
    activation, weights, bias = (tensors[index] for index in operator.inputs[:3])
    if bias.dtype != np.int32 or bias.quantization or not activation.quantization or not weights.quantization:
        return
    scale = (activation.quantization.scale * weights.quantization.scale).astype(np.float32)
    tensors[bias.index] = dataclasses.replace(
        bias, quantization=Quantization(scale, np.zeros(scale.size, np.int64), 0))


def _renumber(tensors: list[Tensor], operators: list[Operator], model: Model) -> Model:
    used = set(model.inputs) | set(model.outputs)
    for operator in operators:
        used |= set(operator.inputs) | set(operator.outputs)
    place = {old: new for new, old in enumerate(sorted(used - {-1}))} | {-1: -1}

    def moved(indices: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(place[index] for index in indices)

    return Model(
        tuple(dataclasses.replace(tensors[old], index=new) for old, new in place.items() if old >= 0),
        tuple(dataclasses.replace(each, inputs=moved(each.inputs), outputs=moved(each.outputs)) for each in operators),
        moved(model.inputs), moved(model.outputs), model.description)
