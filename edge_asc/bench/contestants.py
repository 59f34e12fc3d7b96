"""Who is measured: an engine with a bundle's members, or a peer in an environment of its own, each as two programs.

`serve` is a worker (see serve.py) whose tasks are timed in turns with everyone else's; `program` is the real thing: PCM
on standard input, one line for each answer on standard output.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import edge_asc
from edge_asc.bundle import Bundle
from edge_asc.errors import EdgeAscError
from edge_asc.runtime import ENGINES, INTERPRETERS, find_engine

ROOT = Path(edge_asc.__file__).parents[1]
NO_DELEGATE = ", no delegate"


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One thing that is measured."""

    name: str
    serve: tuple[str, ...]
    """Command line of the worker, without its settings."""
    settings: Mapping[str, Any]
    program: tuple[str, ...] = ()
    """Command line of the streaming program; empty if there is none."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """For tables: engine, variant, n_threads, n_members, hop_s."""

    def environment(self) -> dict[str, str]:
        """This source tree, and nobody's threads but those that were asked for."""
        n_threads = str(self.about.get("n_threads", 1))
        return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "TF_CPP_MIN_LOG_LEVEL": "3",
                **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), n_threads)}


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine that works here, with or without its delegate, and the Python that has it."""

    name: str
    engine: str
    """One of `ENGINES`."""
    delegate: bool
    python: str


def find_engines(*, tflite_python: str | None = None) -> tuple[list[Engine], dict[str, str]]:
    """Every engine that works on this machine, and why the others do not.

    Args:
        tflite_python: A Python that has tflite-runtime, which needs an environment of its own.

    Returns:
        Engines in the order of `ENGINES`, interpreters with and without their delegate; name -> reason for the rest.
    """
    engines: list[Engine] = []
    absent: dict[str, str] = {}
    for name in ENGINES:
        python = tflite_python if name == "tflite-runtime" and tflite_python else sys.executable
        if reason := _missing(name, python):
            absent[name] = reason
            continue
        engines.append(Engine(name=name, engine=name, delegate=True, python=python))
        if name in INTERPRETERS:
            engines.append(Engine(name=name + NO_DELEGATE, engine=name, delegate=False, python=python))
    return engines, absent


def contestant(engine: Engine, bundle: Bundle, *, variant: str, n_threads: int = 1, n_members: int | None = None,
               hop_s: float = 1.0, tasks: Sequence[str] | None = None) -> Contestant:
    """A bundle on an engine. The program is `edge-asc listen`, which knows no subset of members and no delegate off.

    Args:
        tasks: Only these of the worker's; all if None.
    """
    n_members = n_members or len(bundle.members)
    settings = {"bundle": str(bundle.path), "variant": variant, "engine": engine.engine, "delegate": engine.delegate,
                "n_threads": n_threads, "n_members": n_members, "hop_s": hop_s,
                "tasks": tasks}
    parts = [engine.name, variant, *([f"{n_threads} threads"] if n_threads > 1 else []),
             *([f"{n_members} members"] if n_members < len(bundle.members) else []),
             *([f"hop {hop_s:g} s"] if hop_s != 1 else [])]
    program: Sequence[str] = ()
    if engine.delegate and n_members == len(bundle.members):
        program = (engine.python, "-m", "edge_asc", "listen", "--stdin", "--json", "--bundle", str(bundle.path),
                   "--variant", variant, "--engine", engine.engine, "--threads", str(n_threads), "--hop", str(hop_s))
    return Contestant(name=", ".join(parts), serve=(engine.python, "-m", "edge_asc.bench.worker"), settings=settings,
                      program=tuple(program), about={"engine": engine.name, "variant": variant, "hop_s": hop_s,
                                                     "n_threads": n_threads, "n_members": n_members})


def _missing(engine: str, python: str) -> str:
    """Why an engine cannot be used by a Python; empty if it can, or if only a worker can tell (see `find_engine`)."""
    if python == sys.executable:
        try:
            find_engine(engine)
        except EdgeAscError as error:
            return str(error)
        return ""
    code = f"from edge_asc.runtime import find_engine; find_engine({engine!r})"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False, timeout=120,
                              env={**os.environ, "PYTHONPATH": str(ROOT)})
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no reason given"])[-1]
