"""From noisy answers each hop to a scene that stays put: smoothing, hysteresis, a minimum hold, and "unknown".

Pure: what comes out depends on the events that went in and their times, on nothing else.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_asc.errors import InputError
from edge_asc.listen.events import SceneEvent

UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class DecisionRules:
    """When the scene is said to be another one. The defaults pass every answer through unchanged."""

    smooth_s: float = 0.0
    """Time constant of exponential smoothing of the probabilities; 0 for none."""
    mean_of: int = 1
    """Mean of the probabilities of the last so many events; an alternative to `smooth_s`."""
    enter: float = 0.0
    """A label becomes the scene only with at least this probability."""
    leave: float = 1.0
    """The scene is kept while its own probability is at least this."""
    min_hold_s: float = 0.0
    """A label, once it is the scene, is kept at least this long."""
    unknown_below: float = 0.0
    """The scene is unknown while no label has at least this probability."""
    unknown_entropy: float = 1.0
    """The scene is unknown while the entropy of the probabilities is above this; 1 is that of knowing nothing."""
    each_hop: bool = True
    """Say something each hop; otherwise only when the scene changes."""

    def __post_init__(self) -> None:
        for name in ("enter", "leave", "unknown_below", "unknown_entropy"):
            _require(0 <= getattr(self, name) <= 1, self, name, "0 to 1")
        for name in ("smooth_s", "min_hold_s"):
            _require(0 <= getattr(self, name) < math.inf, self, name, "0 or more seconds")
        _require(self.mean_of >= 1, self, "mean_of", "1 or more")
        _require(not (self.smooth_s and self.mean_of > 1), self, "smooth_s", "0 when mean_of is used: choose one")


class Decider:
    """Feed it one event each hop, in order; it gives back the decision, or None when there is nothing to say."""

    def __init__(self, rules: DecisionRules) -> None:
        self.rules = rules
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next event is the first."""
        self._recent: deque[NDArray[np.float64]] = deque(maxlen=self.rules.mean_of)
        self._time_s = 0.0
        self._scene: str | None = None
        self._since_s = -math.inf

    def update(self, event: SceneEvent) -> SceneEvent | None:
        """Take in one answer.

        Returns:
            The event with smoothed probabilities, the decided label and whether that is a change; None if the rules
            say to speak only on change and there is none.
        """
        labels = list(event.probabilities)
        smoothed = self._smooth(event.time_s, np.array(list(event.probabilities.values())))
        probabilities = {label: float(value) for label, value in zip(labels, smoothed, strict=True)}
        scene = self._choose(event.time_s, probabilities)
        changed = scene != self._scene
        if changed:
            self._scene, self._since_s = scene, event.time_s
        if not (changed or self.rules.each_hop):
            return None
        confidence = max(probabilities.values()) if scene == UNKNOWN else probabilities[scene]
        return dataclasses.replace(event, label=scene, confidence=confidence, probabilities=probabilities,
                                   changed=changed)

    def _smooth(self, time_s: float, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.rules.smooth_s and self._recent:
            # By elapsed time, not by event: the same smoothness at any hop.
            kept = math.exp(-(time_s - self._time_s) / self.rules.smooth_s)
            values = kept * self._recent[-1] + (1 - kept) * values
        self._recent.append(values)
        self._time_s = time_s
        mean: NDArray[np.float64] = np.mean(self._recent, axis=0)
        return mean

    def _choose(self, time_s: float, probabilities: dict[str, float]) -> str:
        rules, scene = self.rules, self._scene or UNKNOWN
        if scene in probabilities and time_s - self._since_s < rules.min_hold_s:
            return scene
        best = max(probabilities, key=probabilities.__getitem__)
        if probabilities[best] < rules.unknown_below or relative_entropy(probabilities) > rules.unknown_entropy:
            return UNKNOWN
        if scene in probabilities and probabilities[scene] >= rules.leave:
            return scene
        return best if probabilities[best] >= rules.enter else UNKNOWN


def relative_entropy(probabilities: dict[str, float]) -> float:
    """Shannon entropy divided by its largest possible value: 0 for certain, 1 for a uniform distribution."""
    values = [value for value in probabilities.values() if value > 0]
    entropy = -sum(value * math.log(value) for value in values)
    return min(1.0, entropy / math.log(len(probabilities))) if len(probabilities) > 1 else 0.0


def _require(ok: bool, rules: DecisionRules, name: str, wanted: str) -> None:
    if not ok:
        raise InputError(f"impossible decision setting {name}", found=getattr(rules, name), wanted=wanted)
