"""TFLite file -> plain layers, with everything checked that the generated C relies on.

Only int8 networks of known operators come through; whatever else is an error that names member, operator and tensor.
"""

from __future__ import annotations

from edge_asc.tflite_file import Model, read_model
from firmware_export.network.layers import Network
from firmware_export.network.operators import TRANSLATORS
from firmware_export.network.reader import Reader


def read_network(data: bytes, *, name: str) -> Network:
    """Read a member's .tflite file (sparse or dense).

    Args:
        data: The file.
        name: The member, for messages.

    Raises:
        ModelFileError: The file is damaged, or has an operator, a type or a quantisation that the C code has not.
    """
    return translate(read_model(data), name=name)


def translate(model: Model, *, name: str) -> Network:
    """The same from a model that is read already."""
    reader = Reader(model, name)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise reader.error("a network needs one input and one output",
                           found=f"{len(model.inputs)} and {len(model.outputs)}")
    entry, exit_ = model.inputs[0], model.outputs[0]
    reader.activations[entry] = reader.activation(entry)
    layers = []
    for operator in model.operators:
        reader.operator = operator
        if operator.name not in TRANSLATORS:
            raise reader.error("the C kernels have no such operator", found=operator.name,
                               wanted=", ".join(sorted(TRANSLATORS)))
        if len(operator.outputs) != 1 or operator.outputs[0] in reader.activations:
            raise reader.error("an operator needs one output that no other writes", found=operator.outputs)
        reader.activations[operator.outputs[0]] = reader.activation(operator.outputs[0])
        layers.append(TRANSLATORS[operator.name](reader, operator, f"{operator.name} {operator.outputs[0]}"))
    reader.operator = None
    if exit_ not in reader.activations or exit_ == entry:
        raise reader.error("no operator writes the output", exit_)
    if reader.activations[exit_].shape[1:] != (1, 1):
        raise reader.error("the output is not a vector", exit_, found=model.tensors[exit_].shape,
                           wanted="(1, labels)")
    used = {index for layer in layers for index in layer.inputs} | {exit_}
    if unused := set(reader.activations) - used:
        raise reader.error("nothing reads this tensor", min(unused))
    return Network(name, reader.activations, tuple(layers), entry, exit_)
