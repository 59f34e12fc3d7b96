"""A Prometheus endpoint: GET /metrics over HTTP, on loopback unless told otherwise.

Written on plain sockets: Python's http.server alone costs 8 MB of resident memory, a tenth of what the listener may
use on a small board.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable

from edge_asc.errors import InputError
from edge_asc.listen.sinks.base import Announcement, Health, Sink, SinkState

_MAX_REQUEST_BYTES = 8192
_CLIENT_TIMEOUT_S = 2.0
_STATES = ("starting", "listening", "no audio", "stopping")


class MetricsSink(Sink):
    """Serves the newest event and health.

    Args:
        host: Address to listen on.
        port: TCP port; 0 lets the system choose (see `port`).

    Raises:
        InputError: The address cannot be used.
    """

    name = "metrics"

    def __init__(self, *, host: str = "127.0.0.1", port: int = 9468) -> None:
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            self._server = socket.create_server((host, port), family=family, backlog=8)
        except OSError as error:
            raise InputError(f"cannot serve metrics on {host} port {port}", found=error.strerror,
                             fix="Choose another `metrics.port`, or 127.0.0.1 as `metrics.host`.") from error
        self.port: int = self._server.getsockname()[1]
        self._newest: Announcement | None = None
        self._health: Health | None = None
        self._n_by_label: Counter[str] = Counter()
        self._n_served = 0
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="sink-metrics", daemon=True)
        self._thread.start()

    def emit(self, announcement: Announcement) -> None:
        self._newest = announcement
        self._n_by_label[announcement.event.label] += 1

    def health(self, health: Health) -> None:
        self._health = health

    def state(self) -> SinkState:
        return SinkState(n_delivered=self._n_served)

    def close(self) -> None:
        self._closing = True
        # Wakes the thread out of accept().
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join(_CLIENT_TIMEOUT_S + 1)
        self._server.close()

    def _serve(self) -> None:
        # One client at a time: a scrape takes a millisecond, and a client that dawdles is cut off.
        while not self._closing:
            with contextlib.suppress(OSError):
                client, _ = self._server.accept()
                with client:
                    client.settimeout(_CLIENT_TIMEOUT_S)
                    client.sendall(self._answer(_read_request(client)))

    def _answer(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        path = rest.split(b" ", 1)[0].split(b"?", 1)[0]
        if method not in (b"GET", b"HEAD"):
            return _response("405 Method Not Allowed", "only GET\n")
        if path != b"/metrics":
            return _response("404 Not Found", "see /metrics\n")
        self._n_served += 1
        answer = _response("200 OK", render(self._newest, self._health, dict(self._n_by_label)))
        return answer if method == b"GET" else answer.split(b"\r\n\r\n", 1)[0] + b"\r\n\r\n"


def _read_request(client: socket.socket) -> bytes:
    data, deadline_s = b"", time.monotonic() + _CLIENT_TIMEOUT_S
    while b"\r\n\r\n" not in data and len(data) < _MAX_REQUEST_BYTES and time.monotonic() < deadline_s:
        part = client.recv(_MAX_REQUEST_BYTES)
        if not part:
            break
        data += part
    return data


def _response(status: str, text: str) -> bytes:
    body = text.encode()
    return (f"HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n").encode() + body


def render(newest: Announcement | None, health: Health | None, n_by_label: dict[str, int]) -> str:
    """The page in Prometheus' text format, version 0.0.4."""
    lines: list[str] = []

    def metric(name: str, kind: str, text: str, samples: Iterable[tuple[dict[str, str], float]]) -> None:
        lines.extend((f"# HELP edge_asc_{name} {text}", f"# TYPE edge_asc_{name} {kind}"))
        lines.extend(f"edge_asc_{name}{_labels(labels)} {value:.10g}" for labels, value in samples)

    metric("events_total", "counter", "Announcements by label.",
           [({"label": label}, count) for label, count in n_by_label.items()])
    if newest:
        event = newest.event
        metric("scene", "gauge", "1 for the scene announced last.",
               [({"label": label}, float(label == event.label)) for label in {**event.probabilities, event.label: 0}])
        metric("probability", "gauge", "Mean of the members' probabilities, as announced last.",
               [({"label": label}, value) for label, value in event.probabilities.items()])
        metric("confidence", "gauge", "Confidence of the scene announced last.", [({}, event.confidence)])
        metric("latency_seconds", "gauge", "From a window's last sample to its answer.",
               [({}, event.latency_ms / 1000)])
    if health:
        metric("info", "gauge", "What runs here; always 1.",
               [({"version": health.version, "bundle": health.bundle}, 1.0)])
        metric("state", "gauge", "1 for the state the listener is in.",
               [({"state": state}, float(state == health.state)) for state in _STATES])
        metric("uptime_seconds", "gauge", "Since the program started.", [({}, health.uptime_s)])
        metric("audio_seconds_total", "counter", "Time on the audio clock.", [({}, health.audio_s)])
        if health.level_dbfs is not None:
            metric("level_dbfs", "gauge", "Root mean square level of the sound.", [({}, health.level_dbfs)])
        metric("audio_total", "counter", "What happened to the sound, by kind.",
               [({"kind": name}, count) for name, count in health.counts.items()])
        for kind, field in (("delivered", "n_delivered"), ("lost", "n_lost")):
            metric(f"sink_{kind}_total", "counter", f"Announcements {kind}, by sink.",
                   [({"sink": name}, getattr(state, field)) for name, state in health.sinks.items()])
        metric("sink_up", "gauge", "1 while nothing is wrong with a sink.",
               [({"sink": name}, float(state.problem is None)) for name, state in health.sinks.items()])
        metric("sink_waiting", "gauge", "Announcements not yet delivered, by sink.",
               [({"sink": name}, state.n_waiting) for name, state in health.sinks.items()])
    return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    parts = []
    for name, value in labels.items():
        escaped = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        parts.append(f'{name}="{escaped}"')
    return "{" + ",".join(parts) + "}" if parts else ""
