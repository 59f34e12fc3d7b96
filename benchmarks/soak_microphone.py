"""A node in real time: the real program at a PulseAudio microphone, and its four numbers beside their goals.

Run: python -m benchmarks.soak_microphone [--minutes 30] [--starts 5] [--bundle DIR] [--engine NAME] [--json FILE]
Exit 1 when sound was lost or the clocks parted. A goal that is missed is shown and no error: on a busy machine all are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import soundfile

from benchmarks.street import minute
from edge_asc.bundle import shipped_bundle
from tests.broker import free_port, wait_until
from tests.program import command_line, environment
from tests.pulse import Pulse

MAX_DRIFT_S = 0.25
AUDIO_S, UPTIME_S = "edge_asc_audio_seconds_total", "edge_asc_uptime_seconds"
GOALS = {"cpu_s_per_s": 0.02, "rss_mb": 100.0, "start_s": 0.6, "latency_p99_ms": 40.0}
"""For six int8 members at a hop of 1 s; with the native engine 60 MB."""
NATIVE_RSS_MB = 60.0


class Node:
    """`edge-asc listen --device pulse`, with its metrics served and its events as JSON lines in a file."""

    def __init__(self, folder: Path, pulse: Pulse, *options: object) -> None:
        self.port, self.events, self._notes = free_port(), folder / "events.jsonl", folder / "notes.txt"
        program = command_line("listen", "--device", "pulse", "--json", "--set", f"metrics.port={self.port}",
                               "--set", "node.health_s=1", *options)
        self._notes.unlink(missing_ok=True)
        started_s = time.monotonic()
        with self.events.open("w") as out, self._notes.open("w") as err:
            self.process = subprocess.Popen(program, env=environment(**pulse.environment), cwd=folder, stdout=out,
                                            stderr=err)
        wait_until(lambda: "listening to" in self._notes.read_text(), timeout_s=60)
        self.start_s = time.monotonic() - started_s

    def metrics(self) -> dict[str, float]:
        """Its page, as name with labels -> value; empty while there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
        except OSError:
            return {}
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}

    def cpu_s(self) -> float:
        """CPU time so far, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """Resident memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def latencies_ms(self) -> list[float]:
        """Of every event so far."""
        return [json.loads(line)["latency_ms"] for line in self.events.read_text().splitlines()]


@contextmanager
def listening(folder: Path, pulse: Pulse, *options: object) -> Iterator[Node]:
    """A node while it listens."""
    node = Node(folder, pulse, *options)
    try:
        yield node
    finally:
        node.process.send_signal(signal.SIGTERM)
        node.process.wait(20)


def soak_microphone(*, minutes: float, n_starts: int, options: list[object], folder: Path) -> dict[str, Any]:
    """Start it a few times; then play for so long and look whether any sound was lost and whether the clocks parted."""
    pulse, wav, starts_s = Pulse(folder), folder / "street.wav", []
    soundfile.write(wav, minute(48_000), 48_000)
    try:
        for _ in range(n_starts):
            with listening(folder, pulse, *options) as node:
                starts_s.append(node.start_s)
        with listening(folder, pulse, *options) as node:
            wait_until(lambda: node.metrics().get(AUDIO_S, 0) > 2, timeout_s=30)
            begin_s, begin, begin_cpu_s = time.monotonic(), node.metrics(), node.cpu_s()
            player = pulse.play(wav)
            while time.monotonic() - begin_s < minutes * 60:
                if player.poll() is not None:
                    player = pulse.play(wav)
                time.sleep(0.5)
            end_s, end, end_cpu_s, rss_mb = time.monotonic(), node.metrics(), node.cpu_s(), node.rss_mb()
            player.kill()
            player.wait()
            latencies_ms = sorted(node.latencies_ms())
    finally:
        pulse.kill()
    # Both clocks are read for one report.
    drift_s = (end[AUDIO_S] - begin[AUDIO_S]) - (end[UPTIME_S] - begin[UPTIME_S])
    counts = {kind: end[f'edge_asc_audio_total{{kind="{kind}"}}'] for kind in ("overflows", "gaps", "restarts")}
    errors = [f"{count:.0f} {kind}" for kind, count in counts.items() if count]
    if abs(drift_s) > MAX_DRIFT_S:
        errors.append(f"the audio's clock parted from the machine's by {drift_s:.3f} s")
    return {"minutes": round((end_s - begin_s) / 60, 2), "n_events": len(latencies_ms), "drift_s": round(drift_s, 3),
            **counts, "cpu_s_per_s": round((end_cpu_s - begin_cpu_s) / (end_s - begin_s), 4),
            "rss_mb": round(rss_mb, 1), "start_s": round(statistics.median(starts_s), 2),
            "latency_p50_ms": latencies_ms[len(latencies_ms) // 2],
            "latency_p99_ms": latencies_ms[int(len(latencies_ms) * 0.99)], "latency_max_ms": latencies_ms[-1],
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", "errors": errors}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    goals = GOALS | ({"rss_mb": NATIVE_RSS_MB} if arguments.engine == "native" else {})
    with tempfile.TemporaryDirectory() as folder:
        result = soak_microphone(minutes=arguments.minutes, n_starts=arguments.starts, folder=Path(folder),
                                 options=["--bundle", (arguments.bundle or shipped_bundle()).absolute(),
                                          "--engine", arguments.engine])
    result["goals"] = goals
    text = json.dumps(result, indent=1)
    print(text)
    for name, goal in goals.items():
        print(f"{name:15} {result[name]:8g}   goal {goal:g}{'' if result[name] <= goal else '   missed'}",
              file=sys.stderr)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    return int(bool(result["errors"]))


if __name__ == "__main__":
    sys.exit(main())
