"""Sparse files -> stock dense ones, in memory, when they are loaded.

Interpreters keep sparse weights dense anyway, and XNNPACK refuses int8 weights that a DENSIFY operator makes. With
the weights expanded and the operator gone, every delegate takes the file, at dense speed.
"""

from __future__ import annotations

from edge_asc.tflite_file.flatbuffer import parse
from edge_asc.tflite_file.read import only_graph, read_model
from edge_asc.tflite_file.write import write_model


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
