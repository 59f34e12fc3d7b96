"""A member in one variant: what rulers measure."""

from __future__ import annotations

from dataclasses import dataclass

from edge_asc.audit import MemberSizes


@dataclass(frozen=True, kw_only=True)
class Part:
    """A member in one variant."""

    name: str
    """The same in every variant."""
    architecture: str
    variant: str
    data: bytes
    """The .tflite file."""
    sizes: MemberSizes

    @property
    def precision(self) -> str:
        """Sparse and dense files of one precision are one network once they are loaded."""
        return self.variant.partition("-")[0]
