"""`edge-asc lab pareto`: train what is missing, convert it, grow ensembles, and write the front.

    pareto.json, pareto.md, pareto.html     the front, and every point beside it
    pool/                                   the members as files; `edge-asc lab pick` builds bundles of them
    search.sqlite                           the study, if there was a search
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_asc.atomic import write_text
from edge_asc.data.dataset import TauDataset
from edge_asc.errors import DatasetError, MissingDependencyError, OverBudgetError
from edge_asc.lab.data import thinned
from edge_asc.lab.engine import Ended, failure
from edge_asc.lab.pareto.points import (
    MAX_MEMBERS,
    Point,
    default_reference,
    hypervolume_share,
    interval,
    points,
    to_json,
    worth_having,
)
from edge_asc.lab.pareto.pool import Pool
from edge_asc.lab.pareto.pool_maker import PoolMaker
from edge_asc.lab.pareto.rulers import find_rulers
from edge_asc.lab.pareto.space import Space, grid, with_selection
from edge_asc.lab.tasks import Task
from edge_asc.spec import LABELS
from edge_asc.train.metrics import Interval
from edge_asc.train.run import made_with
from edge_asc.train.training_data import load_splits

FORMAT = 1
POOL, STUDY = "pool", "search.sqlite"
N_TOGETHER = 4
SPLITS_SENTENCE = ("Ensembles were chosen on the selection split: recordings held out of the training split, on which "
                   "nothing was trained. Accuracy is reported on the validation split, on which nothing was trained or "
                   "chosen.")


@dataclass(frozen=True, kw_only=True)
class Front:
    """Points of accuracy against complexity, and which of them are worth having."""

    pool: Pool
    points: tuple[Point, ...]
    """Every point that was measured."""
    front: tuple[Point, ...]
    """Those that none beats, the cheapest by the first ruler first."""
    intervals: tuple[Interval, ...]
    """Of the front's macro accuracy on the validation split."""
    reference: Mapping[str, int]
    hypervolume: float
    """As a share of the box up to the reference; see `points.hypervolume_share`."""
    n_trials: int
    failed: tuple[str, ...] = ()
    """Members that are not in it because they could not be trained, and why."""

    @property
    def rulers(self) -> tuple[str, ...]:
        """What complexity was measured by."""
        return tuple(self.front[0].costs)

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        found = []
        for point in self.points:
            values = {**to_json(self.pool, point), "on_front": point in self.front}
            if point in self.front:
                values["interval"] = dataclasses.asdict(self.intervals[self.front.index(point)])
            found.append(values)
        members = {entry.name: {"architecture": entry.task.architecture, "seed": entry.task.seed, "key": entry.task.key,
                                "sparsity": entry.task.recipe.pruning.final_sparsity} for entry in self.pool.entries}
        return {"format": FORMAT, "splits": SPLITS_SENTENCE, "rulers": self.rulers, "reference": dict(self.reference),
                "hypervolume": self.hypervolume, "n_trials": self.n_trials, "failed": self.failed,
                "members": members, "points": found, "made_with": made_with()}


