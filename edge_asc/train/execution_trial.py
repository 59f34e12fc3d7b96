"""Which way of computing a training step is quickest here: a trial of some seconds for each family, then remembered.

The trial times the gradients of a shallow network of the family on windows and batches as the recipe has them (large
batches are cut: from 32 windows on, ratios stay; with 8, bfloat16 gains little). Lower precision must be worth it
over the quickest way in float32, and XLA over both. Lower precision is tried with EDGE_ASC_STEPS=bfloat16 alone, since
it changes what is learnt; with EDGE_ASC_STEPS=plain nothing is tried, and machines of a kind compute alike.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from edge_asc.atomic import write_text
from edge_asc.bench.machine import cpu_model
from edge_asc.errors import InputError
from edge_asc.train import pruning
from edge_asc.train.execution import PLAIN, Execution, Executions, family
from edge_asc.train.keras2 import tf
from edge_asc.train.models import build
from edge_asc.train.recipe_parts import Pruning
from edge_asc.train.recipes import Recipe

WAYS: Mapping[str, tuple[Execution, ...]] = {
    "V": (PLAIN, *(Execution(channel_multiple=multiple, precision=precision)
                   for precision in ("float32", "bfloat16") for multiple in (8, 16))),
    "I": (PLAIN, Execution(pointwise_matmul=True), Execution(precision="bfloat16"))}
"""What is tried, and then the quickest of it with XLA."""
CHOICE, FLOAT32, BFLOAT16, PLAIN_ONLY = "EDGE_ASC_STEPS", "float32", "bfloat16", "plain"
"""An environment variable and its values, the first unless it is set."""
_NETWORKS = {"V": "V(2,1,1,1)", "I": "I(1,1,1)"}
_MOST_WINDOWS = 32
_N_ROUNDS = 6
"""In which the ways take turns, so that other work on the machine meets all of them."""
_WORTH = 0.9
"""Of the time of the simpler way, what lower precision or XLA may take at most."""
_WORTH_IN_FLOAT32 = 0.98
"""And what another way in float32 may, whose results differ by rounding alone."""


def best_executions(recipe: Recipe) -> Executions:
    """The fastest way for each family in the recipe, on this device with this TensorFlow: from the cache, or tried now
    and put there.

    Raises:
        InputError: EDGE_ASC_STEPS has another value than it can have.
    """
    choice = os.environ.get(CHOICE) or FLOAT32
    if choice not in (FLOAT32, BFLOAT16, PLAIN_ONLY):
        raise InputError(f"{CHOICE} says in which ways training steps may be computed", found=choice,
                         wanted=f"{FLOAT32}, {BFLOAT16} or {PLAIN_ONLY}")
    if choice == PLAIN_ONLY:
        return {}
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-asc" / "execution.json"
    known, device = _read(path), _device()
    shape = (min(recipe.training.batch_size, _MOST_WINDOWS), recipe.features.n_mels, recipe.features.n_frames)
    found = {}
    for name in dict.fromkeys(family(architecture) for _, architecture in recipe.members):
        key = f"{name} on {' x '.join(map(str, shape))}, {device}{'' if choice == FLOAT32 else f', {choice}'}"
        if key not in known:
            known[key] = fastest(trial(name, shape, lower_precision=choice == BFLOAT16))
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_text(path, json.dumps({key: asdict(best) for key, best in known.items()}, indent=1) + "\n")
            except OSError:
                pass  # a cache that cannot be written costs a trial each time
        found[name] = known[key]
    return found


def fastest(seconds: Mapping[Execution, float]) -> Execution:
    """The quickest, but float32 unless bfloat16 is clearly quicker, no XLA unless it is, and the plain way unless
    another is quicker at all."""
    best = PLAIN
    for cost, group in sorted(_by_cost(seconds).items()):
        challenger = min(group, key=lambda execution: seconds[execution])
        if seconds[challenger] < (_WORTH if any(cost) else _WORTH_IN_FLOAT32) * seconds[best]:
            best = challenger
    return best


def _by_cost(seconds: Mapping[Execution, float]) -> dict[tuple[bool, bool], list[Execution]]:
    groups: dict[tuple[bool, bool], list[Execution]] = {}
    for execution in seconds:
        groups.setdefault((execution.xla, execution.precision != PLAIN.precision), []).append(execution)
    return groups


def trial(name: str, shape: tuple[int, int, int], *, lower_precision: bool = True) -> dict[Execution, float]:
    """Seconds for a step of a shallow network of that family, for every way: the quickest of a few.

    Args:
        name: V or I.
        shape: Windows, bands, frames.
        lower_precision: Whether to try that too.
    """
    found = _seconds(name, shape, [way for way in WAYS[name] if lower_precision or way.precision == PLAIN.precision])
    compiled = replace(min(found, key=lambda way: found[way]), xla=True)
    return {**found, **_seconds(name, shape, (compiled,))}


def _read(path: Path) -> dict[str, Execution]:
    """What is known of devices: nothing, if the file is not there, damaged or of another version."""
    try:
        return {key: Execution.from_json(values) for key, values in json.loads(path.read_text("utf-8")).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _seconds(name: str, shape: tuple[int, int, int], ways: Sequence[Execution]) -> dict[Execution, float]:
    steps = {way: _step(name, shape, way) for way in ways}
    for step in steps.values():
        step()
    found = dict.fromkeys(ways, float("inf"))
    for _ in range(_N_ROUNDS):
        for way, step in steps.items():
            begin_s = time.perf_counter()
            step()
            found[way] = min(found[way], time.perf_counter() - begin_s)
    return found


def _step(name: str, shape: tuple[int, int, int], execution: Execution) -> Callable[[], object]:
    """Computes the gradients of one batch and waits for them."""
    model = build(_NETWORKS[name], input_shape=(*shape[1:], 1))
    wrapped = pruning.wrap(model, Pruning(initial_sparsity=0, final_sparsity=0), n_steps=1, seed=0,
                           step=tf.Variable(0, dtype=tf.int64), execution=execution)
    batch = tf.constant(np.random.default_rng(0).standard_normal((*shape, 1)), tf.float32)

    @tf.function(jit_compile=execution.xla or None)
    def gradients() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(tf.math.log(wrapped(batch, training=True)[:, 0]))
        return tape.gradient(loss, model.trainable_variables)

    # One function a way: called by themselves, TensorFlow warns of one that it has to trace again and again.
    traced = gradients.get_concrete_function()
    return lambda: [gradient.numpy() for gradient in traced()]


def _device() -> str:
    """What the trial's answer depends on."""
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    processor = ", ".join(names) or f"{cpu_model()}, {os.cpu_count()} cores"
    return f"{processor}, TensorFlow {tf.__version__}"
