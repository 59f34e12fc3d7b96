"""The whole state of a member's training as one file that is replaced in one step.

One file, because a kill between two files would leave weights of one batch beside an optimiser of another.
tf.train.Checkpoint writes several, so the variables go into one NumPy archive, whose checksums are read back.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_asc.atomic import replacing
from edge_asc.errors import TrainingError

_META = "meta"


def save(path: Path, groups: Mapping[str, Sequence[npt.NDArray[Any]]], meta: dict[str, Any]) -> None:
    """Writes named lists of arrays and a JSON-able mapping; `path` is the old file or the new one, never half."""
    arrays = {f"{group}/{number:04d}": array for group, items in groups.items() for number, array in enumerate(items)}
    arrays[_META] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # every key is an array's name


def load(path: Path) -> tuple[dict[str, list[npt.NDArray[Any]]], dict[str, Any]]:
    """What `save` wrote.

    Raises:
        TrainingError: The file is damaged.
    """
    groups: dict[str, list[npt.NDArray[Any]]] = {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for name in sorted(archive.files):
                if name != _META:
                    groups.setdefault(name.partition("/")[0], []).append(archive[name])
            return groups, json.loads(archive[_META].tobytes())
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
        raise TrainingError(f"{path} is damaged: {error}",
                            fix="Delete it and run the same command again: this member starts anew.") from error
