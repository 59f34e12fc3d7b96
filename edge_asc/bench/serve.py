"""The worker's side of a measurement: a process that loads one thing, says so, and then runs what it is told to.

Each thing that is compared lives in a process of its own, perhaps in an environment of its own; the parent lets them
take turns. They talk in lines of JSON: one `ready` line first, then an answer to each command. Only the standard
library is used, so that a peer needs nothing of ours beside this file.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

N_WARM_UP_FIRST, N_WARM_UP = 10, 2
"""Runs that do not count: before a task's first round, and before every later one (others had the cache)."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What a worker offers once it has loaded and checked itself."""

    tasks: Mapping[str, Callable[[], object]]
    """Name -> one repetition."""
    description: str
    checks: list[dict[str, Any]] = field(default_factory=list)
    """name, difference, tolerance, ok: the answers against what was recorded when the bundle was made."""
    facts: Mapping[str, Any] = field(default_factory=dict)


def serve(prepare: Callable[[dict[str, Any]], Prepared]) -> None:
    """Run a worker: `prepare` gets the settings that stand as JSON in the last argument of the command line.

    A failure to prepare is answered with its reason in place of the ready line. Ends when the parent closes the pipe.
    """
    with _private_stdout() as out:
        try:
            prepared = prepare(json.loads(sys.argv[-1]))
        except BaseException as error:
            _say(out, {"error": f"{type(error).__name__}: {error}".strip()})
            raise
        _say(out, {"description": prepared.description, "tasks": list(prepared.tasks), "checks": prepared.checks,
                   "facts": dict(prepared.facts)})
        warm: set[str] = set()
        for line in sys.stdin:
            command = json.loads(line)
            name = command["task"]
            n_warm_up = N_WARM_UP if name in warm else N_WARM_UP_FIRST
            warm.add(name)
            _say(out, repeat(prepared.tasks[name], budget_s=command["budget_s"], n_least=command["n_least"],
                             n_warm_up=n_warm_up))


def check(name: str, difference: float, tolerance: float) -> dict[str, Any]:
    """One comparison with a recorded answer; something that is not a number is never within the tolerance."""
    return {"name": name, "difference": float(difference), "tolerance": float(tolerance),
            "ok": bool(difference <= tolerance)}


def repeat(task: Callable[[], object], *, budget_s: float, n_least: int, n_warm_up: int) -> dict[str, list[float]]:
    """Repetitions until the time is used up, at least `n_least`; wall time and CPU time (of all threads) of each."""
    wall_ms: list[float] = []
    cpu_ms: list[float] = []
    for _ in range(min(n_warm_up, n_least)):
        task()
    end = time.perf_counter() + budget_s
    while len(wall_ms) < n_least or time.perf_counter() < end:
        cpu_ns, wall_ns = time.process_time_ns(), time.perf_counter_ns()
        task()
        wall_ms.append((time.perf_counter_ns() - wall_ns) / 1e6)
        cpu_ms.append((time.process_time_ns() - cpu_ns) / 1e6)
    return {"wall_ms": wall_ms, "cpu_ms": cpu_ms}


@contextlib.contextmanager
def _private_stdout() -> Any:
    """Standard output for the protocol alone: what libraries print goes to standard error."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        yield out


def _say(out: TextIO, message: Mapping[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()
