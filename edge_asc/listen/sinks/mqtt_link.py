"""One connection to an MQTT broker, from connecting to its loss; a lost one is never revived.

paho would send again by itself whatever was not acknowledged, without asking whether it had arrived. So its
reconnection is off, and `mqtt.py` decides what goes over the next link.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from edge_asc.errors import DeviceError, InputError, MissingDependencyError
from edge_asc.listen.sinks.broker import Broker

_KEEPALIVE_S = 30
_CONNECT_TIMEOUT_S = 5.0
WINDOW = 20
"""Messages that may be under way without an acknowledgement: paho's own limit too."""


class Link:
    """An open connection.

    Args:
        broker: Where to.
        will: Topic and payload that the broker publishes, retained, when this link is lost; None for nothing.
        on_progress: Called from another thread whenever something was acknowledged or the link was lost.

    Raises:
        DeviceError: The broker cannot be reached or refuses.
        InputError: A password, certificate or key file cannot be used.
    """

    def __init__(self, broker: Broker, *, will: tuple[str, str] | None, on_progress: Callable[[], None]) -> None:
        paho = import_paho()
        self._broker, self._on_progress = broker, on_progress
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=broker.client_id, protocol=paho.MQTTv311,
                                   reconnect_on_failure=False)
        self._client.connect_timeout = _CONNECT_TIMEOUT_S
        if will:
            self._client.will_set(will[0], will[1], qos=1, retain=True)
        password = read_password(broker)
        if broker.username or password:
            self._client.username_pw_set(broker.username, password)
        if broker.tls:
            self._client.tls_set_context(tls_context(broker))
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_publish = self._published
        self._client.on_message = self._received
        self._answer = threading.Event()
        self._refusal: str | None = None
        self._retained: list[bytes] = []
        self._message_arrived = threading.Event()
        self._acknowledged: SimpleQueue[int] = SimpleQueue()
        self._is_lost = False
        self._open()

    @property
    def is_lost(self) -> bool:
        """Once true it stays so."""
        return self._is_lost or not self._client.is_connected()

    def publish(self, topic: str, payload: str, *, retain: bool = True) -> int:
        """Send with quality of service 1; returns the number that `acknowledgements` will give back."""
        return int(self._client.publish(topic, payload, qos=1, retain=retain).mid)

    def acknowledgements(self) -> Iterator[int]:
        """Numbers of messages that the broker has confirmed since the last call."""
        with contextlib.suppress(Empty):
            while True:
                yield self._acknowledged.get_nowait()

    def retained(self, topic: str, *, timeout_s: float = 1.0) -> bytes | None:
        """The message that the broker keeps for a topic; None if it keeps none or does not let us read it."""
        self._retained.clear()
        self._message_arrived.clear()
        self._client.subscribe(topic, qos=1)
        self._message_arrived.wait(timeout_s)
        self._client.unsubscribe(topic)
        return self._retained[0] if self._retained else None

    def close(self, *, goodbye: tuple[str, str] | None = None) -> None:
        """Leave: with `goodbye` (topic, payload; retained) in place of the last will, else without a word."""
        if goodbye and not self.is_lost:
            # Messages keep their order: once it is confirmed, so is all before it.
            with contextlib.suppress(RuntimeError, ValueError):  # paho's words for a link that breaks right now
                self._client.publish(*goodbye, qos=1, retain=True).wait_for_publish(_CONNECT_TIMEOUT_S)
            self._client.disconnect()
        self._client.loop_stop()

    def _open(self) -> None:
        host, _, port = self._broker.address.rpartition(":")
        try:
            self._client.connect(host, int(port), keepalive=_KEEPALIVE_S)
        except ssl.SSLCertVerificationError as error:
            raise DeviceError(f"the MQTT broker at {self._broker.address} cannot be trusted",
                              found=error.verify_message,
                              wanted="a certificate for that name by an authority that is trusted",
                              fix="Check `mqtt.host`, `mqtt.ca_file` and this machine's clock.") from error
        except (OSError, ValueError) as error:
            raise DeviceError(f"no MQTT broker at {self._broker.address}: {error}",
                              fix="Check `mqtt.host`, `mqtt.port` and `mqtt.tls`, and that the broker runs.") from error
        self._client.loop_start()
        if not self._answer.wait(_CONNECT_TIMEOUT_S) or self._refusal:
            self._client.disconnect()
            self._client.loop_stop()
            raise DeviceError(f"the MQTT broker at {self._broker.address} does not let us in",
                              found=self._refusal or "no answer",
                              fix="Check `mqtt.username` and the password, and whether the port wants TLS or a client "
                                  "certificate.")

    def _connected(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._refusal = str(reason) if reason.is_failure else None
        self._answer.set()

    def _disconnected(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._is_lost = True
        if not self._answer.is_set():
            self._refusal = "it closes the connection"
            self._answer.set()
        self._on_progress()

    def _published(self, client: Any, userdata: Any, number: int, reason: Any, properties: Any) -> None:
        self._acknowledged.put(number)
        self._on_progress()

    def _received(self, client: Any, userdata: Any, message: Any) -> None:
        if message.retain:
            self._retained.append(message.payload)
            self._message_arrived.set()


def import_paho() -> Any:
    """paho-mqtt's client module.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        import paho.mqtt.client
    except ImportError as error:
        raise MissingDependencyError.extra("MQTT", "mqtt") from error
    return paho.mqtt.client


def read_password(broker: Broker) -> str | None:
    """The password from its file, or else from the environment; None if there is neither.

    Raises:
        InputError: The file cannot be read, is empty, or others than its owner and group can read it; or there is a
            password and no user name.
    """
    if broker.password_file is None:
        password = os.environ.get("EDGE_ASC_MQTT_PASSWORD") or None
    else:
        password = read_secret(broker.password_file).decode(errors="replace").strip()
        if not password:
            raise InputError(f"the password file {broker.password_file} is empty")
    if password and not broker.username:
        raise InputError("a password for MQTT without a user name", fix="Set `mqtt.username`: without it the password "
                         "would not be sent.")
    return password


def read_secret(path: Path) -> bytes:
    """The content of a file that must be nobody else's business.

    Raises:
        InputError: It cannot be read, or everybody can read or write it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & (stat.S_IROTH | stat.S_IWOTH):
                raise InputError(f"{path} is a secret that everybody on this machine can read",
                                 found=f"mode {stat.S_IMODE(mode):04o}", wanted="0640 or stricter",
                                 fix=f"Run: chmod o= {path}")
            return file.read(65536)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", fix=f"For the service: sudo chgrp edge-asc {path} && "
                         f"sudo chmod 640 {path}" if isinstance(error, PermissionError) else None) from error


def tls_context(broker: Broker) -> ssl.SSLContext:
    """How to speak TLS to the broker; certificates and host names are always checked.

    Raises:
        InputError: A certificate or key cannot be used.
    """
    if broker.client_key_file:
        read_secret(broker.client_key_file)
    name, file = "mqtt.ca_file", broker.ca_file
    try:
        context = ssl.create_default_context(cafile=file)
        if broker.client_certificate_file:
            name, file = "mqtt.client_certificate_file` and `mqtt.client_key_file", broker.client_certificate_file
            context.load_cert_chain(file, broker.client_key_file)
    except OSError as error:  # ssl.SSLError among them
        raise InputError(f"cannot use {file} for MQTT", found=error.strerror or error, wanted="PEM",
                         fix=f"Check `{name}`.") from error
    return context
