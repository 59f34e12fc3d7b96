"""Block mixing on the fly: tracks made in a core's second, and how long training waits for them.

Run: python -m benchmarks.fresh_tracks   (needs the extra `train`; also part of benchmarks.data_path)
A member trains on the paper's batches, of 128 windows, 12 000 mixed ones to 9185 plain ones, first with tracks that
are in memory and then with new ones, which are first compared with the sound of their segments.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.block_mixing import write_scenes
from edge_asc.data.block_mixing import plan_tracks
from edge_asc.data.feature_cache import read_track
from edge_asc.data.fresh_tracks import FreshTracks, make_tracks
from edge_asc.data.tau_layout import SAMPLE_RATE_HZ, Clip
from edge_asc.errors import VerificationError
from edge_asc.features import mel_db
from edge_asc.spec import LABELS
from edge_asc.train.batches import Batch, Splits, Windows
from edge_asc.train.execution import execution_for
from edge_asc.train.execution_trial import best_executions
from edge_asc.train.feed import training_feed
from edge_asc.train.keras2 import keras
from edge_asc.train.member import MemberTraining
from edge_asc.train.progress import Silent
from edge_asc.train.recipes import Recipe, load_recipe, override

MEMBERS = {"V": "v1", "I": "i1"}
_N_PLAIN, _N_PER_LABEL = 147, 64
"""Windows: 192 of 339 are mixed, as 12 000 of 21 185."""
_N_WARM = 8
"""Steps that are not measured: the first is traced, and what was made ahead before it is used up."""


def measure(*, n_steps: int = 32, n_tracks: int = 200, batch_size: int = 128) -> dict[str, Any]:
    """Tracks per second of CPU time; for one member of each family seconds per step and the share spent waiting.

    Raises:
        VerificationError: A track's features are not those of its sound.
    """
    recipe = override(load_recipe("paper-model4"), [
        f"block_mixing.n_tracks_per_label={_N_PER_LABEL}", "block_mixing.on_the_fly=true",
        f"training.batch_size={batch_size}"])
    with tempfile.TemporaryDirectory(prefix="edge-asc-fresh-") as name:
        clips = write_scenes(Path(name))
        found: dict[str, Any] = {"tracks_per_cpu_s": _tracks_per_cpu_s(clips, recipe, n_tracks)}
        for family, member in MEMBERS.items():
            found[family] = {kind: _steps(member, recipe, splits, n_steps) for kind, splits in (
                ("in memory", _splits(recipe, None)), ("on the fly", _splits(recipe, clips)))}
    return found


def _tracks_per_cpu_s(clips: list[Clip], recipe: Recipe, n: int) -> float:
    spec = recipe.features
    tracks = [track.segments for track in plan_tracks(clips, n_tracks_per_label=-(-n // len(LABELS)), seed=0)][:n]
    expected = mel_db(read_track(tracks[0], SAMPLE_RATE_HZ), spec)[:, :spec.n_frames]
    if not np.array_equal(make_tracks(tracks[:1], spec)[0], expected):
        raise VerificationError("the features of a track are not those of its sound")
    begin_s = time.process_time()
    make_tracks(tracks, spec)
    return round(n / (time.process_time() - begin_s), 1)


def _splits(recipe: Recipe, clips: list[Clip] | None) -> Splits:
    """Plain windows of noise, and mixed ones: made of clips, or of noise as well."""
    rng, spec = np.random.default_rng(0), recipe.features
    labels = np.repeat(np.arange(len(LABELS)), _N_PER_LABEL)

    def noise(n: int) -> np.ndarray:
        return rng.normal(-50, 10, (n, spec.n_mels, spec.n_frames)).astype(np.float32)

    plain = Windows([noise(_N_PLAIN)], np.arange(_N_PLAIN) % len(LABELS), np.arange(_N_PLAIN))
    train = plain.with_mixed(labels, noise(len(labels)) if clips is None else None)
    fresh = clips and FreshTracks(clips, spec, n_segments=10, match="label", seed=0)
    return Splits(spec=spec, labels=LABELS, train=train, validation=plain, fresh=fresh or None)


def _steps(member: str, recipe: Recipe, splits: Splits, n_steps: int) -> dict[str, float]:
    """Seconds per step, of them waiting for its batch, and CPU seconds of all processes."""
    n_windows = (_N_WARM + n_steps) * recipe.training.batch_size
    recipe = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, windows_per_epoch=n_windows))
    keras.backend.clear_session()
    with tempfile.TemporaryDirectory(prefix="edge-asc-fresh-") as folder:
        training = MemberTraining(member, recipe=recipe, splits=splits, folder=Path(folder), progress=Silent(),
                                  execution=execution_for(dict(recipe.members)[member], best_executions(recipe)))
        before_s = _cpu_s(resource.RUSAGE_CHILDREN)
        with training_feed(splits, recipe, seed=0) as drawn:
            for _ in range(_N_WARM):
                training._train_batch(*next(drawn))
            begin_s, begin_cpu_s, waited_s = time.perf_counter(), _cpu_s(resource.RUSAGE_SELF), 0.0
            for _ in range(n_steps):
                batch, batch_s = _timed(drawn)
                waited_s += batch_s
                [float(value) for value in training._train_batch(*batch)]
            whole_s, cpu_s = time.perf_counter() - begin_s, _cpu_s(resource.RUSAGE_SELF) - begin_cpu_s
        others_s = _cpu_s(resource.RUSAGE_CHILDREN) - before_s
    return {"step_s": round(whole_s / n_steps, 4), "waiting": round(waited_s / whole_s, 4),
            "cpu_s": round(cpu_s / n_steps, 4), "cpu_of_other_processes_s": round(others_s, 2)}


def _timed(drawn: Iterator[Batch]) -> tuple[Batch, float]:
    begin_s = time.perf_counter()
    return next(drawn), time.perf_counter() - begin_s


def _cpu_s(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
