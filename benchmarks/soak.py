"""Days of listening in minutes: synthetic sound through the whole listener, every sink at work, nothing may grow.

Run: python benchmarks/soak.py [--hours 24] [--look-every SECONDS] [--bundle DIR] [--json FILE]
     python benchmarks/soak.py --microphone [--minutes 30]      (PulseAudio; in real time)
Exit 1 when an event's time is wrong, one is missing anywhere, or memory, descriptors or threads have grown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as paho

sys.path.insert(0, str(Path(__file__).parents[1]))

from edge_asc.bundle import Bundle, shipped_bundle
from edge_asc.listen.config import Config, LogFile, Metrics, Mqtt, Node, Terminal
from edge_asc.listen.events import Block, SceneEvent
from edge_asc.listen.node import run_node
from edge_asc.runtime import load_ensemble
from tests.broker import Mosquitto

MAX_GROWTH = 0.02
GAP_S, RESTART_S = 0.37, 41.5


def usage() -> dict[str, int]:
    """Resident memory, descriptors and threads of this process."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {"rss_kb": int(status["VmRSS"].split()[0]), "n_descriptors": len(list(Path("/proc/self/fd").iterdir())),
            "n_threads": threading.active_count()}


class Street:
    """Sound for hours: noise that swells and changes colour.

    At each look at the process a stretch is lost, and at every sixth the microphone is another one.
    """

    def __init__(self, *, hours: float, look_every_s: float, rate_hz: int) -> None:
        self.rate_hz, self.hours, self.look_every_s = rate_hz, hours, look_every_s
        self.n_samples = 0
        self.looks: list[dict[str, int]] = []
        rng = np.random.default_rng(0)
        white = rng.standard_normal(60 * rate_hz).astype(np.float32)
        brown = np.cumsum(white - white.mean(), dtype=np.float64)
        swell = 0.05 * (1.1 + np.sin(np.linspace(0, 12 * np.pi, white.size)))
        mixed = np.where(np.arange(white.size) // (7 * rate_hz) % 2, white, brown / np.abs(brown).max() * 3) * swell
        self.minute = mixed.astype(np.float32)

    def __iter__(self) -> Iterator[Block]:
        n_block = self.rate_hz // 10
        next_look_s = self.look_every_s
        while self.n_samples < self.hours * 3600 * self.rate_hz:
            start = self.n_samples % (self.minute.size - n_block)
            samples, n_lost, is_restart = self.minute[start : start + n_block], 0, False
            if self.n_samples / self.rate_hz >= next_look_s:
                self.looks.append(usage())
                next_look_s += self.look_every_s
                is_restart = len(self.looks) % 6 == 0
                n_lost = round((RESTART_S if is_restart else GAP_S) * self.rate_hz)
            self.n_samples += n_lost + samples.size
            yield Block(samples=samples, n_lost=n_lost, is_restart=is_restart)
        self.looks.append(usage())


class Watch:
    """Checks every event's time and counts."""

    def __init__(self, *, window_s: float, hop_s: float) -> None:
        self.window_s, self.hop_s = window_s, hop_s
        self.n_events = 0
        self.last_s = 0.0
        self.errors: list[str] = []

    def emit(self, event: SceneEvent) -> None:
        hops = (event.time_s - self.window_s) / self.hop_s
        if abs(hops - round(hops)) > 1e-6:
            self.errors.append(f"event at {event.time_s} s is off the grid of hops")
        step_s = event.time_s - self.last_s
        # Only a new microphone makes a pause: its break, and then a fresh window.
        if self.n_events and abs(step_s - self.hop_s) > 1e-6 and not RESTART_S < step_s < RESTART_S + 2 * self.window_s:
            self.errors.append(f"{step_s} s between the events before {event.time_s} s")
        self.last_s = event.time_s
        self.n_events += 1

    def close(self) -> None:
        pass


class InOrder:
    """A second MQTT client that checks that every number comes once and in order, and remembers only the last."""

    def __init__(self, port: int, topic: str) -> None:
        self.last, self.errors = 0, []
        self._is_ready = threading.Event()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.on_message = self._received
        self._client.on_subscribe = lambda *rest: self._is_ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(topic, qos=1)
        self._client.loop_start()
        self._is_ready.wait(5)

    def _received(self, client: Any, userdata: Any, message: Any) -> None:
        number = json.loads(message.payload)["sequence"]
        if number != self.last + 1 and len(self.errors) < 10:
            self.errors.append(f"MQTT: number {number} came after {self.last}")
        self.last = number

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def soak(*, hours: float, look_every_s: float, bundle_path: Path, folder: Path) -> dict[str, Any]:
    """Run it and gather figures and errors."""
    ensemble = load_ensemble(Bundle.load(bundle_path))
    spec = ensemble.features
    broker = Mosquitto(folder, is_durable=False)
    counter = InOrder(broker.port, "edge-asc/soak/scene")
    config = Config(node=Node(name="soak", state_folder=folder / "state"), terminal=Terminal(format="none"),
                    file=LogFile(path=folder / "events.jsonl", max_bytes=1 << 20, n_files=2), metrics=Metrics(port=0),
                    mqtt=Mqtt(host="127.0.0.1", port=broker.port))
    street = Street(hours=hours, look_every_s=look_every_s, rate_hz=spec.sample_rate_hz)
    watch = Watch(window_s=spec.window_s, hop_s=1.0)
    started_s, started_cpu_s = time.monotonic(), time.process_time()
    run_node(street, ensemble, config, writer=watch)
    took_s, cpu_s = time.monotonic() - started_s, time.process_time() - started_cpu_s
    time.sleep(1)
    counter.close()
    broker.kill()
    errors = [*watch.errors[:10], *counter.errors, *judge(street.looks)]
    if counter.last != watch.n_events:
        errors.append(f"MQTT brought {counter.last} of {watch.n_events} events")
    end_s = street.n_samples / spec.sample_rate_hz
    if not 0 <= end_s - watch.last_s <= watch.hop_s:
        errors.append(f"the last event is at {watch.last_s} s, the sound ended at {end_s} s")
    return {"hours": hours, "ensemble": ensemble.description, "took_s": round(took_s, 1),
            "cpu_s_per_s_of_sound": round(cpu_s / end_s, 5), "n_events": watch.n_events, "looks": street.looks,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores", "errors": errors}


def judge(looks: list[dict[str, int]]) -> list[str]:
    """What has grown from the second look to the last."""
    if len(looks) < 3:
        return ["too short to tell whether anything grows"]
    second, last = looks[1], looks[-1]
    errors = [f"{name} went from {second[name]} to {last[name]}" for name in ("n_descriptors", "n_threads")
              if last[name] > second[name]]
    if last["rss_kb"] > second["rss_kb"] * (1 + MAX_GROWTH):
        errors.append(f"resident memory went from {second['rss_kb']} to {last['rss_kb']} kB")
    return errors


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--look-every", type=float, default=3600, metavar="SECONDS")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--microphone", action="store_true")
    parser.add_argument("--minutes", type=float, default=30)
    arguments = parser.parse_args()
    bundle_path = (arguments.bundle or shipped_bundle()).absolute()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.microphone:
            from soak_microphone import soak_microphone

            result = soak_microphone(minutes=arguments.minutes, bundle_path=bundle_path, folder=Path(folder))
        else:
            result = soak(hours=arguments.hours, look_every_s=arguments.look_every, bundle_path=bundle_path,
                          folder=Path(folder))
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    return int(bool(result["errors"]))


if __name__ == "__main__":
    sys.exit(main())
