"""Weights and multiplications of one network, operator by operator, and the memory that its activations need."""

from __future__ import annotations

from dataclasses import dataclass

from edge_asc.tflite_file import Model, Operator


@dataclass(frozen=True, kw_only=True)
class LayerSize:
    """One operator that has weights."""

    name: str
    """Kind and number, such as "CONV_2D 3"; compact files carry no names."""
    op: str
    output_shape: tuple[int, ...]
    n_weights: int
    """All constants that the operator reads as numbers: kernel, bias, factors."""
    n_nonzero: int
    sparsity: float
    """Share of exact zeros in the kernel alone."""
    macs: int
    """Multiplications with kernel weights for one window; those with padding are counted too."""
    macs_nonzero: int
    """Those of them whose weight is not zero."""
    weights_bytes: int
    """What the constants take in the file: values, and for sparse ones the index arrays."""


def count_model(model: Model) -> list[LayerSize]:
    """The operators of a network that have weights, in execution order.

    Multiplications are counted for convolutions and dense layers, as is usual; a BatchNorm that the converter could
    not fold is a MUL and an ADD and has weights only.
    """
    layers: list[LayerSize] = []
    counts: dict[str, int] = {}
    for operator in model.operators:
        constants = [model.tensors[index] for index in operator.inputs
                     if index >= 0 and model.tensors[index].data is not None]
        if not constants or operator.name in ("RESHAPE", "PAD", "MEAN"):
            continue
        counts[operator.name] = counts.get(operator.name, 0) + 1
        kernel = constants[0]
        n_positions = _kernel_uses(operator, model)
        layers.append(LayerSize(
            name=f"{operator.name} {counts[operator.name]}", op=operator.name,
            output_shape=model.tensors[operator.outputs[0]].shape,
            n_weights=sum(tensor.n_elements for tensor in constants),
            n_nonzero=sum(tensor.n_nonzero for tensor in constants),
            sparsity=1 - kernel.n_nonzero / kernel.n_elements, macs=n_positions * kernel.n_elements,
            macs_nonzero=n_positions * kernel.n_nonzero,
            weights_bytes=sum(tensor.stored_bytes for tensor in constants)))
    return layers


def peak_activation_bytes(model: Model) -> int:
    """The largest sum of activations alive at once when whole maps are computed in the file's order.

    An engine that works in row stripes needs less (the C export does); one that cannot reuse memory needs more.
    """
    last_use = {index: place for place, operator in enumerate(model.operators) for index in operator.inputs}
    last_use |= {index: len(model.operators) for index in model.outputs}

    def size(index: int) -> int:
        tensor = model.tensors[index]
        return 0 if tensor.data is not None else tensor.n_elements * tensor.dtype.itemsize

    alive = set(model.inputs)
    peak = sum(size(index) for index in alive)
    for place, operator in enumerate(model.operators):
        alive |= set(operator.outputs)
        peak = max(peak, sum(size(index) for index in alive))
        alive = {index for index in alive if last_use.get(index, -1) > place}
    return peak


def _kernel_uses(operator: Operator, model: Model) -> int:
    """How often each kernel weight is multiplied for one window."""
    shape = model.tensors[operator.outputs[0]].shape
    if operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        return shape[0] * shape[1] * shape[2]
    if operator.name == "FULLY_CONNECTED":
        return model.tensors[operator.outputs[0]].n_elements // shape[-1]
    return 0
