"""Where an MQTT broker is: apart from the connection itself, so that reading a configuration loads nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Broker:
    """Where the broker is and who we are to it."""

    host: str
    port: int | None = None
    """None is 8883 with TLS and 1883 without."""
    client_id: str = "edge-asc"
    username: str | None = None
    password_file: Path | None = None
    """Holds the password and nothing else; EDGE_ASC_MQTT_PASSWORD in the environment does as well."""
    tls: bool = False
    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None

    @property
    def address(self) -> str:
        """Host and port as one text."""
        return f"{self.host}:{self.port or (8883 if self.tls else 1883)}"
