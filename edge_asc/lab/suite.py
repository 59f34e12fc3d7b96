"""`edge-asc lab table1 ... all`: compute features, run what is missing, judge, write.

    OUT/store.sqlite, store.jsonl    every result
    OUT/tasks/KEY/                   a task's checkpoint, curves and networks
    OUT/table1.json, .md, .html      and so on; report.* for all of them
    OUT/dataset/, OUT/recordings/    the shipped recordings, cut for a smoke run
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from edge_asc.data.dataset import TauDataset
from edge_asc.errors import InputError
from edge_asc.lab.data import thinned
from edge_asc.lab.engine import Executor, run_all
from edge_asc.lab.judged import Judged, judge
from edge_asc.lab.plan import SMOKE, Plan
from edge_asc.lab.report import write
from edge_asc.lab.shipped import shipped_dataset
from edge_asc.lab.store import Store
from edge_asc.lab.tables import Table
from edge_asc.lab.tasks import Task
from edge_asc.report import Section
from edge_asc.spec import LABELS
from edge_asc.train.run import made_with

TITLE = "The laboratory: Ooi, Peksi and Gan 2020 again"


def data_for(dataset: str | Path | None, *, scale: str | float, out: Path) -> Path:
    """The data set to use: the one named, or for a smoke run the shipped clips, cut below `out`.

    Raises:
        InputError: None was named, and this is no smoke run.
    """
    if dataset is not None:
        return Path(dataset)
    if scale != SMOKE:
        raise InputError("which data set?", wanted="TAU Urban Acoustic Scenes 2020 3Class, or one of its layout",
                         fix="Name its folder; --scale smoke alone runs on the shipped clips.")
    return shipped_dataset(out)


def run_tables(tables: Sequence[Table], plan: Plan, executor: Executor, store: Store, *, out: Path,
               n_jobs: int | None = None, shown: bool = True) -> list[Judged]:
    """Runs some tables in one sweep and writes NAME.json, NAME.md and NAME.html of each.

    Args:
        executor: Where tasks run.
        n_jobs: Processes for features; None for one per core.
        shown: Whether progress goes to stderr.

    Raises:
        DatasetError: The data set cannot be trained on.
        TrainingError: Some tasks failed; all others are in the store.
    """
    tasks = _members(tables)
    _compute_features([task for task in tasks if task not in store], n_jobs=n_jobs, shown=shown)
    run_all(tasks, store, executor, folder=out / "tasks", shown=shown)
    judged = [judge(table, store) for table in tables]
    for table in judged:
        write(out, table["name"], title=table["title"], tables=[table], about=_about(plan))
    return judged


def write_report(judged: Sequence[Judged], plan: Plan, *, out: Path, more: Sequence[Section] = ()) -> list[Path]:
    """report.json, report.md and report.html of several tables, and further sections behind them."""
    return write(out, "report", title=TITLE, tables=judged, about=_about(plan), more=more)


def work_in_words(tables: Sequence[Table], plan: Plan, known: Container[Task]) -> str:
    """How many members the tables have, and what is to be trained: windows by family, whose speeds differ most.

    Args:
        known: What is not trained again.
    """
    tasks = _members(tables)
    missing = [task for task in tasks if task not in known]
    n_clips = len(thinned(TauDataset.load(plan.dataset), plan.data_share).train)
    n_windows: Counter[str] = Counter()
    for task in missing:
        training, n_mixed = task.recipe.training, len(LABELS) * task.recipe.block_mixing.n_tracks_per_label
        n_windows[task.architecture[0]] += training.epochs * (training.windows_per_epoch or n_clips + n_mixed)
    work = " and ".join(f"{n:,} windows to train {family} on" for family, n in n_windows.items()) or "nothing to train"
    return f"{len(tasks)} members, {len(missing)} of them not yet in the store: {work}"


def _compute_features(tasks: Iterable[Task], *, n_jobs: int | None, shown: bool) -> None:
    """Those that the tasks need and that are not cached yet, each only once, on all cores."""
    from edge_asc.train.training_data import load_splits

    seen = set()
    for task in tasks:
        recipe = task.recipe
        need = (task.dataset, task.data_share, recipe.features, recipe.seed, recipe.training.selection_fraction,
                recipe.block_mixing)
        if need not in seen:
            seen.add(need)
            load_splits(recipe, thinned(TauDataset.load(task.dataset), task.data_share), n_jobs=n_jobs, shown=shown)


def _members(tables: Sequence[Table]) -> list[Task]:
    """Those of all tables, each once."""
    return list({task.key: task for table in tables for task in table.tasks}.values())


def _about(plan: Plan) -> dict[str, object]:
    return {"data": {"directory": str(plan.dataset), "sha256": plan.data_sha256}, "made_with": made_with(),
            "recipe": plan.base.to_json()}


