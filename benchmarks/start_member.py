"""How long a member takes from the start of its process to its first batch, with the features cached.

Run: start_member.py FOLDER [prepare]. `prepare` writes a data set, its features and this machine's way of training.
"""

from __future__ import annotations

import time

_BEGAN_S = time.perf_counter()

import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))


def main() -> None:
    folder = Path(sys.argv[1])
    if sys.argv[2:] == ["prepare"]:
        prepare(folder)
    else:
        start(folder)


def prepare(folder: Path) -> None:
    """Two clips per label and split, and everything that only the first run of a machine needs."""
    from benchmarks.sound_files import write_clip
    from edge_asc.data.dataset import TauDataset
    from edge_asc.data.tau_layout import META, SETUP, clip_filename, write_table
    from edge_asc.train.execution_trial import best_executions
    from edge_asc.train.recipes import load_recipe
    from edge_asc.train.training_data import load_splits

    splits: dict[str, list[tuple[str, str]]] = {"train": [], "validation": []}
    scenes = {"indoor": "airport", "outdoor": "park", "transportation": "tram"}
    for place, (split, label) in enumerate((split, label) for split in splits for label in scenes):
        for segment in range(2):
            name = clip_filename(scenes[label], "lyon", place, segment)
            write_clip(folder / name, seed=10 * place + segment)
            splits[split].append((name, label))
    for split, rows in splits.items():
        write_table(folder / SETUP[split], ["filename", "scene_label"], rows)
    write_table(folder / META, ["filename", "scene_label"], [row for rows in splits.values() for row in rows])
    recipe = load_recipe("paper-model1")
    load_splits(recipe, TauDataset.load(folder), shown=False)
    best_executions(recipe)


def start(folder: Path) -> None:
    """Trains until the first batch is done, prints the seconds it took, and ends."""
    from edge_asc.train.fit import train_ensemble
    from edge_asc.train.progress import Silent
    from edge_asc.train.recipes import load_recipe

    imported_s = time.perf_counter() - _BEGAN_S

    class First(Silent):
        def advance(self, n_windows: int) -> None:
            print(json.dumps({"imported_s": round(imported_s, 2),
                              "first_batch_s": round(time.perf_counter() - _BEGAN_S, 2),
                              "cpu_s": round(time.process_time(), 2)}), flush=True)
            os._exit(0)

    train_ensemble(load_recipe("paper-model1"), folder, folder / "run", progress=First())


if __name__ == "__main__":
    main()
