"""A Pareto experiment in the folder of a laboratory: members are tasks of its store, outputs go below OUT/pareto/."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_asc.atomic import write_text
from edge_asc.lab.engine import Ended, Executor, run_missing, task_folder
from edge_asc.lab.pareto.experiment import N_TOGETHER, POOL, Front, lay_out, run_pareto
from edge_asc.lab.pareto.plot import write_plot
from edge_asc.lab.pareto.points import MAX_MEMBERS
from edge_asc.lab.pareto.report import TITLE, section
from edge_asc.lab.pareto.space import PAPER, SMOKE, Space
from edge_asc.lab.plan import SMOKE as SMOKE_SCALE
from edge_asc.lab.plan import Plan
from edge_asc.lab.store import Store
from edge_asc.lab.tables import V
from edge_asc.lab.tasks import Task, fix_threads
from edge_asc.report import Section, markdown
from edge_asc.train.run import LAST

FOLDER = "pareto"


def space_for(scale: str | float, **changes: Any) -> Space:
    """The space that goes with a scale, with some of its lists replaced.

    Raises:
        RecipeError: Something in it can never be.
    """
    return replace(SMOKE if scale == SMOKE_SCALE else PAPER, **changes)


def pool_folder(out: Path) -> Path:
    """Where the members are that `edge-asc lab pick` takes."""
    return out / FOLDER / POOL


def check(plan: Plan, scale: str | float, known: Container[Task], *, n_threads: int) -> tuple[int, int]:
    """Refuses now what `run_default` would refuse after the tables have been trained for days; decodes no sound.

    Args:
        known: What is not trained again.

    Returns:
        How many members the front has, and how many of them are not known.

    Raises:
        As `run_pareto`.
    """
    fix_threads(n_threads)
    base = plan.task(V, seed=0, pruned=True)
    tasks = lay_out(space_for(scale), base)
    return len(tasks), sum(task not in known for task in tasks)


def run_default(plan: Plan, scale: str | float, make_executor: Callable[[], Executor], store: Store, *, out: Path,
                n_threads: int, say: Callable[[str], None]) -> Section:
    """The front of file sizes that belongs to a scale, as a section of the laboratory's report."""
    front = run(space_for(scale), plan, make_executor, store, out=out, n_threads=n_threads, say=say)
    return section(front, commands=next_commands(out))


def next_commands(out: Path) -> tuple[str, ...]:
    """What to do with a front."""
    return (f"edge-asc lab pick {out} -o BUNDLE --budget file=100KB",)


def run(space: Space, plan: Plan, make_executor: Callable[[], Executor], store: Store, *, out: Path,
        say: Callable[[str], None], ruler_names: Sequence[str] = ("file",), board: str | None = None,
        reference: Mapping[str, int] | None = None, n_max: int = MAX_MEMBERS, n_trials: int = 0,
        n_together: int = N_TOGETHER, n_threads: int = 1,
        shown: bool = True) -> Front:
    """Trains what the store has not, and writes OUT/pareto/pareto.json, .md and .html.

    Args:
        make_executor: Called for every sweep that trains something.
        n_threads: Of TensorFlow in this process, which converts.
        shown: Whether progress goes to stderr.
        others: As for `run_pareto`.

    Raises:
        As `run_pareto`.
    """
    def train(tasks: list[Task]) -> dict[str, Ended]:
        if all(task in store for task in tasks):
            return {}
        return run_missing(tasks, store, make_executor(), folder=out / "tasks", shown=shown)

    def model_path(task: Task) -> Path:
        return task_folder(out / "tasks", task) / f"{LAST}.keras"

    make_executor().close()  # a cluster that is not there is said now, and not after hours of features
    fix_threads(n_threads)
    folder = out / FOLDER
    front = run_pareto(space, plan.task(V, seed=0, pruned=True), out=folder, train=train, model_path=model_path,
                       ruler_names=ruler_names, board=board, reference=reference, n_max=n_max, n_trials=n_trials,
                       n_together=n_together, notify=say)
    write_text(folder / "pareto.md", markdown(TITLE, plan.stamp, [section(front)]))
    write_plot(front, folder / "pareto.html", stamp=plan.stamp, commands=next_commands(out))
    return front
