"""What a TFLite file says, as plain values: tensors and operators in execution order.

These are the types that the audit and the firmware export work on; nothing here knows about FlatBuffers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Quantization:
    """real = scale * (stored - zero_point), per tensor (one scale) or along `axis`."""

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int = 0


@dataclass(frozen=True)
class Tensor:
    """A constant (has `data`) or an activation (has none)."""

    index: int
    """Its place in `Model.tensors`."""
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    data: NDArray[Any] | None
    """Dense values, read only; sparse tensors expanded, float16 weights as float32 where the file dequantises them."""
    is_sparse: bool
    quantization: Quantization | None
    stored_dtype: np.dtype[Any]
    """How a constant stands in the file: float16 for weights that are widened when loaded."""
    stored_bytes: int = 0
    """Bytes of a constant in the file: its values and, if it is sparse, the arrays that say where they belong."""

    @property
    def n_elements(self) -> int:
        """Product of the shape."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def n_nonzero(self) -> int:
        """Elements of a constant that are not zero (0 for an activation)."""
        return 0 if self.data is None else int(np.count_nonzero(self.data))


@dataclass(frozen=True)
class Operator:
    """One step of the network. `inputs` and `outputs` index `Model.tensors`; -1 is an optional input left out."""

    name: str
    """As TFLite's schema has it: CONV_2D, FULLY_CONNECTED, ..."""
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, int | float | str | bool] = field(default_factory=dict)
    """Field names of the schema, defaults included; `padding` and `fused_activation_function` by name."""


@dataclass(frozen=True)
class Model:
    """One network."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    description: str
