"""A whole listener: source, ensemble, decisions, sinks and health, put together and taken apart in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from edge_asc.listen.config import Config
from edge_asc.listen.decide import Decider
from edge_asc.listen.events import Block
from edge_asc.listen.health import Meter, Monitor
from edge_asc.listen.pipeline import listen
from edge_asc.listen.sinks import Writer
from edge_asc.listen.sinks.base import Sinks, SinkState
from edge_asc.listen.sinks.build import build_sinks
from edge_asc.runtime import Ensemble

_N_LATENCIES = 10_000
_TROUBLES = ("gaps", "overflows", "skipped_windows", "restarts")


def run_node(source: Iterable[Block], ensemble: Ensemble, config: Config, *, writer: Writer | None = None,
             notify: Callable[[str], None] | None = None,
             more_counts: Callable[[], dict[str, int]] = dict) -> list[float]:
    """Listen until the source ends or an exception comes, then deliver what is left.

    Args:
        source: Blocks at the ensemble's sample rate.
        ensemble: From `edge_asc.runtime.load_ensemble`.
        config: What to decide and whom to tell.
        writer: Called in the listener's own loop, unlike sinks.
        notify: Called with a sentence that a person should know.
        more_counts: What the source counts itself, for the reports of health.

    Returns:
        The latency in milliseconds of each of the last 10000 events.

    Raises:
        EdgeAscError: What source, ensemble and sinks raise.
    """
    fingerprint = ensemble.fingerprint
    meter = Meter(sample_rate_hz=ensemble.features.sample_rate_hz)
    bundle = config.listen.bundle
    sinks = build_sinks(config, labels=ensemble.labels, model=bundle.name if bundle else "bundle in the box")
    if config.terminal.format == "view":
        from edge_asc.listen.sinks.view import ViewSink

        view = ViewSink(labels=ensemble.labels, title=f"edge-asc · {ensemble.description}", level=lambda: meter.level)
        sinks.append(view)
        ensemble = _Shown(ensemble, on_window=view.window)
    hub = Sinks(sinks, node=config.node.name)
    monitor = Monitor(meter, report=hub.health, health_s=config.node.health_s, more_counts=more_counts,
                      sinks=hub.states, notify=notify, bundle=fingerprint)
    decider, latencies_ms = Decider(config.decide), deque[float](maxlen=_N_LATENCIES)

    def skipped(n: int) -> None:
        meter.counts["skipped_windows"] += n

    try:
        for event in listen(meter.watch(source), ensemble, hop_s=config.listen.hop_s, notify=notify, on_skip=skipped):
            monitor.saw(event)
            latencies_ms.append(event.latency_ms)
            decision = decider.update(event)
            if decision is not None:
                # The sinks first: a signal that comes once an event is printed must find it on its way to them.
                hub.emit(decision)
                if writer:
                    writer.emit(decision)
        if writer:
            writer.close()
    finally:
        monitor.close()
        hub.close()
        counts = {**meter.counts, **more_counts()}
        troubles = [f"{counts[name]} {name.replace('_', ' ')}" for name in _TROUBLES if counts.get(name)]
        if notify and troubles:
            notify(f"not all sound was heard: {', '.join(troubles)}")
        if notify and (rest := _undelivered(hub.states())):
            notify(f"not every event was delivered: {rest}")
    return list(latencies_ms)


def _undelivered(sinks: Mapping[str, SinkState]) -> str:
    """What the sinks did not get rid of in a run that has ended, and why."""
    parts = []
    for name, state in sinks.items():
        figures = [f"{n} {what}" for n, what in ((state.n_lost, "lost"), (state.n_waiting, "waiting")) if n]
        if figures:
            parts.append(f"{name}: {' and '.join(figures)}" + (f" ({state.problem})" if state.problem else ""))
    return "; ".join(parts)


class _Shown(Ensemble):
    """An ensemble that shows each window to somebody before it answers."""

    def __init__(self, ensemble: Ensemble, *, on_window: Callable[[NDArray[np.float32]], None]) -> None:
        super().__init__(ensemble.members, labels=ensemble.labels, features=ensemble.features, variant=ensemble.variant)
        self._on_window = on_window

    def probabilities(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        self._on_window(window)
        return super().probabilities(window)
