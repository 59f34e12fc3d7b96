"""The part of the TFLite schema (version 3) that this project reads and writes, one line per table.

Fields stand in slot order; a test compares every slot, type and default with the maintained `tflite` package. Why it is
data here and not that package: see `edge_asc.tflite_file`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# One line per table, `field:type=default`, in slot order. A type in brackets is a vector; `A|B` is a union whose
# member is chosen by the field before it; any other capitalised type is a table.
_TABLES = """
Model: version:u32 operator_codes:[OperatorCode] subgraphs:[SubGraph] description:str buffers:[Buffer]
  metadata_buffer:[i32] metadata:[Metadata] signature_defs:[SignatureDef]
OperatorCode: deprecated_builtin_code:i8 custom_code:str version:i32=1 builtin_code:i32
SubGraph: tensors:[Tensor] inputs:[i32] outputs:[i32] operators:[Operator] name:str debug_metadata_index:i32=-1
Tensor: shape:[i32] type:i8 buffer:u32 name:str quantization:QuantizationParameters is_variable:bool
  sparsity:SparsityParameters shape_signature:[i32] has_rank:bool
QuantizationParameters: min:[f32] max:[f32] scale:[f32] zero_point:[i64] details_type:u8 details:NoDetails
  quantized_dimension:i32
SparsityParameters: traversal_order:[i32] block_map:[i32] dim_metadata:[DimensionMetadata]
DimensionMetadata: format:i8 dense_size:i32 array_segments_type:u8 array_segments:SparseIndexVector
  array_indices_type:u8 array_indices:SparseIndexVector
Int32Vector: values:[i32]
Uint16Vector: values:[u16]
Uint8Vector: values:[u8]
Buffer: data:[u8] offset:u64 size:u64
Operator: opcode_index:u32 inputs:[i32] outputs:[i32] builtin_options_type:u8 builtin_options:BuiltinOptions
  custom_options:[u8] custom_options_format:i8 mutating_variable_inputs:[bool] intermediates:[i32]
  large_custom_options_offset:u64 large_custom_options_size:u64 builtin_options_2_type:u8 builtin_options_2:NoDetails
  debug_metadata_index:i32=-1
Metadata: name:str buffer:u32
SignatureDef: inputs:[TensorMap] outputs:[TensorMap] signature_key:str deprecated_tag:str subgraph_index:u32
TensorMap: name:str tensor_index:u32
Conv2DOptions: padding:i8 stride_w:i32 stride_h:i32 fused_activation_function:i8 dilation_w_factor:i32=1
  dilation_h_factor:i32=1 quantized_bias_type:i8
DepthwiseConv2DOptions: padding:i8 stride_w:i32 stride_h:i32 depth_multiplier:i32 fused_activation_function:i8
  dilation_w_factor:i32=1 dilation_h_factor:i32=1
Pool2DOptions: padding:i8 stride_w:i32 stride_h:i32 filter_width:i32 filter_height:i32 fused_activation_function:i8
FullyConnectedOptions: fused_activation_function:i8 weights_format:i8 keep_num_dims:bool
  asymmetric_quantize_inputs:bool quantized_bias_type:i8
