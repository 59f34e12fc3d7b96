"""TensorFlow, Keras 2 and tfmot, imported in silence; every other module takes them from here.

TensorFlow greets with lines about oneDNN and CUDA before it reads any log level, and with an error when it first looks
for a GPU and there is none. These are kept off the terminal, unless the import fails or TF_CPP_MIN_LOG_LEVEL asks for
them (0 or 1). Errors that it reports later are shown.
"""

from __future__ import annotations

import importlib
import sys

from edge_asc.quiet import captured_stderr
from edge_asc.train import SHOW_ALL_LOGS

__all__ = ["keras", "tf", "tfmot"]


def _import_in_silence() -> None:
    text = ""
    try:
        with captured_stderr() as said:
            try:
                tensorflow = importlib.import_module("tensorflow")
                importlib.import_module("tf_keras")
                importlib.import_module("tensorflow_model_optimization")
                tensorflow.config.list_physical_devices("GPU")
            finally:
                text = said()
    except BaseException:
        sys.stderr.write(text)
        raise


if not SHOW_ALL_LOGS:
    _import_in_silence()

import tensorflow as tf  # noqa: E402
import tensorflow_model_optimization as tfmot  # noqa: E402
import tf_keras as keras  # noqa: E402
