"""The real program under observation: fed with PCM through a pipe, watched through /proc, nothing added to it.

What a worker cannot tell: how long until the first answer, what the whole process occupies and burns, and how soon an
answer comes when the sound arrives at its own pace.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asc.bench.contestants import Contestant
from edge_asc.bench.memory import cpu_s, memory_bytes
from edge_asc.bench.rounds import read_line
from edge_asc.bench.statistics import Summary, summarize
from edge_asc.errors import EdgeAscError

_TIMEOUT_S = 180.0


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One run of a program."""

    first_event_s: float
    """From starting the process, with the whole first window already waiting in the pipe."""
    latency_ms: Summary | None
    """From the hop's last sample to its answer; None if only the first answer was asked for."""
    cpu_s_per_s: float | None
    """CPU time of all its threads per second of audio, once it runs."""
    memory_bytes: dict[str, int] = field(default_factory=dict)
    is_paced: bool = False
    n_hops: int = 0

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {"first_event_s": round(self.first_event_s, 4), "cpu_s_per_s": self.cpu_s_per_s and
                round(self.cpu_s_per_s, 6), "latency_ms": self.latency_ms and self.latency_ms.to_json(),
                "memory_bytes": self.memory_bytes, "is_paced": self.is_paced, "n_hops": self.n_hops}


def observe(contestant: Contestant, samples: NDArray[np.int16], *, window_samples: int, hop_samples: int, n_hops: int,
            sample_rate_hz: int, paced: bool = False) -> Observation:
    """Start the program, feed it one window and then hop by hop, each after the answer to the one before.

    Args:
        contestant: One that has a `program`.
        samples: Sound to repeat.
        n_hops: Hops after the first window; 0 measures the start alone.
        paced: Feed each hop when its time has come, as a microphone does, instead of at once.

    Raises:
        EdgeAscError: The program ended, or did not answer in time.
    """
    sound = np.resize(samples, window_samples + n_hops * hop_samples).astype("<i2")
    with tempfile.TemporaryFile() as errors:
        began_s = time.perf_counter()
        process = subprocess.Popen(contestant.program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                   env=contestant.environment(), bufsize=0)
        assert process.stdin
        assert process.stdout
        out = process.stdout.fileno()

        def answer() -> float:
            line = read_line(out, timeout_s=_TIMEOUT_S)
            if not line or not line.endswith(b"\n"):
                errors.seek(0)
                last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
                raise EdgeAscError(f"{contestant.name}: the program gave no answer", found=" ".join(last) or "nothing")
            return time.perf_counter()

        try:
            _feed(process.stdin, sound[:window_samples].tobytes())
            first_event_s = answer() - began_s
            before_s, latencies_ms = cpu_s(process.pid), []
            started_s = time.perf_counter()
            for number in range(n_hops):
                begin = window_samples + number * hop_samples
                if paced:
                    due_s = started_s + (number + 1) * hop_samples / sample_rate_hz
                    time.sleep(max(0.0, due_s - time.perf_counter()))
                handed_s = _write(process.stdin, sound[begin:begin + hop_samples].tobytes())
                latencies_ms.append((answer() - handed_s) * 1000)
            after_s, occupied = cpu_s(process.pid), memory_bytes(process.pid)
        finally:
            _end(process)
    spent = (after_s - before_s) if after_s is not None and before_s is not None and n_hops else None
    return Observation(first_event_s=first_event_s, latency_ms=summarize(latencies_ms) if latencies_ms else None,
                       cpu_s_per_s=spent and spent / (n_hops * hop_samples / sample_rate_hz), memory_bytes=occupied,
                       is_paced=paced, n_hops=n_hops)


def _feed(pipe: Any, data: bytes) -> None:
    """Write beside the start of the program: a pipe holds less than a window."""
    threading.Thread(target=_write, args=(pipe, data), daemon=True).start()


def _write(pipe: Any, data: bytes) -> float:
    """Write all of it; returns when the last byte was taken. That a program has gone is noticed at its answer."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(pipe.fileno(), view):]
    except OSError:
        pass
    return time.perf_counter()


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin
    assert process.stdout
    process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
