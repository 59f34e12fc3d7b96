"""Whether maps in bfloat16 cost accuracy: members of the demo, trained in float32 and in bfloat16 from several seeds.

Run: python -m benchmarks.precision [--seeds 5] [--set training.epochs=60]   (needs the extra `train`; a minute of CPU
time for each seed). Prints mean and standard deviation over the seeds; a difference counts for no more than those.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_asc.data.dataset import TauDataset
from edge_asc.data.import_plan import ImportSettings
from edge_asc.data.import_recordings import import_recordings
from edge_asc.lab.tasks import fix_threads
from edge_asc.train.demo import CLIPS_DIR, HOP_S
from edge_asc.train.execution import Execution
from edge_asc.train.fit import train_member
from edge_asc.train.progress import Silent
from edge_asc.train.recipes import Recipe, load_recipe, override
from edge_asc.train.training_data import load_splits

WAYS: Mapping[str, tuple[Execution, ...]] = {
    "v1": tuple(Execution(channel_multiple=16, precision=precision) for precision in ("float32", "bfloat16")),
    "i1": (Execution(pointwise_matmul=True), Execution(precision="bfloat16"))}
FIGURES = ("cross_entropy", "validation_log_loss", "validation_macro_accuracy")
"""Of the last epoch; the first is of the training windows."""


def measure(recipe: Recipe, seeds: Sequence[int]) -> dict[str, Any]:
    """Member, way and figure -> mean, standard deviation, and the values by seed."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="edge-asc-precision-") as name:
        folder = Path(name)
        import_recordings(CLIPS_DIR / "recordings.csv", folder / "data", settings=ImportSettings(hop_s=HOP_S),
                          progress=False)
        splits = load_splits(recipe, TauDataset.load(folder / "data"), shown=False)
        for member, ways in WAYS.items():
            for way in ways:
                last = [train_member(member, recipe=dataclasses.replace(recipe, seed=seed), splits=splits,
                                     folder=folder / f"{member}, {way}, {seed}", progress=Silent(),
                                     execution=way)["last"] for seed in seeds]
                found[f"{member}, {way}"] = {figure: _spread([row[figure] for row in last]) for figure in FIGURES}
    return found


def _spread(values: Sequence[float]) -> dict[str, Any]:
    return {"mean": round(float(np.mean(values)), 3), "sd": round(float(np.std(values, ddof=1)), 3),
            "values": [round(value, 3) for value in values]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="precision", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], help="change the recipe `demo`, as for edge-asc train")
    options = parser.parse_args()
    fix_threads(1)
    print(json.dumps(measure(override(load_recipe("demo"), options.set), range(1, 1 + options.seeds)), indent=1))


if __name__ == "__main__":
    main()
