"""The real-time half of the soak: the real program at a PulseAudio microphone, watched through its metrics page."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import soundfile

from tests.broker import free_port, wait_until
from tests.program import command_line, environment
from tests.pulse import Pulse

MAX_DRIFT_S = 0.25
AUDIO_S, UPTIME_S = "edge_asc_audio_seconds_total", "edge_asc_uptime_seconds"


def metrics(port: int) -> dict[str, float]:
    """The page as name with labels -> value."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


def soak_microphone(*, minutes: float, bundle_path: Path, folder: Path) -> dict[str, Any]:
    """Play for so long, and look whether any sound was lost and whether the two clocks parted."""
    pulse, port = Pulse(folder), free_port()
    wav = folder / "street.wav"
    # Imported late: soak.py makes this folder importable.
    from soak import Street

    soundfile.write(wav, Street(hours=1, look_every_s=3600, rate_hz=48_000).minute, 48_000)
    program = command_line("listen", "--device", "pulse", "--bundle", bundle_path, "--set", "terminal.format=none",
                           "--set", f"metrics.port={port}", "--set", "node.health_s=1")
    with subprocess.Popen(program, env=environment(**pulse.environment), cwd=folder) as process:
        try:
            wait_until(lambda: answers(port), timeout_s=30)
            wait_until(lambda: metrics(port).get(AUDIO_S, 0) > 2)
            begin_s, begin, begin_cpu_s = time.monotonic(), metrics(port), cpu_s(process.pid)
            player = pulse.play(wav)
            while time.monotonic() - begin_s < minutes * 60:
                if player.poll() is not None:
                    player = pulse.play(wav)
                time.sleep(0.5)
            player.kill()
            player.wait()
            end_s, end, end_cpu_s = time.monotonic(), metrics(port), cpu_s(process.pid)
            rss_kb = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
            pulse.kill()
    # Both clocks are read for one report.
    drift_s = (end[AUDIO_S] - begin[AUDIO_S]) - (end[UPTIME_S] - begin[UPTIME_S])
    counts = {kind: end[f'edge_asc_audio_total{{kind="{kind}"}}'] for kind in ("overflows", "gaps", "restarts")}
    errors = [f"{count:.0f} {kind}" for kind, count in counts.items() if count]
    if abs(drift_s) > MAX_DRIFT_S:
        errors.append(f"the audio's clock parted from the machine's by {drift_s:.3f} s")
    return {"minutes": round((end_s - begin_s) / 60, 2), "drift_s": round(drift_s, 3), "rss_kb": rss_kb, **counts,
            "cpu_s_per_s": round((end_cpu_s - begin_cpu_s) / (end_s - begin_s), 4),
            "latency_s": end.get("edge_asc_latency_seconds"), "errors": errors}


def cpu_s(pid: int) -> float:
    """CPU time of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def answers(port: int) -> bool:
    """Whether the program serves its metrics yet."""
    try:
        return bool(metrics(port))
    except OSError:
        return False
