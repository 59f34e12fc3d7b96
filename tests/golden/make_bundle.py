"""Makes tests/golden/bundle: a real bundle of real sparse .tflite files, small enough to commit.

Three tiny members learn three sounds that a generator can make (rumble, hiss, hum), so that tests can expect labels.
Run: python tests/golden/make_bundle.py   (needs the extra `train`)
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import tensorflow as tf
import tf_keras as keras
from sounds import SPEC, sound

from edge_asc.bundle import NewMember, save_bundle
from edge_asc.features import log_mel
from edge_asc.runtime import record_golden
from edge_asc.spec import LABELS
from edge_asc.train.models import build

ARCHITECTURES = {"v1": "V(0,0,0,1)", "v2": "V(0,0,1,0)", "i1": "I(0,0,0)"}
SPARSITY = 0.8
N_WINDOWS = 600


def examples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, len(LABELS), N_WINDOWS)
    windows = [log_mel(sound(LABELS[label], SPEC.window_s + 0.01, seed=1000 + i), SPEC)
               for i, label in enumerate(labels)]
    return np.stack(windows)[..., np.newaxis], keras.utils.to_categorical(labels, len(LABELS))


class KeepPruned(keras.callbacks.Callback):
    """Sets the smallest weights of every kernel to zero once, and the same ones again after each batch."""

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.masks = []
        for layer in self.model.layers:
            if hasattr(layer, "kernel"):
                kernel = layer.kernel.numpy()
                threshold = np.quantile(np.abs(kernel), SPARSITY)
                self.masks.append((layer.kernel, (np.abs(kernel) > threshold).astype(np.float32)))
        self.on_train_batch_end(0)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        for kernel, mask in self.masks:
            kernel.assign(kernel * mask)


def trained(architecture: str, seed: int, windows: np.ndarray, answers: np.ndarray) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = build(architecture, input_shape=windows.shape[1:], dropout=0.0, seed=seed)
    model.compile(keras.optimizers.Adam(3e-3), "categorical_crossentropy", metrics=["accuracy"])
    model.fit(windows, answers, batch_size=32, epochs=15, verbose=0)
    history = model.fit(windows, answers, batch_size=32, epochs=15, verbose=0, callbacks=[KeepPruned()])
    print(architecture, model.count_params(), "parameters, accuracy", history.history["accuracy"][-1])
    return model


def converted(model: keras.Model, windows: np.ndarray, *, int8: bool, sparse: bool) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = ([tf.lite.Optimize.EXPERIMENTAL_SPARSITY] if sparse else []) + (
        [tf.lite.Optimize.DEFAULT] if int8 else [])
    if int8:
        converter.representative_dataset = lambda: ([window[np.newaxis]] for window in windows[:100])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def main() -> None:
    windows, answers = examples()
    members = []
    for seed, (name, architecture) in enumerate(ARCHITECTURES.items(), start=1):
        model = trained(architecture, seed, windows, answers)
        models = {"float32-sparse": converted(model, windows, int8=False, sparse=True),
                  "int8-sparse": converted(model, windows, int8=True, sparse=True),
                  "int8-dense": converted(model, windows, int8=True, sparse=False)}
        members.append(NewMember(name=name, architecture=architecture, seed=seed, models=models,
                                 n_parameters=model.count_params()))
    clip = sound("outdoor", SPEC.window_s + 0.1, seed=7)
    save_bundle(Path(__file__).parent / "bundle", labels=LABELS, features=SPEC, members=members,
                golden=lambda bundle: record_golden(bundle, clip), audit={"note": "for tests only"},
                model_card="# A bundle for tests\n\nTells rumble, hiss and hum apart; no use for real scenes.\n",
                made={"by": "tests/golden/make_bundle.py", "tensorflow": tf.__version__},
                default_variant="float32-sparse")


if __name__ == "__main__":
    main()
