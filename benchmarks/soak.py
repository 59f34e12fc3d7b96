"""Days of listening in minutes: synthetic sound through the whole listener, every sink at work, nothing may grow.

Run: python -m benchmarks.soak [--hours 24] [--look-every SECONDS] [--bundle DIR] [--json FILE]
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
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho

from benchmarks.street import RESTART_S, Street
from edge_asc.bundle import Bundle, shipped_bundle
from edge_asc.listen.config import Config, LogFile, Metrics, Mqtt, Node, Terminal
from edge_asc.listen.events import SceneEvent
from edge_asc.listen.node import run_node
from edge_asc.runtime import load_ensemble
from tests.broker import Mosquitto

MAX_GROWTH = 0.02


def usage() -> dict[str, int]:
    """Resident memory, descriptors and threads of this process."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {"rss_kb": int(status["VmRSS"].split()[0]), "n_descriptors": len(list(Path("/proc/self/fd").iterdir())),
            "n_threads": threading.active_count()}


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
    looks: list[dict[str, int]] = []
    street = Street(hours=hours, rate_hz=spec.sample_rate_hz, look=lambda: looks.append(usage()),
                    look_every_s=look_every_s)
    watch = Watch(window_s=spec.window_s, hop_s=1.0)
    started_s, started_cpu_s = time.monotonic(), time.process_time()
    run_node(street, ensemble, config, writer=watch)
    took_s, cpu_s = time.monotonic() - started_s, time.process_time() - started_cpu_s
    time.sleep(1)
    counter.close()
    broker.kill()
    errors = [*watch.errors[:10], *counter.errors, *judge(looks)]
    if counter.last != watch.n_events:
        errors.append(f"MQTT brought {counter.last} of {watch.n_events} events")
    end_s = street.n_samples / spec.sample_rate_hz
    if not 0 <= end_s - watch.last_s <= watch.hop_s:
        errors.append(f"the last event is at {watch.last_s} s, the sound ended at {end_s} s")
    return {"hours": hours, "ensemble": ensemble.description, "took_s": round(took_s, 1),
            "cpu_s_per_s_of_sound": round(cpu_s / end_s, 5), "n_events": watch.n_events, "looks": looks,
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
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = soak(hours=arguments.hours, look_every_s=arguments.look_every,
                      bundle_path=arguments.bundle or shipped_bundle(), folder=Path(folder))
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    return int(bool(result["errors"]))


if __name__ == "__main__":
    sys.exit(main())
