"""The networks and the front end as TensorFlow functions, from the float32 files: for its graph and for conversion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from benchmarks.peers.question import Question
from edge_asc.tflite_file import Model, Operator, read_model

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"NONE": lambda x: x, "RELU": tf.nn.relu, "RELU6": tf.nn.relu6}


def as_function(data: bytes) -> Callable[[Any], Any]:
    """A .tflite file in float32 as a function of a window [1, n_mels, n_frames, 1].

    Raises:
        NotImplementedError: It has an operator that the ensemble's networks do not have.
    """
    model = read_model(data)
    constants = {tensor.index: tf.constant(tensor.data) for tensor in model.tensors if tensor.data is not None}

    def run(window: Any) -> Any:
        values = {**constants, model.inputs[0]: window}
        for operator in model.operators:
            inputs = [values[index] for index in operator.inputs if index >= 0]
            values[operator.outputs[0]] = _apply(operator, inputs, model)
        return values[model.outputs[0]]

    return run


def _apply(operator: Operator, inputs: list[Any], model: Model) -> Any:
    options, shape = operator.options, model.tensors[operator.outputs[0]].shape
    name = operator.name
    if name == "CONV_2D":
        strides = [1, int(options["stride_h"]), int(options["stride_w"]), 1]
        x = tf.nn.conv2d(inputs[0], tf.transpose(inputs[1], (1, 2, 3, 0)), strides, str(options["padding"])) + inputs[2]
    elif name in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
        pool = tf.nn.max_pool2d if name == "MAX_POOL_2D" else tf.nn.avg_pool2d
        x = pool(inputs[0], (options["filter_height"], options["filter_width"]),
                 (options["stride_h"], options["stride_w"]), str(options["padding"]))
    elif name == "FULLY_CONNECTED":
        x = tf.matmul(tf.reshape(inputs[0], (1, -1)), inputs[1], transpose_b=True)
        x = x + inputs[2] if len(inputs) > 2 else x
    elif name == "RESHAPE":
        return tf.reshape(inputs[0], shape)
    elif name == "CONCATENATION":
        x = tf.concat(inputs, axis=int(options["axis"]))
    elif name in ("ADD", "MUL", "SUB"):
        x = {"ADD": tf.add, "MUL": tf.multiply, "SUB": tf.subtract}[name](*inputs)
    elif name == "SOFTMAX":
        return tf.nn.softmax(inputs[0] * float(options["beta"]))
    else:
        raise NotImplementedError(f"operator {name}")
    return _ACTIVATIONS[str(options.get("fused_activation_function", "NONE"))](x)


def front_end_function(question: Question, *, n_samples: int | None = None) -> Any:
    """float32 [n] samples -> float32 [n_mels, k] dB, clamped, by tf.signal; of a fixed length for conversion."""
    spec = question.spec
    weights = tf.constant(question.filterbank.T)
    window = tf.signal.hann_window(spec["n_fft"], periodic=True)

    @tf.function(input_signature=[tf.TensorSpec([n_samples], tf.float32)])
    def front_end(samples: Any) -> Any:
        frames = tf.signal.frame(samples, spec["n_fft"], spec["hop_length"]) * window
        spectrum = tf.signal.rfft(frames)
        power = tf.square(tf.math.real(spectrum)) + tf.square(tf.math.imag(spectrum))
        mel = tf.matmul(power, weights)
        db = 10.0 * tf.math.log(tf.maximum(mel, spec["amin"])) / tf.math.log(10.0)
        return tf.transpose(tf.maximum(db, tf.reduce_max(db) - spec["top_db"]))

    return front_end
