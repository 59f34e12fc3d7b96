"""The peers as contestants: whose environment, which script, which settings; and who is not among them, and why."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import NoEnvironmentError, python_of
from edge_asc.bench.contestants import Contestant

OPEN_WAKE_WORD = ("its package (0.6.0) has no networks in it, it fetches them when it is first used; its way of "
                  "streaming features is restated as `librosa, chunks of 80 ms`")


@dataclass(frozen=True)
class Peer:
    """One line of the field."""

    name: str
    environment: str
    script: str
    settings: dict[str, Any] = field(default_factory=dict)
    is_program: bool = False
    precision: str = "float32"
    needs_files: bool = False
    """Made by convert.py and, for its own int8, quantize_onnx.py."""


NAIVE = "naive: librosa + LiteRT float32"
TENSORFLOW = "TensorFlow"
ONNX_INT8 = "ONNX Runtime, int8 (tf2onnx)"
ONNX_OWN_INT8 = "ONNX Runtime, int8 (its own quantiser)"
PEERS = (
    Peer(NAIVE, "librosa", "naive", is_program=True),
    Peer("librosa, chunks of 80 ms", "librosa", "chunks"),
    Peer(TENSORFLOW, "tensorflow", "tensorflow_graph", is_program=True),
    Peer("LiteRT with an audio graph", "litert", "litert_audio", is_program=True, needs_files=True),
    Peer("ONNX Runtime, float32", "onnxruntime", "onnx_runtime", {"kind": "onnx-float32", "title": "float32"},
         needs_files=True),
    Peer(ONNX_INT8, "onnxruntime", "onnx_runtime", {"kind": "onnx-int8", "title": "int8 by tf2onnx"},
         precision="int8", needs_files=True),
    Peer(ONNX_OWN_INT8, "onnxruntime", "onnx_runtime", {"kind": "onnx-own-int8", "title": "int8 by its own quantiser"},
         precision="int8", needs_files=True),
    Peer("SciPy", "scipy", "front_ends", {"kind": "scipy"}),
    Peer("torchaudio", "torchaudio", "front_ends", {"kind": "torchaudio"}),
)
QUICK = (NAIVE, TENSORFLOW)
"""Peers whose packages are in the environment for training anyway."""


def gather(question: Path, names: Sequence[str], *, own_environments: bool, hop_s: float = 1.0,
           notify: Callable[[str], None]) -> tuple[list[Contestant], dict[str, str]]:
    """Make environments and files; returns who can take part, and name -> reason for who cannot.

    Args:
        question: The folder of prepare.py.
        names: Of `PEERS`.
        own_environments: False: all in the Python that runs this, for the quick guard.
    """
    chosen = [peer for peer in PEERS if peer.name in names]
    absent = {"openWakeWord": OPEN_WAKE_WORD} if own_environments else {}
    pythons: dict[str, str] = {}
    no_files = ""
    wanted = dict.fromkeys(peer.environment for peer in chosen)
    if any(peer.needs_files for peer in chosen):
        wanted["tensorflow"] = None
    for name in wanted:
        try:
            if own_environments:
                notify(f"environment {name}")
            pythons[name] = python_of(name) if own_environments else sys.executable
        except NoEnvironmentError as error:
            absent |= {peer.name: str(error) for peer in chosen if peer.environment == name}
    if any(peer.needs_files for peer in chosen):
        notify("converting to ONNX, and the front end to a TFLite graph")
        no_files = _make_files(question, pythons)
    found = []
    for peer in chosen:
        if peer.needs_files and no_files:
            absent[peer.name] = no_files
        elif peer.environment in pythons:
            found.append(_contestant(peer, pythons[peer.environment], question, hop_s))
    return found, absent


def _contestant(peer: Peer, python: str, question: Path, hop_s: float) -> Contestant:
    import json

    command = (python, "-m", f"benchmarks.peers.{peer.script}")
    settings = {"question": str(question), "hop_s": hop_s, **peer.settings}
    return Contestant(name=peer.name, serve=command, settings=settings,
                      program=(*command, "--stream", json.dumps(settings)) if peer.is_program else (),
                      about={"engine": peer.name, "peer": True, "n_threads": 1, "hop_s": hop_s,
                             "precision": peer.precision})


def _make_files(question: Path, pythons: dict[str, str]) -> str:
    """Why the converted files cannot be had; empty if they are there."""
    steps = [("tensorflow", "convert"), ("onnxruntime", "quantize_onnx")]
    for environment, script in steps:
        if environment not in pythons:
            return f"there is no environment {environment} to convert it in"
        probe = Contestant(name=script, serve=(), settings={})
        done = subprocess.run([pythons[environment], "-m", f"benchmarks.peers.{script}", str(question)],
                              capture_output=True, text=True, check=False, env=probe.environment())
        if done.returncode:
            return f"{script} failed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1][:300]}"
    return ""
