"""Announcements to hand to sinks."""

from __future__ import annotations

from edge_asc.listen.events import SceneEvent
from edge_asc.listen.sinks.base import Announcement, Health, SinkState

LABELS = ("indoor", "outdoor", "transportation")


def event(number: int = 1, *, label: str = "outdoor", changed: bool = False) -> SceneEvent:
    """A scene event of second `number`."""
    return SceneEvent(time_s=9.984 + number, label=label, confidence=0.7, latency_ms=12.0, changed=changed,
                      probabilities={"indoor": 0.2, "outdoor": 0.7, "transportation": 0.1})


def announcement(number: int, *, run: str = "0123abcd", label: str = "outdoor", changed: bool = False) -> Announcement:
    """The announcement with that sequence number."""
    return Announcement(event=event(number, label=label, changed=changed), node="test-node", run=run, sequence=number,
                        at="2026-01-01T00:00:00.000+00:00")


def health(**values: object) -> Health:
    """A healthy listener, but for what is given."""
    given = {"state": "listening", "uptime_s": 61.0, "audio_s": 60.5, "n_events": 51, "latency_ms": 12.0,
             "level_dbfs": -30.25, "counts": {"overflows": 2, "reopened": 1},
             "sinks": {"mqtt": SinkState(n_delivered=50, n_waiting=1)}, **values}
    return Health(**given)  # type: ignore[arg-type]
