"""The worker of our own engines: `python -m edge_asc.bench.worker SETTINGS`.

Loads some members of a bundle, replays the golden clip through the same code that listens, and offers the front end,
each member, the ensemble and the whole hop as tasks.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asc.bench.serve import Prepared, check, serve
from edge_asc.bundle import Bundle, Golden
from edge_asc.features import MelStream, log_mel
from edge_asc.listen.events import Block, SceneEvent
from edge_asc.listen.pipeline import listen
from edge_asc.runtime import Ensemble, load_ensemble
from edge_asc.runtime.replay import FEATURE_TOLERANCE_DB
from edge_asc.runtime.tolerances import tolerance


def prepare(settings: dict[str, Any]) -> Prepared:
    """Load, verify, and offer."""
    bundle = Bundle.load(settings["bundle"])
    golden = bundle.golden()
    some = dataclasses.replace(bundle, members=bundle.members[: settings["n_members"]])
    ensemble = load_ensemble(some, variant=settings["variant"], engine=settings["engine"],
                             delegate=settings["delegate"], n_threads=settings["n_threads"])
    spec = ensemble.features
    window = log_mel(golden.samples, spec)
    events = _events(golden, ensemble, settings["hop_s"])
    files = [bundle.member_bytes(member.name, ensemble.variant) for member in ensemble.members]
    checks = _checks(golden, window, ensemble, next(events), max(map(tolerance, ensemble.members, files)))

    stream, hop = MelStream(spec), golden.samples[: round(settings["hop_s"] * spec.sample_rate_hz)]
    stream.push(golden.samples)
    whole = golden.samples[: spec.window_samples]
    tasks: dict[str, Callable[[], object]] = {
        "hop": lambda: next(events),
        "front end, hop": lambda: stream.push(hop),
        "front end, window": lambda: log_mel(whole, spec),
        "ensemble": lambda: ensemble.probabilities(window),
    }
    for member in ensemble.members:
        tasks[f"member {member.name}"] = lambda member=member: member.probabilities(window)  # type: ignore[misc]
    if settings["tasks"] is not None:
        tasks = {name: tasks[name] for name in settings["tasks"]}
    return Prepared(tasks=tasks, description=ensemble.description, checks=checks)


def _events(golden: Golden, ensemble: Ensemble, hop_s: float) -> Iterator[SceneEvent]:
    """What listening says to the golden clip: the first event, then one for each further hop, for ever."""
    n_first, n_hop = ensemble.features.window_samples, round(hop_s * ensemble.features.sample_rate_hz)

    def source() -> Iterator[Block]:
        yield Block(samples=golden.samples[:n_first])
        sound = np.resize(golden.samples, max(golden.samples.size, n_hop) // n_hop * n_hop)
        for part in itertools.cycle(np.split(sound, sound.size // n_hop)):
            yield Block(samples=part)

    return listen(source(), ensemble, hop_s=hop_s)


def _checks(golden: Golden, window: NDArray[np.float32], ensemble: Ensemble, first: SceneEvent,
            allowed: float) -> list[dict[str, Any]]:
    n_members = len(ensemble.members)
    expected = golden.outputs[ensemble.variant][:n_members].mean(axis=0)
    return [
        check("features in dB", _distance(window, golden.features), FEATURE_TOLERANCE_DB),
        check("ensemble", _distance(ensemble.probabilities(window), expected), allowed),
        check("first event", _distance(list(first.probabilities.values()), expected), allowed),
    ]


def _distance(found: NDArray[np.float32] | Sequence[float], expected: NDArray[np.float32]) -> float:
    return float(np.abs(np.asarray(found, np.float64) - expected).max())


if __name__ == "__main__":
    serve(prepare)
