"""MQTT against a real broker: nothing lost, nothing twice, in order, however the broker is treated."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_asc.errors import DeviceError, InputError
from edge_asc.listen.sinks.broker import Broker
from edge_asc.listen.sinks.mqtt import MqttSink
from edge_asc.listen.sinks.mqtt_link import Link
from tests.announcements import LABELS, announcement, health
from tests.broker import Counter, Mosquitto, free_port, wait_until
from tests.conftest import require_program
from tests.full_disk import full_disk
from tests.tcp_proxy import Proxy

pytestmark = pytest.mark.tool
SCENE, HEALTH, AVAILABILITY = ("edge-asc/test-node/" + name for name in ("scene", "health", "availability"))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Mosquitto(folder)
    yield broker
    broker.kill()


@pytest.fixture
def counter(broker: Mosquitto) -> Iterator[Counter]:
    counter = Counter(broker.port)
    yield counter
    counter.close()


def open_sink(port: int, folder: Path, **settings: Any) -> MqttSink:
    given = {"username": settings.pop("username", None), "password_file": settings.pop("password_file", None)}
    return MqttSink(Broker(host="127.0.0.1", port=port, **given), node="test-node", labels=LABELS, model="box",
                    spool_folder=folder / "spool", back_off_s=(0.2,), **settings)


def sequences(counter: Counter) -> list[int]:
    return [payload["sequence"] for payload in counter.payloads(SCENE)]


def test_delivers_and_says_goodbye(broker: Mosquitto, counter: Counter, tmp_path: Path) -> None:
    sink = open_sink(broker.port, tmp_path)
    for number in range(1, 101):
        sink.emit(announcement(number))
    sink.health(health())
    sink.close()
    wait_until(lambda: len(sequences(counter)) == 100)
    assert sequences(counter) == list(range(1, 101))
    assert sink.state().n_delivered == 100
    assert sink.state().n_waiting == 0
    assert [payload for topic, payload, *_ in counter.messages if topic == AVAILABILITY] == [b"online", b"offline"]
    assert counter.payloads(HEALTH)[0]["counts"] == {"overflows": 2, "reopened": 1}


def test_scene_is_retained_and_carries_no_sound(broker: Mosquitto, counter: Counter, tmp_path: Path) -> None:
    sink = open_sink(broker.port, tmp_path)
    sink.emit(announcement(7))
    sink.close()
    wait_until(lambda: sequences(counter) == [7])
    (payload,) = counter.payloads(SCENE)
    assert set(payload) == {"node", "run", "sequence", "at", "time_s", "label", "confidence", "probabilities",
                            "latency_ms", "has_gap", "changed"}
    assert len(json.dumps(payload)) < 500


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_broker_away_and_back(broker: Mosquitto, counter: Counter, tmp_path: Path, how: int) -> None:
    sink = open_sink(broker.port, tmp_path)
    number = 0

    def speak(n: int) -> None:
        nonlocal number
        for _ in range(n):
            number += 1
            sink.emit(announcement(number))
            time.sleep(0.002)

    for _ in range(3):
        speak(100)
        # Two seconds in between: a real broker puts subscriptions on disk before it is killed.
        wait_until(lambda: sink.state().n_waiting == 0)
        time.sleep(1.2)
        speak(30)
        broker.kill(how)
        speak(100)
        broker.start()
        speak(50)
    wait_until(lambda: sink.state().n_waiting == 0)
    wait_until(lambda: len(set(sequences(counter))) >= number)
    sink.close()
    assert sequences(counter) == list(range(1, number + 1))
    assert sink.state().n_delivered == number
    assert sink.state().n_lost == 0


@pytest.mark.slow
def test_a_minute_without_a_broker(broker: Mosquitto, counter: Counter, tmp_path: Path) -> None:
    """Long enough for every pause between attempts to have grown to its full length."""
    sink = open_sink(broker.port, tmp_path)
    sink.emit(announcement(1))
    wait_until(lambda: sink.state().n_waiting == 0)
    time.sleep(1.2)  # as above
    broker.kill()
    for number in range(2, 302):
        sink.emit(announcement(number))
        time.sleep(0.2)
    assert sink.state().n_waiting == 300
    broker.start()
    wait_until(lambda: sink.state().n_waiting == 0, timeout_s=60)
    wait_until(lambda: len(sequences(counter)) == 301)
    sink.close()
    assert sequences(counter) == list(range(1, 302))
    assert (sink.state().n_delivered, sink.state().n_lost) == (301, 0)


def test_lost_confirmations_do_not_make_it_say_things_twice(broker: Mosquitto, counter: Counter,
                                                            tmp_path: Path) -> None:
    proxy = Proxy(broker.port)
    sink = open_sink(proxy.port, tmp_path)
    wait_until(lambda: sink.state().problem is None)
    for number in range(1, 91):
        if number % 30 == 16:
            wait_until(lambda: sink.state().n_waiting == 0)
            proxy.hold_answers()
        sink.emit(announcement(number))
        if number % 30 == 0:
            # All 15 have reached the broker, and the sink has heard of none.
            wait_until(lambda n=number: len(sequences(counter)) == n)
            assert sink.state().n_waiting == 15
            proxy.cut()
            wait_until(lambda: sink.state().n_waiting == 0)
    sink.close()
    proxy.close()
    assert sequences(counter) == list(range(1, 91))
    assert sink.state().n_delivered == 90


def test_a_broker_that_hangs_stalls_nobody(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = open_sink(silent.getsockname()[1], tmp_path, close_timeout_s=0.2)
        started_s = time.monotonic()
        for number in range(1, 101):
            sink.emit(announcement(number))
        assert time.monotonic() - started_s < 0.5
        sink.close()
    assert sink.state().n_waiting == 100
    assert sink.state().n_lost == 0


def test_waiting_events_outlive_the_program(tmp_path: Path) -> None:
    port = free_port()
    sink = open_sink(port, tmp_path)
    for number in range(1, 51):
        sink.emit(announcement(number))
    sink.close()
    assert sink.state().n_waiting == 50
    assert "127.0.0.1" in (sink.state().problem or "")
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Mosquitto(folder, port=port)
    counter = Counter(port)
    second = open_sink(port, tmp_path)
    second.emit(announcement(1, run="second00"))
    second.close()
    wait_until(lambda: len(sequences(counter)) == 51)
    counter.close()
    broker.kill()
    assert sequences(counter) == [*range(1, 51), 1]


def test_full_disk_while_the_broker_is_away(tmp_path: Path) -> None:
    port = free_port()
    sink = open_sink(port, tmp_path)
    with full_disk(0):
        for number in range(1, 51):
            sink.emit(announcement(number))
        wait_until(lambda: "disk" in (sink.state().problem or ""))
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Mosquitto(folder, port=port)
    counter = Counter(port)
    wait_until(lambda: len(sequences(counter)) == 50)
    sink.close()
    counter.close()
    broker.kill()
    assert sequences(counter) == list(range(1, 51))
    assert sink.state().n_lost == 0


def test_home_assistant_finds_the_node(broker: Mosquitto, counter: Counter, tmp_path: Path) -> None:
    sink = open_sink(broker.port, tmp_path)
    wait_until(lambda: sum(topic.startswith("homeassistant/") for topic, *_ in counter.messages) >= 7)
    sink.close()
    configs = {topic: json.loads(payload) for topic, payload, *_ in counter.messages if topic.startswith("homea")}
    scene = configs["homeassistant/sensor/edge_asc_test_node/scene/config"]
    assert scene["options"] == [*LABELS, "unknown"]
    assert scene["default_entity_id"] == "sensor.edge_asc_test_node_scene"
    assert {scene["state_topic"], scene["availability_topic"]} == {SCENE, AVAILABILITY}
    assert len({config["unique_id"] for config in configs.values()}) == len(configs) == 7
    assert all(config["device"]["identifiers"] == ["edge_asc_test_node"] for config in configs.values())


def test_password_is_checked_by_the_broker(tmp_path: Path) -> None:
    folder, secret = tmp_path / "broker", tmp_path / "secret"
    folder.mkdir()
    secret.write_text("right\n")
    secret.chmod(0o640)
    users = folder / "users"
    users.write_text("node:right\n")
    subprocess.run([require_program("mosquitto_passwd"), "-U", str(users)], check=True)
    users.chmod(0o600)
    broker = Mosquitto(folder, settings=f"allow_anonymous false\npassword_file {users}")
    good = open_sink(broker.port, tmp_path, username="node", password_file=secret)
    wait_until(lambda: good.state().problem is None)
    good.close()
    secret.write_text("wrong")
    bad = open_sink(broker.port, tmp_path, username="node", password_file=secret)
    wait_until(lambda: "does not let us in" in (bad.state().problem or ""))
    bad.close()
    broker.kill()


# paho leaves the socket of a broker that is not trusted to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_and_who_is_not_trusted(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        subprocess.run([require_program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{tmp_path}/{name}.key", "-out",
                        f"{tmp_path}/{name}.pem", "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    broker = Mosquitto(tmp_path, settings=f"allow_anonymous true\ncertfile {tmp_path}/ours.pem\n"
                       f"keyfile {tmp_path}/ours.key")

    def connect(host: str, **settings: Any) -> None:
        Link(Broker(host=host, port=broker.port, **settings), will=None, on_progress=lambda: None).close()

    connect("localhost", tls=True, ca_file=tmp_path / "ours.pem")
    for host, file in (("localhost", "theirs.pem"), ("127.0.0.1", "ours.pem")):
        with pytest.raises(DeviceError, match=r"cannot be trusted.*`mqtt\.ca_file` and this machine's clock"):
            connect(host, tls=True, ca_file=tmp_path / file)
    with pytest.raises(DeviceError, match="found it closes the connection"):
        connect("localhost")
    broker.kill()


@pytest.mark.parametrize(("mode", "text", "match"), [(0o644, "secret", "everybody"), (0o602, "secret", "everybody"),
                                                     (0o600, " \n", "empty"), (None, "", "No such file")])
def test_password_file(tmp_path: Path, mode: int | None, text: str, match: str) -> None:
    secret = tmp_path / "secret"
    if mode is not None:
        secret.write_text(text)
        secret.chmod(mode)
    with pytest.raises(InputError, match=match):
        open_sink(1, tmp_path, password_file=secret)
