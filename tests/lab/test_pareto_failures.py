"""Members that cannot be trained: the front is made of the others, the search goes on, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_asc.data.dataset import TauDataset
from edge_asc.errors import TrainingError
from edge_asc.lab.data import data_fingerprint
from edge_asc.lab.engine import Ended, run_missing, task_folder
from edge_asc.lab.local import InProcess
from edge_asc.lab.pareto.experiment import POOL, STUDY, run_pareto
from edge_asc.lab.pareto.pool import load_pool
from edge_asc.lab.pareto.report import section
from edge_asc.lab.pareto.space import Space
from edge_asc.lab.store import Store
from edge_asc.lab.tasks import Outcome, Task, run_task, single_member
from tests.train import tiny_sounds

pytestmark = pytest.mark.train


def trains_unpruned_members_alone(task: Task, folder: Path) -> Outcome:
    if task.recipe.pruning.enabled:
        raise TrainingError("the loss is not a number")
    return run_task(task, folder)


def test_what_fails_is_named_and_blocks_neither_front_nor_search(sounds: Path, tmp_path: Path) -> None:
    store, said = Store(tmp_path / "store.sqlite"), list[str]()
    base = Task(recipe=single_member(tiny_sounds.recipe(epochs=6), "I(0,0,0)"), seed=1, dataset=str(sounds),
                data_sha256=data_fingerprint(TauDataset.load(sounds)))

    def train(tasks: list[Task]) -> dict[str, Ended]:
        executor = InProcess(n_threads=None, work=trains_unpruned_members_alone)
        return run_missing(tasks, store, executor, folder=tmp_path / "tasks")

    def run(*sparsities: float, n_trials: int = 0) -> list[str]:
        space = Space(architectures=("I(0,0,0)",), widths=(0.5,), sparsities=sparsities, variants=("int8-sparse",))
        front = run_pareto(space, base, out=tmp_path / "pareto", train=train, n_trials=n_trials, notify=said.append,
                           model_path=lambda task: task_folder(tmp_path / "tasks", task) / "last.keras")
        assert "training failed" in section(front).text or not front.failed
        return list(front.failed)

    assert run(0, 0.8, n_trials=2) == ["I(0,0,0)x0.5, 16 x 1024, 80% zeros, seed 1: the loss is not a number"]
    assert len(store) == 1
    assert (tmp_path / "pareto" / STUDY).exists()
    assert sum(line.startswith("trial 2 of 2") for line in said) == 1, "failed trials count"
    with pytest.raises(TrainingError, match="1 of the tasks could not be finished"):
        run(0.8)
    assert len(load_pool(tmp_path / "pareto" / POOL).entries) == 1, "what was there is kept"
