"""How the bundle in the box is made, from recordings to a model card: `make bundle RECORDINGS=recordings.csv`.

Trained on the rows with `use=train` alone. Judged twice: leaving recordings out of the training part, and on the rows
with `use=test`, which come from other collections. Every step goes on where it stopped.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import edge_asc
from edge_asc.atomic import write_text
from edge_asc.data.dataset import TauDataset
from edge_asc.data.import_plan import ImportSettings
from edge_asc.data.import_recordings import import_recordings
from edge_asc.train.convert import convert_run
from edge_asc.train.cross_validation import cross_validate
from edge_asc.train.demo import CLIPS_DIR, HELD_OUT
from edge_asc.train.evaluate import Evaluation, evaluate, save
from edge_asc.train.fit import train_ensemble
from edge_asc.train.progress import reporter
from edge_asc.train.recipes import load_recipe, scaled

LEVELS_DB = (-30.0, -20.0, -10.0, 10.0)
FOLD_MEMBERS = ("v1", "i1")
FOLD_SCALE = 0.35
N_FOLDS = 4
"""As many as there are recordings of transportation to train on."""
VARIANTS = ("int8-sparse", "float32-sparse")
"""The small one for devices, and the exact one to compare with."""


def make(recordings: Path, work: Path, out: Path) -> None:
    """Import, train, judge, convert.

    Args:
        recordings: The CSV file of `edge-asc dataset import`, with a column `use`.
        work: Folder for the data set and the runs.
        out: The bundle.
    """
    recipe = load_recipe("box")
    import_recordings(recordings, work / "data", settings=ImportSettings(), progress=True)
    with reporter() as progress:
        run = train_ensemble(recipe, work / "data", work / "run", progress=progress)
        folds = cross_validate(scaled(recipe, FOLD_SCALE), work / "data", work / "folds", n_folds=N_FOLDS,
                               members=FOLD_MEMBERS, progress=progress)
        test = evaluate(run.path, work / "data", levels_db=LEVELS_DB)
        save(test, work / "test")
        sections = {"Leaving recordings out": _folds(folds), "Other collections": _test(test),
                    "Recordings": _recordings(work / "data")}
        convert_run(run.path, out, variants=VARIANTS, golden_clip=CLIPS_DIR / HELD_OUT, sections=sections,
                    notify=progress.say)
    write_text(work / "figures.json", json.dumps({"folds": folds.to_json(), "test": test.to_json()}, indent=1) + "\n")


def _folds(found: Evaluation) -> str:
    return (f"Members {' and '.join(FOLD_MEMBERS)} alone, with {FOLD_SCALE:.0%} of the epochs, trained {N_FOLDS} times "
            "on the training recordings but a quarter and judged on that quarter. It says how the recipe does on "
            "recordings that it has not heard, from the same collections; the ensemble in this bundle was trained on "
            f"all of them.\n\n{_figures(found)}")


def _test(found: Evaluation) -> str:
    rows = [("0", found.scores, found.floors)] if found.scores else []
    rows += [(f"{level.gain_db:+g}", level.scores, level.floors) for level in found.levels]
    levels = _table(("gain, dB", "macro accuracy", "log-loss", "regression, macro accuracy"),
                    [(name, *(f"{figure:.3f}" for figure in (scores.macro_accuracy, scores.log_loss,
                                                             floors[-1].macro_accuracy)))
                     for name, scores, floors in rows])
    return (f"All members, on recordings of collections that nothing was trained on.\n\n{_figures(found)}\n"
            f"The same windows at other levels:\n\n{levels}\n"
            "It is no substitute for training on TAU Urban Acoustic Scenes or on recordings of your own places: there "
            "are four recordings of transportation behind it.\n")


def _figures(found: Evaluation) -> str:
    assert found.scores is not None
    assert found.interval is not None
    rows = [("the networks", found.scores.macro_accuracy, found.scores.micro_accuracy, found.scores.log_loss)]
    rows += [(floor.name, floor.macro_accuracy, floor.micro_accuracy, floor.log_loss) for floor in found.floors]
    rows += [(f"member {name}", scores.macro_accuracy, scores.micro_accuracy, scores.log_loss)
             for name, scores in found.members.items()]
    recalls = ", ".join(f"{label} {row[i] / max(sum(row), 1):.0%} of {sum(row)}" for i, (label, row)
                        in enumerate(zip(found.scores.labels, found.scores.confusion, strict=True)))
    table = _table(("", "macro accuracy", "micro accuracy", "log-loss"),
                   [(name, *(f"{figure:.3f}" for figure in figures)) for name, *figures in rows])
    interval = found.interval
    return (f"{table}\n{found.scores.n} windows of {interval.n_recordings} recordings. {interval.level:.0%} interval "
            f"of the macro accuracy over recordings (bootstrap): {interval.low:.2f} to {interval.high:.2f}. Right: "
            f"{recalls}.\n")


def _recordings(data: Path) -> str:
    trained_on = {clip.recording for clip in TauDataset.load(data).train}
    with (data / "CREDITS.csv").open(newline="", encoding="utf-8") as file:
        rows = [(row["source_id"], row["author"], row["licence"]) for row in csv.DictReader(file)
                if row["identifier"] in trained_on]
    return f"Trained on parts of these, with thanks:\n\n{_table(('source', 'author', 'licence'), rows)}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *rows]) + "\n"


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]), Path(edge_asc.__file__).parent / "assets" / "bundle")
