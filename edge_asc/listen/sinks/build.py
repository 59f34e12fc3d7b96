"""The sinks that a configuration asks for, slow ones with a queue in front. Each is imported only when it is wanted."""

from __future__ import annotations

from collections.abc import Sequence

from edge_asc.listen.config import Config
from edge_asc.listen.sinks.base import Queued, Sink


def build_sinks(config: Config, *, labels: Sequence[str], model: str) -> list[Sink]:
    """Open every sink that is configured; when one cannot be, those before it are closed again.

    Args:
        config: Sections that are None are left out.
        labels: What a scene can be.
        model: Name of the bundle.

    Raises:
        EdgeAscError: What the sinks raise.
    """
    sinks: list[Sink] = []
    try:
        if config.file:
            from edge_asc.listen.sinks.log_file import LogFileSink

            file = config.file
            sinks.append(Queued(LogFileSink(file.path, max_bytes=file.max_bytes, n_files=file.n_files)))
        if config.metrics:
            from edge_asc.listen.sinks.metrics import MetricsSink

            sinks.append(MetricsSink(host=config.metrics.host, port=config.metrics.port))
        if config.command:
            from edge_asc.listen.sinks.command import CommandSink

            command = config.command
            sinks.append(Queued(CommandSink(command.run, timeout_s=command.timeout_s,
                                            only_changes=command.only_changes),
                                capacity=16, close_timeout_s=command.timeout_s))
        if config.mqtt:
            sinks.append(_mqtt(config, labels=labels, model=model))
    except BaseException:
        for sink in sinks:
            sink.close()
        raise
    return sinks


def _mqtt(config: Config, *, labels: Sequence[str], model: str) -> Sink:
    from edge_asc.listen.sinks.mqtt import MqttSink

    assert config.mqtt
    mqtt, node = config.mqtt, config.node
    return MqttSink(mqtt.broker(client_id=f"edge-asc-{node.name}"), node=node.name, labels=labels, model=model,
                    spool_folder=node.state_folder / "mqtt-spool", max_spool_bytes=mqtt.max_spool_bytes,
                    base_topic=mqtt.base_topic, discovery_prefix=mqtt.discovery_prefix or None)
