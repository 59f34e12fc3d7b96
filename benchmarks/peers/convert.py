"""Makes what the peers load, in an environment with TensorFlow and tf2onnx: ONNX files and the front end as a graph.

Run: python convert.py QUESTION_FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
import tf2onnx
from tensorflow.lite.tools import flatbuffer_utils

from benchmarks.peers.question import Question
from benchmarks.peers.tensorflow_members import front_end_function

OPSET = 17


def main() -> None:
    question = Question.load(sys.argv[1])
    for precision in ("float32", "int8"):
        for member in question.members:
            source = question.file(precision, member["name"], ".tflite")
            target = question.file(f"onnx-{precision}", member["name"], ".onnx")
            target.parent.mkdir(exist_ok=True)
            named = target.with_suffix(".tflite")
            named.write_bytes(_with_names(source.read_bytes()))
            tf2onnx.convert.from_tflite(str(named), opset=OPSET, output_path=str(target))
    n_hop = question.spec["sample_rate_hz"]
    for name, n_samples in (("window", question.spec["window_samples"]), ("hop", n_hop)):
        function = front_end_function(question, n_samples=n_samples).get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], function)
        Path(question.folder / f"front-end-{name}.tflite").write_bytes(converter.convert())


def _with_names(data: bytes) -> bytes:
    """Our files have no tensor names, as no interpreter reads them; tf2onnx calls everything by its name."""
    model = flatbuffer_utils.convert_bytearray_to_object(data)
    for graph in model.subgraphs:
        for index, tensor in enumerate(graph.tensors):
            tensor.name = b"tensor_%d" % index
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


if __name__ == "__main__":
    main()
