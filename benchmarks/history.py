"""The ratios of earlier runs, a line of JSON each: date, version, machine, name -> ratio."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def append(path: Path, found: Mapping[str, Any]) -> None:
    """Add a run."""
    line = {"date": found["date"], "edge_asc": found["edge_asc"], "machine": found["machine"]["cpu"],
            "remarks": found["remarks"],
            "ratios": {claim["name"]: claim["ratio"]["value"] for claim in found["claims"] if claim["ratio"]}}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """All runs, the oldest first; none if there is no such file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