def run_pareto(space: Space, base: Task, *, out: Path, train: Callable[[list[Task]], Mapping[str, Ended]],
               model_path: Callable[[Task], Path], ruler_names: Sequence[str] = ("file",), board: str | None = None,
               reference: Mapping[str, int] | None = None, n_max: int = MAX_MEMBERS, n_trials: int = 0,
               n_together: int = N_TOGETHER, notify: Callable[[str], None]) -> Front:
    """Everything from training to the front; what was trained, converted or tried before is not done again.

    Members that fail are named and left out. Those that an earlier call made of the same data and features take part.

    Args:
        space: The members to train.
        base: Data and recipe; its architecture, sparsity and seed are replaced.
        out: Gets the files named above.
        train: Trains those tasks that are not in the store, and returns those that failed, by key.
        model_path: Where the network of a trained task is.
        ruler_names: What complexity is measured by.
        board: For the rulers `firmware-flash` and `firmware-ram`.
        reference: The costs, by ruler, up to which the hypervolume counts; the others are `default_reference`.
        n_max: Members of an ensemble at most.
        n_trials: Trials of a search between the listed points.
        n_together: How many of them are proposed at once and trained together.
        notify: Told what is done.

    Raises:
        InputError, RecipeError, MissingDependencyError: Refused before anything is trained.
        DatasetError: The data set cannot be trained on, or has no recordings to hold out for choosing.
        OverBudgetError: Nothing fits the board.
        TrainingError: No member could be trained, or the network of one is gone.
    """
    rulers = find_rulers(ruler_names, spec=base.recipe.features, board=board)
    base = with_selection(base)
    tasks = grid(space, base)
    splits = load_splits(base.recipe, thinned(TauDataset.load(base.dataset), base.data_share))
    out.mkdir(parents=True, exist_ok=True)
    search = None
    if n_trials:
        try:
            from edge_asc.lab.pareto.search import Search
        except ImportError as error:
            raise MissingDependencyError.extra("a search", "lab") from error
        search = Search(out / STUDY, space=space, base=base, rulers=rulers)
    notify(f"{len(tasks)} members in the space")
    failed = train(tasks)
    if len(failed) == len(tasks):
        raise failure(list(failed.values()))
    missing = tuple(f"{ended.task}: {ended.why}" for ended in failed.values())
    for sentence in missing:
        notify(f"without {sentence}")
    maker = PoolMaker(out / POOL, variants=space.variants, splits=splits, model_path=model_path, notify=notify)
    maker.take_earlier(base)
    pool = maker.take(task for task in tasks if task.key not in failed)
    if search is not None:
        pool = maker.take(search.tasks())
        search.run(n_trials, maker=maker, train=train, n_together=n_together, notify=notify)
        pool = maker.take([])
    notify(f"growing ensembles of up to {n_max} of {len(pool.entries)} members")
    front = judge(pool, points(pool, rulers, n_max=n_max), reference=reference or {}, n_trials=n_trials,
                  failed=missing)
    write_text(out / "pareto.json", json.dumps(front.to_json(), indent=1) + "\n")
    return front


def lay_out(space: Space, base: Task) -> list[Task]:
    """The tasks of a space, or a refusal of what could never be, without a look at any sound.

    Raises:
        InputError, RecipeError: A member could never be trained.
        DatasetError: There are no recordings to hold out for choosing.
    """
    train = thinned(TauDataset.load(base.dataset), base.data_share).train
    for label in LABELS:
        n_recordings = len({clip.recording for clip in train if clip.label == label})
        if n_recordings < 2:
            raise DatasetError(f"no recording of {label} to hold out and choose on",
                               found=f"{n_recordings} in the training split", wanted="at least two")
    return grid(space, with_selection(base))


def judge(pool: Pool, found: Sequence[Point], *, reference: Mapping[str, int], n_trials: int = 0,
          failed: Sequence[str] = ()) -> Front:
    """The front of some points, with its figure.

    Raises:
        OverBudgetError: There is none: nothing fitted the board.
    """
    if not found:
        raise OverBudgetError("no ensemble fits the board", fix="Take a larger board, or smaller members.")
    best = [found[place] for place in worth_having([point.selection for point in found],
                                                   [tuple(point.costs.values()) for point in found])]
    best.sort(key=lambda point: tuple(point.costs.values()))
    limits = default_reference(found) | {name: limit for name, limit in reference.items() if name in best[0].costs}
    return Front(pool=pool, points=tuple(found), front=tuple(best), reference=limits, n_trials=n_trials,
                 failed=tuple(failed),
                 intervals=tuple(interval(pool, point) for point in best),
                 hypervolume=hypervolume_share(best, limits))
