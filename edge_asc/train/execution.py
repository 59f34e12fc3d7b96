"""How a training step is computed: the same function each time, rounded differently and taking another time.

Which way is quickest depends on the family of networks and on the device (`execution_trial`). A run keeps to the ways
that it began with, one for each family, as they stand in run.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Execution:
    """The plain way unless said otherwise."""

    channel_multiple: int = 1
    """Channels are rounded up to a multiple of this, in a network that puts none side by side."""
    pointwise_matmul: bool = False
    """1x1 convolutions are matrix products."""
    precision: str = "float32"
    """float32 or bfloat16: of the maps, and of kernels as they meet them. Variables, statistics, sums within a
    convolution, the convolution of the features, dense layers and the loss are float32 in any case."""
    xla: bool = False
    """Compile the whole step."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Execution:
        """From what `dataclasses.asdict` gave; nothing is the plain way."""
        return cls(**values)

    def __str__(self) -> str:
        parts = (f"channels in multiples of {self.channel_multiple}" if self.channel_multiple > 1 else "",
                 "1x1 convolutions as matrix products" if self.pointwise_matmul else "",
                 self.precision if self.precision != "float32" else "", "compiled by XLA" if self.xla else "")
        return ", ".join(filter(None, parts)) or "plain"


PLAIN = Execution()

Executions = Mapping[str, Execution]
"""By family of networks; a family without one is computed the plain way."""


def family(architecture: str) -> str:
    """V or I: the first letter of an architecture."""
    return architecture.strip()[:1].upper()


def execution_for(architecture: str, executions: Executions) -> Execution:
    """That of the architecture's family."""
    return executions.get(family(architecture), PLAIN)


def executions_to_json(executions: Executions) -> dict[str, Any]:
    """A plain mapping that `executions_from_json` reads back."""
    return {name: asdict(execution) for name, execution in executions.items()}


def executions_from_json(values: Mapping[str, Any]) -> Executions:
    """As they stand in run.json. In older ones there is one for all families, or none: the plain way."""
    if "channel_multiple" in values:
        return dict.fromkeys("VI", Execution.from_json(values))
    return {name: Execution.from_json(execution) for name, execution in values.items()}


def describe(executions: Executions) -> str:
    """For people: `V: channels in multiples of 8; I: plain`."""
    return "; ".join(f"{name}: {execution}" for name, execution in executions.items()) or str(PLAIN)
