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
            wait_until(lambda: 'edge_asc_audio_total{kind="overflows"}' in metrics(port))
            begin_s, begin = time.monotonic(), metrics(port)
            player = pulse.play(wav)
            while time.monotonic() - begin_s < minutes * 60:
                if player.poll() is not None:
                    player = pulse.play(wav)
                time.sleep(0.5)
            player.kill()
            player.wait()
            end_s, end = time.monotonic(), metrics(port)
            rss_kb = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
            pulse.kill()
    name = "edge_asc_audio_seconds_total"
    # Reports come each second, so either end may be a second old.
    drift_s = (end[name] - begin[name]) - (end["edge_asc_uptime_seconds"] - begin["edge_asc_uptime_seconds"])
    counts = {kind: end[f'edge_asc_audio_total{{kind="{kind}"}}'] for kind in ("overflows", "gaps", "restarts")}
    errors = [f"{count:.0f} {kind}" for kind, count in counts.items() if count]
    if abs(drift_s) > MAX_DRIFT_S:
        errors.append(f"the audio's clock parted from the machine's by {drift_s:.3f} s")
    return {"minutes": round((end_s - begin_s) / 60, 2), "drift_s": round(drift_s, 3), "rss_kb": rss_kb, **counts,
            "latency_s": end.get("edge_asc_latency_seconds"), "errors": errors}


def answers(port: int) -> bool:
    """Whether the program serves its metrics yet."""
    try:
        return bool(metrics(port))
    except OSError:
        return False
