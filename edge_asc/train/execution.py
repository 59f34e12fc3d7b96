"""How a training step is computed on this machine, found out by a trial of a few seconds and then remembered.

All ways compute the same function, but round it differently (and XLA draws dropout differently), so a run keeps to the
way it began with. The trial times a few layers like those of V: as they are, widened to whole vectors of channels
(`widening`), and compiled by XLA.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_asc.atomic import write_text
from edge_asc.bench.machine import cpu_model
from edge_asc.train import widening
from edge_asc.train.keras2 import keras, tf

MULTIPLES = (1, 8, 16)
_INPUT_SHAPE, _FILTERS = (16, 48, 116, 1), (12, 20)
_N_TIMED = 3
_WORTH = 0.9
"""A way that is not plain must take less than this share of the time."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """The plain way unless said otherwise."""

    channel_multiple: int = 1
    """Channels are rounded up to a multiple of this."""
    xla: bool = False
    """Compile the whole step."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Execution:
        """From what `dataclasses.asdict` gave; nothing is the plain way."""
        return cls(**values)

    def __str__(self) -> str:
        channels = f"channels in multiples of {self.channel_multiple}" if self.channel_multiple > 1 else ""
        return ", ".join(filter(None, (channels, "compiled by XLA" if self.xla else ""))) or "plain"


PLAIN = Execution()


def best_execution() -> Execution:
    """The fastest on this device with this TensorFlow: from the cache, or tried now and put there."""
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-asc" / "execution.json"
    known = _read(path)
    device = _device()
    if device not in known:
        known[device] = fastest(trial())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps({name: asdict(best) for name, best in known.items()}, indent=1) + "\n")
        except OSError:
            pass  # a cache that cannot be written costs a trial each time
    return known[device]


def fastest(seconds: Mapping[Execution, float]) -> Execution:
    """The quickest, or the plain way if none is clearly quicker."""
    best = min(seconds, key=lambda execution: seconds[execution])
    return best if seconds[best] < _WORTH * seconds[PLAIN] else PLAIN


def trial() -> dict[Execution, float]:
    """Seconds for a step of a few layers, for every way: the quickest of a few."""
    found = {execution: _step_s(execution) for execution in
             (Execution(channel_multiple=multiple) for multiple in MULTIPLES)}
    compiled = Execution(channel_multiple=min(found, key=lambda each: found[each]).channel_multiple, xla=True)
    return {**found, compiled: _step_s(compiled)}


def _read(path: Path) -> dict[str, Execution]:
    """What is known of devices: nothing, if the file is not there, damaged or of another version."""
    try:
        return {device: Execution.from_json(values) for device, values in json.loads(path.read_text("utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _step_s(execution: Execution) -> float:
    inputs = keras.Input(_INPUT_SHAPE[1:])
    x = inputs
    for n_filters in _FILTERS:
        for _ in range(2):
            x = keras.layers.Conv2D(n_filters, 3, padding="same")(x)
            x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
        x = keras.layers.MaxPooling2D(2)(x)
    model = keras.Model(inputs, keras.layers.Flatten()(x))
    wide = keras.models.clone_model(model, clone_function=lambda layer: widening.widened(
        layer, execution.channel_multiple))

    def step(batch: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(wide(batch, training=True)))
        return tape.gradient(loss, model.trainable_variables)

    compiled = tf.function(step, jit_compile=execution.xla or None)
    batch = tf.constant(np.random.default_rng(0).standard_normal(_INPUT_SHAPE), tf.float32)
    times_s = []
    for _ in range(1 + _N_TIMED):
        begin_s = time.perf_counter()
        [gradient.numpy() for gradient in compiled(batch)]
        times_s.append(time.perf_counter() - begin_s)
    return min(times_s[1:])


def _device() -> str:
    """What the trial's answer depends on."""
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    processor = ", ".join(names) or f"{cpu_model()}, {os.cpu_count()} cores"
    return f"{processor}, TensorFlow {tf.__version__}"

