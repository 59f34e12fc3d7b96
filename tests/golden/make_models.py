"""Writes tests/golden/models: two tiny seeded networks as TensorFlow's converter leaves them, in every variant.

Run once where the extra `train` is installed; the files let the tests of tflite_file run without TensorFlow:
`python -m tests.golden.make_models`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_asc.train import member_files  # first: it makes TensorFlow use Keras 2

import tensorflow as tf  # isort: skip
import tf_keras as keras  # isort: skip
from edge_asc.train.models import build

FOLDER = Path(__file__).parent / "models"
NETWORKS = {"v": "V(1,0,1,0)", "i": "I(1,0,0)"}
INPUT_SHAPE = (16, 32, 1)


def windows(n: int = 24, *, seed: int = 5) -> np.ndarray:
    """Something like dB: [n, n_mels, n_frames], from -100 to 30."""
    rng = np.random.default_rng(seed)
    shape = np.cumsum(rng.normal(0, 3, (n, INPUT_SHAPE[0], 1)), axis=1) + rng.uniform(-70, -20, (n, 1, 1))
    return np.clip(shape + rng.normal(0, 6, (n, *INPUT_SHAPE[:2])), -100, 30).astype(np.float32)


def seeded(architecture: str, inputs: np.ndarray, *, seed: int, sparsity: float = 0.8) -> keras.Model:
    """Random weights, the smallest 80 % of each kernel zero, BatchNorm with the statistics of `inputs`."""
    model = build(architecture, input_shape=INPUT_SHAPE, seed=seed)
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            kernel, bias = layer.get_weights()
            kernel = rng.normal(0, (10 / np.prod(kernel.shape[:-1])) ** 0.5, kernel.shape).astype(np.float32)
            kernel[np.abs(kernel) <= np.quantile(np.abs(kernel), sparsity)] = 0
            layer.set_weights([kernel, rng.normal(0, 0.05, bias.shape)])
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            values = keras.Model(model.input, layer.input).predict(inputs[..., None], verbose=0)
            axes = tuple(range(values.ndim - 1))
            gamma, beta, _, _ = layer.get_weights()
            layer.set_weights([gamma, beta, values.mean(axes), values.var(axes) + 1e-3])
    head = model.layers[-1]
    logits = keras.Model(model.input, head.input).predict(inputs[..., None], verbose=0) @ head.get_weights()[0]
    head.set_weights([head.get_weights()[0] * (1.5 / logits.std()), np.zeros(3, np.float32)])
    return model


def convert(model: keras.Model, precision: str, inputs: np.ndarray, *, sparse: bool) -> bytes:
    """The converter's own file, sparse by its own option."""
    function = tf.function(lambda x: model(x, training=False),
                           input_signature=[tf.TensorSpec([1, *model.input_shape[1:]], tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT] if precision != "float32" else []
    if sparse:
        converter.optimizations += [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = lambda: ([window[None, ..., None]] for window in inputs)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def main() -> None:
    """Write everything."""
    FOLDER.mkdir(exist_ok=True)
    inputs = windows()
    answers = {}
    for seed, (name, architecture) in enumerate(NETWORKS.items(), start=1):
        model = seeded(architecture, inputs, seed=seed)
        answers[name] = member_files.predict(model, inputs)
        for precision in member_files.PRECISIONS:
            for encoding in ("sparse", "dense"):
                data = convert(model, precision, inputs, sparse=encoding == "sparse")
                (FOLDER / f"{name}-{precision}-{encoding}.tflite").write_bytes(data)
    np.savez_compressed(FOLDER / "windows.npz", allow_pickle=False, windows=inputs, **answers)


if __name__ == "__main__":
    main()
