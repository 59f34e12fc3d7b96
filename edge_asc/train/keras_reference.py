"""What Keras says to the windows of a parity report: the yardstick for every file that was converted from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_asc.bundle import Bundle
from edge_asc.errors import TrainingError
from edge_asc.parity import Reference
from edge_asc.train.keras2 import keras
from edge_asc.train.member_files import convert_member, predict
from edge_asc.train.run import LAST, Run


def keras_reference(run_dir: str | Path, bundle: Bundle, windows: npt.NDArray[np.float32], *,
                    weights: str | None = None) -> Reference:
    """Run the members of a bundle in Keras.

    Args:
        run_dir: The training run that the bundle was made from.
        bundle: Its members must be members of the run.
        windows: [n, n_mels, n_frames], clamped.
        weights: As for `Run.weights`; what the bundle says it was made from if None.

    Raises:
        TrainingError: The run is damaged or not finished, or lacks a member of the bundle.
    """
    run = Run.load(run_dir)
    known = [name for name, _ in run.recipe.members]
    if unknown := [member.name for member in bundle.members if member.name not in known]:
        raise TrainingError(f"{run.path} did not train all members of {bundle.path}", found=", ".join(known),
                            wanted=", ".join(unknown), fix="Name the run that the bundle was made from with --run.")
    weights = run.weights(bundle.members[0].name, weights or str(bundle.made.get("weights", LAST)))
    rows, files = [], {}
    for member in bundle.members:
        model = keras.models.load_model(run.model_path(member.name, weights), compile=False)
        rows.append(predict(model, windows))
        variant = next((name for name in ("float32-dense", "float32-sparse") if name in member.files), None)
        files[member.name] = (bundle.member_bytes(member.name, variant) if variant else
                              convert_member(model, ["float32-dense"], windows[:1])["float32-dense"])
        keras.backend.clear_session()
    notes = []
    if _identity(bundle.made.get("run")) != _identity(run.about):
        notes.append(f"{bundle.path} does not say that it was made from {run.path}")
    return Reference(name=f"Keras, float32, run {run.path}, weights {weights}", probabilities=np.stack(rows),
                     float_files=files, notes=tuple(notes))


def find_run(bundle: Bundle) -> Path | None:
    """The run that the bundle says it was made from, if it stands beside it.

    A bundle carries a copy of run.json and not its place, which would be wrong on the next machine.
    """
    wanted = _identity(bundle.made.get("run"))
    if wanted is None:
        return None
    return next((folder for folder in _beside(bundle.path) if _about(folder) == wanted), None)


def _beside(path: Path) -> Iterator[Path]:
    parent = path.resolve().parent
    yield parent
    for folder in (parent, parent.parent):
        yield from sorted(entry for entry in folder.iterdir() if (entry / "run.json").is_file())


def _about(run: Path) -> Any:
    try:
        return _identity(json.loads((run / "run.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _identity(about: Any) -> Any:
    """run.json without the folder of the data set, which a bundle keeps to itself; None if it is none."""
    if not isinstance(about, Mapping) or not isinstance(about.get("data"), Mapping):
        return None
    return {**about, "data": {key: value for key, value in about["data"].items() if key != "directory"}}
