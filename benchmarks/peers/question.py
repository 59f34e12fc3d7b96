"""What every peer is asked, and how it answers: as a worker that is timed, or as a program that listens to PCM.

Runs in each peer's own environment: NumPy and the standard library are all that may be assumed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_asc.bench.serve import Prepared, check, serve

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Question:
    """A folder that prepare.py wrote: the golden clip, what is right, and the networks as files."""

    folder: Path
    spec: dict[str, Any]
    """The fields of FeatureSpec, and window_samples."""
    members: list[dict[str, Any]]
    """name, input_scale, input_zero_point, output_scale, output_zero_point of the int8 files."""
    samples: Float32
    features: Float32
    filterbank: Float32
    outputs: dict[str, Float32]
    """float32 and int8: [n_members, n_labels]."""
    calibration: Float32
    """[n, n_mels, n_frames] windows of real sound."""

    @classmethod
    def load(cls, folder: str) -> Question:
        about = json.loads((Path(folder) / "question.json").read_text())
        arrays = np.load(Path(folder) / "question.npz")
        return cls(folder=Path(folder), spec=about["spec"], members=about["members"], samples=arrays["samples"],
                   features=arrays["features"], filterbank=arrays["filterbank"], calibration=arrays["calibration"],
                   outputs={name: arrays[name] for name in ("float32", "int8")})

    def file(self, kind: str, member: str, suffix: str) -> Path:
        return self.folder / kind / f"{member}{suffix}"

    def to_db(self, power: Float32) -> Float32:
        """The last steps of the front end in plain NumPy: mel power [n_mels, n] -> dB, clamped over the window."""
        db = 10 * np.log10(np.maximum(power, self.spec["amin"]))
        return np.maximum(db, db.max() - self.spec["top_db"]).astype(np.float32)


class Peer(Protocol):
    """What a peer offers. One that is only a front end or only networks leaves the other out (None)."""

    description: str
    precision: str
    front_end: Callable[[Float32], Float32] | None
    """float32 [n] samples -> float32 [n_mels, k] dB, clamped over all of them."""
    networks: Callable[[Float32], Float32] | None
    """float32 [n_mels, n_frames] -> float32 [n_members, n_labels]."""


def answer(make: Callable[[Question, dict[str, Any]], Peer], *, tolerance_db: float = 0.05,
           tolerance: float = 1e-3) -> None:
    """Be a worker, or with --stream first on the command line a program."""
    if sys.argv[1] == "--stream":
        settings = json.loads(sys.argv[-1])
        question = Question.load(settings["question"])
        _stream(make(question, settings), question, settings["hop_s"])
    else:
        serve(lambda settings: _prepare(make, settings, tolerance_db, tolerance))


def _prepare(make: Callable[[Question, dict[str, Any]], Peer], settings: dict[str, Any], tolerance_db: float,
             tolerance: float) -> Prepared:
    question = Question.load(settings["question"])
    peer = make(question, settings)
    n_window = question.spec["window_samples"]
    n_hop = round(settings["hop_s"] * question.spec["sample_rate_hz"])
    window, new = question.samples[:n_window], question.samples[:n_hop]
    tasks: dict[str, Callable[[], object]] = {}
    checks = []
    if peer.front_end:
        front_end = peer.front_end
        checks.append(check("features in dB", np.abs(front_end(window) - question.features).max(), tolerance_db))
        tasks["front end, window"] = lambda: front_end(window)
        tasks["front end, hop"] = getattr(peer, "front_end_hop", None) or (lambda: front_end(new))
    if peer.networks:
        networks = peer.networks
        expected = question.outputs[peer.precision].mean(axis=0)
        checks.append(check("ensemble", np.abs(networks(question.features).mean(axis=0) - expected).max(), tolerance))
        tasks["ensemble"] = lambda: networks(question.features).mean(axis=0)
    if peer.front_end and peer.networks:
        pipeline = _Pipeline(peer, n_window)
        pipeline.hop(window)
        tasks["hop"] = lambda: pipeline.hop(new)
    return Prepared(tasks=tasks, description=peer.description, checks=checks)


class _Pipeline:
    """The plain way: keep the last ten seconds, and at each hop compute everything anew."""

    def __init__(self, peer: Peer, n_window: int) -> None:
        assert peer.front_end
        assert peer.networks
        self._front_end, self._networks, self._n_window = peer.front_end, peer.networks, n_window
        self._samples = np.zeros(n_window, np.float32)

    def hop(self, new: Float32) -> Float32:
        self._samples = np.concatenate([self._samples, new])[-self._n_window:]
        return self._networks(self._front_end(self._samples)).mean(axis=0)


def _stream(peer: Peer, question: Question, hop_s: float) -> None:
    n_window, n_hop = question.spec["window_samples"], round(hop_s * question.spec["sample_rate_hz"])
    pipeline, n_wanted = _Pipeline(peer, n_window), n_window
    while data := sys.stdin.buffer.read(2 * n_wanted):
        if len(data) < 2 * n_wanted:
            break
        found = pipeline.hop(np.frombuffer(data, "<i2").astype(np.float32) / 32768)
        print(json.dumps({"probabilities": [float(value) for value in found]}), flush=True)
        n_wanted = n_hop
