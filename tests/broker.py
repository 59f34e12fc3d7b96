"""A real MQTT broker on loopback that can be killed and started again, and a client that writes down what arrives."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho

from tests.conftest import require_program


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_until(condition: Callable[[], object], *, timeout_s: float = 15.0) -> None:
    """Wait for something to become true, or fail."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.02)


class Mosquitto:
    """The broker; unless told otherwise it keeps subscriptions and queued messages on disk, after each message."""

    def __init__(self, folder: Path, *, settings: str = "allow_anonymous true", port: int | None = None,
                 is_durable: bool = True) -> None:
        self.program = require_program("mosquitto")
        self.port = port or free_port()
        self._config = folder / "mosquitto.conf"
        durable = "persistence true\nautosave_on_changes true\nautosave_interval 1\n" if is_durable else ""
        self._config.write_text(f"listener {self.port} 127.0.0.1\nuser root\npersistence_location {folder}/\n{durable}"
                                f"max_queued_messages 0\nlog_dest file {folder}/mosquitto.log\n{settings}\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([self.program, "-c", str(self._config)])

        def answers() -> bool:
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until(answers)

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self._process:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


class Counter:
    """Subscribes with a persistent session and keeps the payloads of every topic in the order of arrival."""

    def __init__(self, port: int, topic: str = "#", *, username: str | None = None,
                 password: str | None = None) -> None:
        self.messages: list[tuple[str, bytes, bool, bool]] = []
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="counter", clean_session=False)
        self._client.reconnect_delay_set(0.1, 0.5)
        if username:
            self._client.username_pw_set(username, password)
        self._client.on_connect = lambda client, *rest: client.subscribe(topic, qos=1)
        self._client.on_message = lambda client, userdata, message: self.messages.append(
            (message.topic, message.payload, message.retain, message.dup))
        self._subscribed = False
        self._client.on_subscribe = lambda *rest: setattr(self, "_subscribed", True)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait_until(lambda: self._subscribed)

    def payloads(self, topic: str) -> list[dict[str, Any]]:
        """JSON payloads that were sent to the topic.

        Left out are the retained ones that a new subscription brings, and what the broker marks as delivered to us
        before: our own acknowledgement had died with it. What a publisher sends twice bears no such mark.
        """
        seen: set[bytes] = set()
        found = []
        for name, payload, is_retained, is_again in self.messages:
            if name == topic and not is_retained and not (is_again and payload in seen):
                seen.add(payload)
                found.append(json.loads(payload))
        return found

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