SoftmaxOptions: beta:f32
ConcatenationOptions: axis:i32 fused_activation_function:i8
AddOptions: fused_activation_function:i8 pot_scale_int16:bool=1
MulOptions: fused_activation_function:i8
SubOptions: fused_activation_function:i8 pot_scale_int16:bool=1
ReshapeOptions: new_shape:[i32]
ReducerOptions: keep_dims:bool
AddNOptions:
PadOptions:
DequantizeOptions:
QuantizeOptions:
DensifyOptions:
"""

BUILTIN_OPTIONS = {
    1: "Conv2DOptions", 2: "DepthwiseConv2DOptions", 5: "Pool2DOptions", 8: "FullyConnectedOptions",
    9: "SoftmaxOptions", 10: "ConcatenationOptions", 11: "AddOptions", 17: "ReshapeOptions", 21: "MulOptions",
    22: "PadOptions", 27: "ReducerOptions", 28: "SubOptions", 38: "DequantizeOptions", 82: "AddNOptions",
    89: "QuantizeOptions", 99: "DensifyOptions",
}
UNIONS = {
    "SparseIndexVector": {1: "Int32Vector", 2: "Uint16Vector", 3: "Uint8Vector"},
    "BuiltinOptions": BUILTIN_OPTIONS,
    "NoDetails": {},
}
"""Union -> {type number: table}."""

OPERATORS = {
    0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE",
    9: "FULLY_CONNECTED", 14: "LOGISTIC", 17: "MAX_POOL_2D", 18: "MUL", 19: "RELU", 21: "RELU6", 22: "RESHAPE",
    25: "SOFTMAX", 34: "PAD", 40: "MEAN", 41: "SUB", 106: "ADD_N", 114: "QUANTIZE", 124: "DENSIFY",
}
"""Built-in operators that are read; any other is an error that names its number."""
OPERATOR_CODES = {name: code for code, name in OPERATORS.items()}

OPTIONS_OF = {
    "ADD": 11, "AVERAGE_POOL_2D": 5, "CONCATENATION": 10, "CONV_2D": 1, "DEPTHWISE_CONV_2D": 2, "DEQUANTIZE": 38,
    "FULLY_CONNECTED": 8, "MAX_POOL_2D": 5, "MUL": 21, "RESHAPE": 17, "SOFTMAX": 9, "PAD": 22, "MEAN": 27, "SUB": 28,
    "ADD_N": 82, "QUANTIZE": 89, "DENSIFY": 99,
}
"""Operator -> the options it carries; the others carry none."""
OPTIONAL_OPTIONS = frozenset({"DENSIFY", "DEQUANTIZE", "QUANTIZE", "RESHAPE", "PAD", "ADD_N"})
"""Operators whose options say nothing that the tensors do not, and may be absent."""

TENSOR_TYPES: dict[int, np.dtype[np.generic]] = {
    0: np.dtype("<f4"), 1: np.dtype("<f2"), 2: np.dtype("<i4"), 3: np.dtype("u1"), 4: np.dtype("<i8"),
    6: np.dtype("?"), 7: np.dtype("<i2"), 9: np.dtype("i1"),
}
"""Tensor types that are read."""
TENSOR_TYPE_CODES = {dtype: code for code, dtype in TENSOR_TYPES.items()}

PADDINGS = {0: "SAME", 1: "VALID"}
ACTIVATIONS = {0: "NONE", 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6", 4: "TANH", 5: "SIGN_BIT"}
DENSE, SPARSE_CSR = 0, 1

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
BUFFER_ALIGNMENT_BYTES = 16
"""What the schema asks of `Buffer.data`."""

SCALARS = {
    "i8": np.dtype("i1"), "u8": np.dtype("u1"), "bool": np.dtype("?"), "u16": np.dtype("<u2"), "i32": np.dtype("<i4"),
    "u32": np.dtype("<u4"), "f32": np.dtype("<f4"), "i64": np.dtype("<i8"), "u64": np.dtype("<u8"),
}
STRUCT_CODES = {"i8": "b", "u8": "B", "bool": "B", "u16": "H", "i32": "i", "u32": "I", "f32": "f", "i64": "q",
                "u64": "Q"}


@dataclass(frozen=True)
class Field:
    """One field of a table: `kind` is scalar, vector, string, table, tables or union; `of` is what it holds."""

    name: str
    kind: str
    of: str
    default: int | float = 0

    @property
    def size_bytes(self) -> int:
        """Bytes inside the table: offsets take four."""
        return SCALARS[self.of].itemsize if self.kind == "scalar" else 4


def _field(text: str) -> Field:
    name, _, rest = text.partition(":")
    of, _, default = rest.partition("=")
    inner = of.strip("[]")
    if of == "str":
        kind = "string"
    elif of in UNIONS:
        kind = "union"
    elif of.startswith("["):
        kind = "vector" if inner in SCALARS else "tables"
    else:
        kind = "scalar" if of in SCALARS else "table"
    return Field(name, kind, inner, int(default or 0))


def _tables() -> dict[str, tuple[Field, ...]]:
    tables: dict[str, tuple[Field, ...]] = {}
    for line in _TABLES.replace("\n  ", " ").strip().splitlines():
        name, _, fields = line.partition(":")
        tables[name] = tuple(_field(text) for text in fields.split())
    return tables


TABLES = _tables()
"""Table -> its fields in slot order."""
