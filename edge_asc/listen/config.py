"""Everything that a listening node can be told, as one tree of frozen dataclasses, read from one TOML file.

Sections that are absent are off. `edge-asc config show` prints the whole with comments.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_asc.errors import InputError
from edge_asc.listen.decide import DecisionRules
from edge_asc.listen.sinks.broker import Broker
from edge_asc.listen.toml_tree import read_tree, to_toml

ENGINES = ("auto", "litert", "tflite-runtime", "native")
TERMINALS = ("text", "json", "view", "none")


def _default_state_folder() -> Path:
    """Where systemd says (StateDirectory=), else the user's own place for such things, else the system's."""
    if systemd := os.environ.get("STATE_DIRECTORY"):
        return Path(systemd.split(":")[0])
    try:
        return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "edge-asc"
    except RuntimeError:  # a user without a home, as in a container
        return Path("/var/lib/edge-asc")


@dataclass(frozen=True, kw_only=True)
class Node:
    """This node."""

    name: str = field(default_factory=lambda: re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname()) or "edge-asc")
    """Name in events, MQTT topics and Home Assistant; the host's name unless set. No two nodes of a broker may share
    one."""
    state_folder: Path = field(default_factory=_default_state_folder)
    """Where events wait while the broker is away; under systemd its StateDirectory unless set."""
    health_s: float = 10.0
    """Seconds between reports of the node's health to the sinks."""

    def __post_init__(self) -> None:
        # The name becomes a level of MQTT topics, where + and # and / mean something else.
        _require(bool(re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", self.name)), "node.name", self.name,
                 "1 to 64 letters, digits, '-', '_' or '.'")
        _require(1 <= self.health_s <= 3600, "node.health_s", self.health_s, "1 to 3600")


@dataclass(frozen=True, kw_only=True)
class Listen:
    """What listens."""

    bundle: Path | None = None
    """Folder of the bundle; the one in the box unless set."""
    public_key: Path | None = None
    """Public half of the key with which the bundle must be signed; anybody's bundle is used unless set."""
    variant: str | None = None
    """Precision and encoding, such as "int8-dense"; the bundle's default unless set."""
    engine: str = "auto"
    """"litert", "tflite-runtime", "native" (int8 variants as C, compiled for this processor) or "auto": the first of
    these that works here."""
    n_threads: int = 1
    """Threads inside one inference; of the native engine, members that run at the same time."""
    hop_s: float = 1.0
    """Seconds between answers, 0.1 to 60."""

    def __post_init__(self) -> None:
        _require(self.engine in ENGINES, "listen.engine", self.engine, " or ".join(ENGINES))
        _require(1 <= self.n_threads <= 64, "listen.n_threads", self.n_threads, "1 to 64")
        _require(0.1 <= self.hop_s <= 60, "listen.hop_s", self.hop_s, "0.1 to 60")


@dataclass(frozen=True, kw_only=True)
class MicrophoneSettings:
    """The microphone."""

    device: str | int | None = None
    """Number or part of a name from `edge-asc devices`; the system's default unless set."""

    def __post_init__(self) -> None:
        _require(self.device != "", "microphone.device", repr(self.device), "a number or a part of a name")


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """What `edge-asc listen` writes to its standard output."""

    format: str = "text"
    """"text", "json" (a line for each event), "view" (live picture) or "none"."""

    def __post_init__(self) -> None:
        _require(self.format in TERMINALS, "terminal.format", self.format, " or ".join(TERMINALS))


@dataclass(frozen=True, kw_only=True)
class LogFile:
    """Events as JSON lines in a file that is rotated."""

    path: Path
    max_bytes: int = 10 << 20
    """Size at which the file becomes PATH.1, that one PATH.2, and so on."""
    n_files: int = 5
    """Files kept, the current one included."""

    def __post_init__(self) -> None:
        _require(self.max_bytes >= 4096, "file.max_bytes", self.max_bytes, "at least 4096")
        _require(1 <= self.n_files <= 1000, "file.n_files", self.n_files, "1 to 1000")


@dataclass(frozen=True, kw_only=True)
class Mqtt:
    """Events to an MQTT broker, with Home Assistant discovery."""

    host: str
    port: int | None = None
    """8883 with TLS and 1883 without unless set."""
    base_topic: str | None = None
    """Topic below which everything is published; "edge-asc/NODE" unless set."""
    username: str | None = None
    password_file: Path | None = None
    """A file with the password and nothing else, not readable by everybody (chmod 640). The environment variable
    EDGE_ASC_MQTT_PASSWORD does as well."""
    tls: bool = False
    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None
    discovery_prefix: str = "homeassistant"
    """Home Assistant's discovery prefix; empty for no discovery."""
    max_spool_bytes: int = 16 << 20
    """Events that wait on disk while the broker is away: 16 MB are about half a day of an event each second."""

    def __post_init__(self) -> None:
        # Not mqtt://HOST and not HOST:PORT; what has colons is an IPv6 address.
        _require(is_ip(self.host) if ":" in self.host else re.fullmatch(r"[^\s/\[\]]+", self.host) is not None,
                 "mqtt.host", repr(self.host), "a name or address and no more (the port is `mqtt.port`)")
        _require(self.port is None or 1 <= self.port <= 65535, "mqtt.port", self.port, "1 to 65535")
        for name in ("base_topic", "discovery_prefix"):
            topic = getattr(self, name) or ""
            _require(not re.search(r"[+#\x00]|^[/$]|/$", topic), f"mqtt.{name}", repr(topic),
                     "a topic without + and #, and without / at its ends or $ at its beginning")
        _require(self.base_topic != "", "mqtt.base_topic", repr(self.base_topic), "a topic, or no such line")
        _require(self.max_spool_bytes >= 1 << 18, "mqtt.max_spool_bytes", self.max_spool_bytes, f"at least {1 << 18}")
        certificates = (self.ca_file, self.client_certificate_file, self.client_key_file)
        _require(self.tls or not any(certificates), "mqtt.tls", "false", "true where certificates are given")
        _require(not self.client_key_file or bool(self.client_certificate_file), "mqtt.client_key_file",
                 self.client_key_file, "mqtt.client_certificate_file beside it")

    def broker(self, *, client_id: str) -> Broker:
        """What a connection needs."""
        return Broker(host=self.host, port=self.port, client_id=client_id, username=self.username, tls=self.tls,
                      password_file=self.password_file, ca_file=self.ca_file, client_key_file=self.client_key_file,
                      client_certificate_file=self.client_certificate_file)


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """A page with metrics for Prometheus: http://HOST:PORT/metrics."""

    host: str = "127.0.0.1"
    """Address to serve on. Anything but loopback can be read by the whole network."""
    port: int = 9468

    def __post_init__(self) -> None:
        _require(0 <= self.port <= 65535, "metrics.port", self.port, "0 (the system chooses) to 65535")


@dataclass(frozen=True, kw_only=True)
class Command:
    """A program that is run for events, with the event as JSON on its standard input. No shell is involved."""

    run: tuple[str, ...]
    """Program and arguments. EDGE_ASC_LABEL and EDGE_ASC_CONFIDENCE are in its environment."""
    timeout_s: float = 10.0
    """It is killed when it takes longer."""
    only_changes: bool = True
    """Only when the scene is another one than before."""

    def __post_init__(self) -> None:
        _require(bool(self.run and self.run[0]), "command.run", list(self.run), "a program, then its arguments")
        _require(0 < self.timeout_s <= 3600, "command.timeout_s", self.timeout_s, "above 0, up to 3600")


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole configuration."""

    node: Node = field(default_factory=Node)
    listen: Listen = field(default_factory=Listen)
    microphone: MicrophoneSettings = field(default_factory=MicrophoneSettings)
    decide: DecisionRules = field(default_factory=DecisionRules)
    terminal: Terminal = field(default_factory=Terminal)
    file: LogFile | None = None
    mqtt: Mqtt | None = None
    metrics: Metrics | None = None
    command: Command | None = None


def load_config(path: str | Path | None = None, settings: Mapping[str, Any] | None = None) -> Config:
    """Read a configuration.

    Args:
        path: A TOML file; None for the defaults.
        settings: Values by dotted name, {"listen.hop_s": 2.0}, that override those of the file.

    Raises:
        InputError: It cannot be read, is no TOML, or has an unknown key or an impossible value.
    """
    return read_tree(Config, None if path is None else Path(path), settings)


def is_ip(text: str) -> bool:
    """Whether that is an address and no name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def show_config(config: Config) -> str:
    """TOML that reads back to the same, with comments; sections that are off appear as commented examples."""
    folder = Path("/var/log/edge-asc")
    examples = {"file": LogFile(path=folder / "events.jsonl"), "mqtt": Mqtt(host="broker.example"),
                "metrics": Metrics(), "command": Command(run=("/usr/local/bin/on-scene", "--verbose"))}
    return to_toml(config, absent=examples)


def _require(ok: bool, name: str, found: object, wanted: str) -> None:
    if not ok:
        raise InputError(f"impossible value for {name}", found=found, wanted=wanted)
