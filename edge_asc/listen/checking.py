"""Is what a configuration names there, and wise? What it says is checked when it is read, in `config.py`."""

from __future__ import annotations

import ipaddress
import shutil

from edge_asc.errors import InputError
from edge_asc.listen.config import Config, is_ip


def check_config(config: Config) -> list[str]:
    """Look at what the configuration names: bundle and its variant, secrets, log file, program.

    Returns:
        Warnings: what works but is unwise.

    Raises:
        EdgeAscError: Something it names cannot be used.
    """
    from edge_asc.bundle import Bundle, shipped_bundle
    from edge_asc.listen.sinks.mqtt_link import read_password, tls_context

    warnings = []
    bundle = Bundle.load(config.listen.bundle or shipped_bundle(), public_key=config.listen.public_key)
    if config.listen.variant not in (None, *bundle.variants):
        raise InputError(f"{bundle.path} has no variant {config.listen.variant}", wanted=" or ".join(bundle.variants),
                         fix="Correct `listen.variant`.")
    if config.file and config.file.path.exists() and not config.file.path.is_file():
        raise InputError("cannot write the log file", found=f"{config.file.path} is no file", wanted="the path of one",
                         fix="Correct `file.path`.")
    if mqtt := config.mqtt:
        broker = mqtt.broker(client_id=config.node.name)
        password = read_password(broker)
        if mqtt.tls:
            tls_context(broker)
        elif password and not _is_loopback(mqtt.host):
            warnings.append(f"the password for {mqtt.host} goes over the network in the clear: set mqtt.tls = true")
    if config.metrics and not _is_loopback(config.metrics.host):
        warnings.append(f"metrics.host = {config.metrics.host!r}: anybody on the network can read the metrics")
    if config.command and shutil.which(config.command.run[0]) is None:
        raise InputError("cannot run the command for each event", found=config.command.run[0],
                         wanted="a program on the PATH or a full path", fix="Correct `command.run`.")
    return warnings


def _is_loopback(host: str) -> bool:
    return ipaddress.ip_address(host).is_loopback if is_ip(host) else host == "localhost"
