"""Sparse files -> stock dense ones, in memory, when they are loaded.

Interpreters keep sparse weights dense anyway, and XNNPACK refuses int8 weights that a DENSIFY operator makes. With
the weights expanded and the operator gone, every delegate takes the file, at dense speed.
"""

from __future__ import annotations

import numpy as np

from edge_asc.tflite_file import schema
from edge_asc.tflite_file.flatbuffer import Table, parse, serialize
from edge_asc.tflite_file.model import Model, Tensor
from edge_asc.tflite_file.read import only_graph, read_model


def is_sparse(data: bytes) -> bool:
    """Whether the file has sparse tensors."""
    return any("sparsity" in tensor for tensor in only_graph(parse(data)).value("tensors"))


def densify(data: bytes) -> bytes:
    """The same network with dense weights and without DENSIFY: what the default delegate accepts.

    float16 weights stay float16 behind their DEQUANTIZE operators. What `compact` left out because stock
    kernels do not read it, but delegates do (the scales of biases), is there again.

    Raises:
        ModelFileError: The file is damaged or has an unsupported part.
    """
    return write_model(read_model(data))


def write_model(model: Model) -> bytes:
    """A stock TFLite file of a network as `read_model` gives it: all constants dense."""
    writer = _Builder()
    for tensor in model.tensors:
        writer.tensor(tensor)
    for operator in model.operators:
        writer.operator(operator.name, operator.version, list(operator.inputs), list(operator.outputs),
                        _options_table(operator.name, operator.options, model.tensors[operator.outputs[0]]))
    return serialize(writer.root(model))


class _Builder:
    def __init__(self) -> None:
        self.buffers = [Table("Buffer")]
        self.tensors: list[Table] = []
        self.widened: list[Table] = []
        self.operators: list[Table] = []
        self.codes: list[tuple[str, int]] = []

    def tensor(self, tensor: Tensor) -> None:
        table = Table("Tensor", shape=np.array(tensor.shape, np.int32), type=schema.TENSOR_TYPE_CODES[tensor.dtype],
                      has_rank=True)
        if tensor.name:
            table["name"] = tensor.name
        if tensor.quantization:
            table["quantization"] = Table(
                "QuantizationParameters", scale=tensor.quantization.scale, zero_point=tensor.quantization.zero_point,
                quantized_dimension=tensor.quantization.axis)
        self.tensors.append(table)
        if tensor.data is None:
            return
        if tensor.stored_dtype == tensor.dtype:
            table["buffer"] = self.buffer(tensor.data.tobytes())
        else:
            self.widened.append(Table("Tensor", shape=table["shape"], has_rank=True,
                                      type=schema.TENSOR_TYPE_CODES[tensor.stored_dtype],
                                      buffer=self.buffer(tensor.data.astype(tensor.stored_dtype).tobytes()),
                                      target=tensor.index))

    def buffer(self, content: bytes) -> int:
        self.buffers.append(Table("Buffer", data=np.frombuffer(content, np.uint8)))
        return len(self.buffers) - 1

    def operator(self, name: str, version: int, inputs: list[int], outputs: list[int], options: Table | None) -> None:
        if (name, version) not in self.codes:
            self.codes.append((name, version))
        table = Table("Operator", opcode_index=self.codes.index((name, version)), inputs=np.array(inputs, np.int32),
                      outputs=np.array(outputs, np.int32))
        if options is not None:
            table |= {"builtin_options_type": schema.OPTIONS_OF[name], "builtin_options": options}
        self.operators.append(table)

    def root(self, model: Model) -> Table:
        steps, self.operators = self.operators, []
        for widened in self.widened:
            target = widened.pop("target")
            self.tensors.append(widened)
            self.operator("DEQUANTIZE", 3, [len(self.tensors) - 1], [target], Table("DequantizeOptions"))
        graph = Table("SubGraph", tensors=self.tensors, operators=self.operators + steps,
                      inputs=np.array(model.inputs, np.int32), outputs=np.array(model.outputs, np.int32))
        codes = []
        for name, version in self.codes:
            number = schema.OPERATOR_CODES[name]
            codes.append(Table("OperatorCode", deprecated_builtin_code=min(number, 127), builtin_code=number,
                               version=version))
        return Table("Model", version=schema.SCHEMA_VERSION, operator_codes=codes, subgraphs=[graph],
                     buffers=self.buffers, description=model.description)


def _options_table(name: str, options: dict[str, int | float | str | bool], output: Tensor) -> Table | None:
    number = schema.OPTIONS_OF.get(name)
    if number is None:
        return None
    table = Table(schema.BUILTIN_OPTIONS[number])
    words = {"padding": schema.PADDINGS, "fused_activation_function": schema.ACTIVATIONS}
    for key, value in options.items():
        table[key] = next(k for k, word in words[key].items() if word == value) if key in words else value
    if name == "RESHAPE":
        table["new_shape"] = np.array(output.shape, np.int32)
    return table
