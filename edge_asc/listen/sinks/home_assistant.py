"""Home Assistant's MQTT discovery: retained descriptions by which the node's entities appear by themselves.

See Home Assistant's documentation of the MQTT integration, "MQTT discovery" and "MQTT sensor".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from edge_asc import __version__

_COUNTED = "total_increasing"


def discovery(*, prefix: str, node: str, base: str, labels: Sequence[str], model: str) -> dict[str, str]:
    """Messages to publish, retained: payload by topic.

    Args:
        prefix: Home Assistant's discovery prefix, "homeassistant" unless it was changed there.
        node: Name of this node; unique among the nodes of a broker.
        base: Topic below which the node publishes `scene`, `health` and `availability`.
        labels: What a scene can be.
        model: Name of the bundle.
    """
    identifier = "edge_asc_" + "".join(c if c.isascii() and c.isalnum() else "_" for c in node)
    device = {"identifiers": [identifier], "name": node, "manufacturer": "edge-asc", "model": model,
              "sw_version": __version__}

    def sensor(key: str, name: str, topic: str, template: str, **more: Any) -> tuple[str, str]:
        unique = f"{identifier}_{key}"
        # Up to 2025.9 Home Assistant names an entity by object_id, from 2025.10 on by default_entity_id.
        config = {"name": name, "unique_id": unique, "object_id": unique,
                  "default_entity_id": f"sensor.{unique}".lower(), "state_topic": f"{base}/{topic}",
                  "value_template": f"{{{{ {template} }}}}",
                  "availability_topic": f"{base}/availability", "device": device, **more}
        return f"{prefix}/sensor/{identifier}/{key}/config", json.dumps(config)

    health = {"entity_category": "diagnostic"}
    return dict([
        sensor("scene", "Scene", "scene", "value_json.label", device_class="enum", options=[*labels, "unknown"],
               icon="mdi:ear-hearing", json_attributes_topic=f"{base}/scene"),
        sensor("confidence", "Confidence", "scene", "(value_json.confidence * 100) | round(1)",
               unit_of_measurement="%", state_class="measurement"),
        sensor("state", "State", "health", "value_json.state", **health),
        sensor("level", "Level", "health", "value_json.level_dbfs", unit_of_measurement="dB",
               state_class="measurement", **health),
        sensor("latency", "Latency", "health", "value_json.latency_ms", unit_of_measurement="ms",
               state_class="measurement", **health),
        sensor("lost", "Losses of sound", "health", "value_json.counts.overflows | default(0)", state_class=_COUNTED,
               **health),
        sensor("restarts", "Microphone reopened", "health", "value_json.counts.restarts | default(0)",
               state_class=_COUNTED, **health),
    ])
