"""TFLite files without an interpreter: read, expand, shrink and join them. NumPy only.

Why not on the maintained schema package `tflite`? Its generated accessors follow every offset of a file unchecked,
where here each is looked at first (flatbuffer.py: damaged files are refused, not crashed on), and the stock FlatBuffers
writer writes equal tables once for every use, where here they stand once (a part of what makes files small). Left over
would be the schema's numbers: one page in schema.py, which a test compares with that package slot by slot. A node is
spared 2.4 MB in 200 modules; the time of an import is the same, 25 ms on x86-64.
"""

from edge_asc.tflite_file.compact import compact
from edge_asc.tflite_file.densify import densify, is_sparse
from edge_asc.tflite_file.merge import merge_members
from edge_asc.tflite_file.model import Model, Operator, Quantization, Tensor
from edge_asc.tflite_file.read import read_model
from edge_asc.tflite_file.write import to_float16, write_model

__all__ = ["Model", "Operator", "Quantization", "Tensor", "compact", "densify", "is_sparse", "merge_members",
           "read_model",
           "to_float16", "write_model"]
