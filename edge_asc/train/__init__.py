"""Training: with `lab`, the only place that may import TensorFlow, tf-keras, tfmot or librosa.

tfmot works with Keras 2 alone, which TensorFlow 2.16 and later load only when this variable is set before the
first import of TensorFlow; so it is set here, before any module of this package is read.
"""

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
SHOW_ALL_LOGS = os.environ["TF_CPP_MIN_LOG_LEVEL"] in ("0", "1")
"""Whoever asks for messages or warnings wants to see what TensorFlow says from its first line on."""
