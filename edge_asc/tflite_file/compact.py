"""The smallest stock file of a network, with the same outputs bit for bit.

Left out is what no stock kernel reads: names, descriptions, metadata, signatures, the quantisation vectors that the
converter puts on a sparse tensor and again on its dense copy, and in sparse int8 files the scales of biases (which
are products of two others). Sparse weights are encoded anew, and equal parts of the file stand once.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from edge_asc.tflite_file.encode import encode, smallest_layout
from edge_asc.tflite_file.flatbuffer import serialize
from edge_asc.tflite_file.model import Model, Operator, Tensor
from edge_asc.tflite_file.read import read_model
from edge_asc.tflite_file.write import GraphWriter, Signature, options_table

_DENSIFY_BYTES = 80
"""A DENSIFY operator, its dense tensor and their places in the lists."""
_WIDEN_BYTES = 60
"""A DEQUANTIZE operator with its tensor."""


def compact(data: bytes, *, sparse: bool | None = None) -> bytes:
    """Re-write a file with as few bytes as stock interpreters allow.

    Args:
        data: The file.
        sparse: True makes all weights sparse that are smaller so, False makes all dense. None leaves a dense file
            dense, and a sparse one sparse where that is smaller.

    Returns:
        A file without names and without a signature: inputs and outputs are found by their order.

    Raises:
        ModelFileError: The file is damaged or has an unsupported part.
    """
    return write_compact(read_model(data), sparse=sparse)


def write_compact(model: Model, *, sparse: bool | None = None, signature: Signature | None = None) -> bytes:
    """As `compact`, of a network as `read_model` gives it.

    Args:
        signature: Names for the inputs and outputs; none otherwise.
    """
    if sparse is None:
        candidates = {tensor.index for tensor in model.tensors if tensor.is_sparse}
    else:
        candidates = _weights(model) if sparse else set()
    writer = _CompactWriter(model, candidates)
    for tensor in model.tensors:
        writer.activation(tensor)
    for tensor in model.tensors:
        if tensor.data is not None:
            writer.constant_of(tensor)
    if candidates and not writer.n_sparse:
        # Without the scales of its biases a dense int8 file is not XNNPACK's to run.
        return write_compact(model, sparse=False, signature=signature)
    for operator in model.operators:
        writer.step(operator, model)
    root = writer.root(model.inputs, model.outputs, signature=signature)
    # Values of a sparse file are read by the element or copied; a dense file's weights are read in place.
    return serialize(root, buffer_alignment_bytes=4 if candidates else 16)


class _CompactWriter(GraphWriter):
    def __init__(self, model: Model, candidates: set[int]) -> None:
        super().__init__()
        self.candidates = candidates
        self.n_sparse = 0
        self.dense_layers = {operator.inputs[1] for operator in model.operators if operator.name == "FULLY_CONNECTED"}
        self.biases = {operator.inputs[2] for operator in model.operators if _bias_scale_unread(operator, model)}

    def constant_of(self, tensor: Tensor) -> None:
        """Give the tensor its data: directly, or through DENSIFY, RESHAPE and DEQUANTIZE."""
        assert tensor.data is not None
        place = self.tensors[tensor.index]
        if self.candidates and tensor.index in self.biases:
            place.pop("quantization", None)
        if tensor.index in self.candidates and self.sparse(tensor):
            self.n_sparse += 1
            return
        n_saved = tensor.n_elements * (tensor.dtype.itemsize - tensor.stored_dtype.itemsize)
        if tensor.stored_dtype != tensor.dtype and n_saved >= _WIDEN_BYTES:
            narrow = self.constant(tensor.data.astype(tensor.stored_dtype))
            self.operator("DEQUANTIZE", [narrow], [tensor.index], version=3)
        else:
            place["buffer"] = self.buffer(tensor.data.tobytes())

    def sparse(self, tensor: Tensor) -> bool:
        """Store the tensor sparse, if that is smaller."""
        assert tensor.data is not None
        values = tensor.data.astype(tensor.stored_dtype)
        # XNNPACK takes what DENSIFY and DEQUANTIZE make of float weights, but nothing behind a RESHAPE. Of int8 weights
        # it takes nothing that DENSIFY makes, and in a dense layer refuses the whole file unless a RESHAPE hides it.
        reshape: Literal["never", "may", "must"] = (
            "never" if values.dtype != np.int8 else "must" if tensor.index in self.dense_layers else "may")
        layout, n_bytes = smallest_layout(values, itemsize=values.itemsize, reshape=reshape)
        if n_bytes + _DENSIFY_BYTES >= values.nbytes:
            return False
        stored, sparsity = encode(values, layout)
        source = self.tensor(layout.shape, values.dtype, buffer=self.buffer(stored.tobytes()), sparsity=sparsity)
        widens = values.dtype != tensor.dtype
        if layout.shape == tensor.shape and not widens:
            self.operator("DENSIFY", [source], [tensor.index])
            return True
        dense = self.tensor(layout.shape, values.dtype)
        self.operator("DENSIFY", [source], [dense])
        if widens:
            self.operator("DEQUANTIZE", [dense], [tensor.index], version=3)
        else:
            step = Operator("RESHAPE", 1, (dense,), (tensor.index,))
            self.operator("RESHAPE", [dense], [tensor.index], options=options_table(step, tensor.shape))
        return True


def _weights(model: Model) -> set[int]:
    """Constants of the types that DENSIFY knows, where the float and int8 kernels expect weights."""
    places = {operator.inputs[1] for operator in model.operators
              if operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")}
    return {index for index in places if model.tensors[index].data is not None
            and model.tensors[index].stored_dtype in (np.float32, np.float16, np.int8)}


def _bias_scale_unread(operator: Operator, model: Model) -> bool:
    """Whether stock kernels run this operator without looking at the scale of its bias.

    Convolutions compute it from the other two. FULLY_CONNECTED compares it with their product and accepts a
    difference of up to 2 % of the output's step, so a product well below that may stand for any scale, also none.
    """
    if operator.name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") or len(operator.inputs) < 3 \
            or operator.inputs[2] < 0:
        return False
    activation, weights, bias = (model.tensors[index] for index in operator.inputs[:3])
    output = model.tensors[operator.outputs[0]]
    if bias.dtype != np.int32 or not activation.quantization or not weights.quantization or not output.quantization:
        return False
    product = activation.quantization.scale * weights.quantization.scale
    # Only a scale that read_model can compute again may go, but for the last bit: the converter multiplies ranges that
    # were learnt in another order.
    if bias.quantization is None or not np.allclose(product, bias.quantization.scale, rtol=1e-6, atol=0):
        return False
    return operator.name != "FULLY_CONNECTED" or float(product.max() / output.quantization.scale[0]) < 0.01
