"""TFLite files without an interpreter: read, expand, shrink and join them. NumPy only."""

from edge_asc.tflite_file.compact import compact
from edge_asc.tflite_file.densify import densify, is_sparse
from edge_asc.tflite_file.merge import merge_members
from edge_asc.tflite_file.model import Model, Operator, Quantization, Tensor
from edge_asc.tflite_file.read import read_model
from edge_asc.tflite_file.write import to_float16, write_model

__all__ = ["Model", "Operator", "Quantization", "Tensor", "compact", "densify", "is_sparse", "merge_members",
           "read_model",
           "to_float16", "write_model"]
