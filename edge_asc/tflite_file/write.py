"""Model -> bytes of a stock TFLite file. `GraphWriter` collects tensors, buffers and operators in any order."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_asc.errors import ModelFileError
from edge_asc.tflite_file import schema
from edge_asc.tflite_file.flatbuffer import Table, serialize
from edge_asc.tflite_file.model import Model, Operator, Quantization, Tensor
from edge_asc.tflite_file.read import read_model


def write_model(model: Model) -> bytes:
    """A stock TFLite file of a network as `read_model` gives it, all constants dense.

    float16 weights stand behind DEQUANTIZE operators, as the converter puts them.
    """
    writer = GraphWriter()
    for tensor in model.tensors:
        place = writer.activation(tensor, name=tensor.name)
        if tensor.data is not None and tensor.stored_dtype == tensor.dtype:
            writer.tensors[place]["buffer"] = writer.buffer(tensor.data.tobytes())
    for tensor in model.tensors:
        if tensor.data is not None and tensor.stored_dtype != tensor.dtype:
            narrow = writer.constant(tensor.data.astype(tensor.stored_dtype))
            writer.operator("DEQUANTIZE", [narrow], [tensor.index], version=3)
    for operator in model.operators:
        writer.step(operator, model)
    return serialize(writer.root(model.inputs, model.outputs, description=model.description))


def to_float16(data: bytes) -> bytes:
    """A float32 file with its constants rounded to float16: weights of half the size, computed with in float32.

    Raises:
        ModelFileError: The file is damaged, not float32, or has a constant that float16 cannot hold.
    """
    model = read_model(data)
    tensors = []
    for tensor in model.tensors:
        if tensor.data is not None and tensor.dtype == np.float32:
            with np.errstate(over="ignore"):
                rounded = tensor.data.astype(np.float16)
            if not np.all(np.isfinite(rounded)):
                raise ModelFileError(f"tensor {tensor.index} does not fit into float16",
                                     found=f"values up to {np.abs(tensor.data).max():g}", wanted="at most 65504")
            tensor = dataclasses.replace(tensor, data=rounded.astype(np.float32), stored_dtype=rounded.dtype)
        elif tensor.dtype not in (np.float32, np.int32):
            raise ModelFileError("only a float32 file can be made float16", found=f"a tensor of {tensor.dtype}")
        tensors.append(tensor)
    return write_model(dataclasses.replace(model, tensors=tuple(tensors)))


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Names by which a program calls a network."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    key: str = "serving_default"


class GraphWriter:
    """The parts of a file, as tables; every method that adds a tensor returns its index."""

    def __init__(self) -> None:
        self.tensors: list[Table] = []
        self._buffers = [Table("Buffer")]
        self._places: dict[bytes, int] = {}
        self._operators: list[Table] = []
        self._codes: list[tuple[str, int]] = []

    def activation(self, tensor: Tensor, *, name: str = "") -> int:
        """A tensor of this shape, type and quantisation, without data."""
        return self.tensor(tensor.shape, tensor.dtype, quantization=tensor.quantization, name=name)

    def constant(self, data: NDArray[np.generic], *, quantization: Quantization | None = None) -> int:
        """A dense constant."""
        return self.tensor(data.shape, data.dtype, buffer=self.buffer(data.tobytes()), quantization=quantization)

    def tensor(self, shape: tuple[int, ...], dtype: np.dtype[np.generic], *, buffer: int = 0, name: str = "",
               quantization: Quantization | None = None, sparsity: Table | None = None) -> int:
        """Any tensor."""
        table = Table("Tensor", shape=np.array(shape, np.int32), type=schema.TENSOR_TYPE_CODES[dtype], buffer=buffer)
        if name:
            table["name"] = name
        if quantization:
            table["quantization"] = Table("QuantizationParameters", scale=quantization.scale,
                                          zero_point=quantization.zero_point, quantized_dimension=quantization.axis)
        if sparsity:
            table["sparsity"] = sparsity
        self.tensors.append(table)
        return len(self.tensors) - 1

    def buffer(self, content: bytes) -> int:
        """The buffer with this content."""
        if content not in self._places:
            self._places[content] = len(self._buffers)
            self._buffers.append(Table("Buffer", data=np.frombuffer(content, np.uint8)))
        return self._places[content]

    def operator(self, name: str, inputs: list[int], outputs: list[int], *, version: int = 1,
                 options: Table | None = None) -> None:
        """The next operator."""
        if (name, version) not in self._codes:
            self._codes.append((name, version))
        table = Table("Operator", opcode_index=self._codes.index((name, version)),
                      inputs=np.array(inputs, np.int32), outputs=np.array(outputs, np.int32))
        if options is not None:
            table |= {"builtin_options_type": schema.OPTIONS_OF[name], "builtin_options": options}
        self._operators.append(table)

    def step(self, operator: Operator, model: Model) -> None:
        """An operator of a model whose tensors keep their indices."""
        output = model.tensors[operator.outputs[0]]
        self.operator(operator.name, list(operator.inputs), list(operator.outputs), version=operator.version,
                      options=options_table(operator, output.shape))

    def root(self, inputs: tuple[int, ...], outputs: tuple[int, ...], *, description: str = "",
             signature: Signature | None = None) -> Table:
        """The Model table, ready to be serialised."""
        self._sort_codes()
        codes = []
        for name, version in self._codes:
            # Interpreters take the larger of this and the newer, wider field, which is for numbers above 127.
            codes.append(Table("OperatorCode", deprecated_builtin_code=schema.OPERATOR_CODES[name], version=version))
        graph = Table("SubGraph", tensors=self.tensors, operators=self._operators,
                      inputs=np.array(inputs, np.int32), outputs=np.array(outputs, np.int32))
        root = Table("Model", version=schema.SCHEMA_VERSION, operator_codes=codes, subgraphs=[graph],
                     buffers=self._buffers)
        if description:
            root["description"] = description
        if signature:
            root["signature_defs"] = [Table("SignatureDef", inputs=_named(signature.inputs, inputs),
                                            outputs=_named(signature.outputs, outputs), signature_key=signature.key)]
        return root

    def _sort_codes(self) -> None:
        """The most frequent operator gets index 0, which is the default and takes no room."""
        frequency = Counter(table["opcode_index"] for table in self._operators)
        by_use = [index for index, _ in frequency.most_common()]
        for table in self._operators:
            table["opcode_index"] = by_use.index(table["opcode_index"])
        self._codes = [self._codes[index] for index in by_use]


def _named(names: tuple[str, ...], indices: tuple[int, ...]) -> list[Table]:
    return [Table("TensorMap", name=name, tensor_index=index) for name, index in zip(names, indices, strict=True)]


def options_table(operator: Operator, output_shape: tuple[int, ...]) -> Table | None:
    """The options of an operator as the schema's table; a RESHAPE's shape is that of its output."""
    number = schema.OPTIONS_OF.get(operator.name)
    if number is None:
        return None
    table = Table(schema.BUILTIN_OPTIONS[number])
    words = {"padding": schema.PADDINGS, "fused_activation_function": schema.ACTIVATIONS}
    for key, value in operator.options.items():
        table[key] = next(k for k, word in words[key].items() if word == value) if key in words else value
    if operator.name == "RESHAPE":
        table["new_shape"] = np.array(output_shape, np.int32)
    return table
