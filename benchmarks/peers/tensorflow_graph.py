"""TensorFlow itself: front end by tf.signal, each member rebuilt as one traced function in float32."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from benchmarks.peers.question import Float32, Question, answer
from benchmarks.peers.tensorflow_members import as_function, front_end_function


class TensorFlow:
    precision = "float32"

    def __init__(self, question: Question, settings: dict[str, Any]) -> None:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self._front_end = front_end_function(question)
        members = [as_function(question.file("float32", member["name"], ".tflite").read_bytes())
                   for member in question.members]
        shape = [1, question.spec["n_mels"], question.spec["n_frames"], 1]
        self._networks = tf.function(lambda window: tf.concat([member(window) for member in members], axis=0),
                                     input_signature=[tf.TensorSpec(shape, tf.float32)])
        self.description = f"TensorFlow {tf.__version__}, float32, one traced function"

    def front_end(self, samples: Float32) -> Float32:
        return np.asarray(self._front_end(tf.constant(samples)))

    def networks(self, window: Float32) -> Float32:
        return np.asarray(self._networks(tf.constant(window[None, :, :, None])))


if __name__ == "__main__":
    # tf.signal computes in float32: its noise shows in the quiet bands.
    answer(TensorFlow, tolerance_db=1.0)
