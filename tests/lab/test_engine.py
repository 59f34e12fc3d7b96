"""The engine runs what is missing, once, and goes on after whatever died."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_asc.errors import InputError, TrainingError
from edge_asc.lab.engine import Executor, run_all, task_folder
from edge_asc.lab.local import InProcess, Workers
from edge_asc.lab.store import Store
from tests.lab import fakes


def begun(folder: Path, seed: int) -> int:
    return fakes.n_begun(task_folder(folder, fakes.task(seed)))


@pytest.mark.parametrize("executor", [InProcess(n_threads=None, work=fakes.work),
                                      Workers(2, n_threads=None, work=fakes.work)], ids=["in process", "workers"])
def test_every_task_is_run_once_however_often_it_is_named(executor: Executor, tmp_path: Path,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "store.sqlite")
    store.add(fakes.task(0), fakes.outcome(fakes.task(0)))
    tasks = [fakes.task(seed) for seed in (0, 1, 2, 1, 2)]
    run_all(tasks, store, executor, folder=tmp_path / "tasks", shown=True)
    assert [begun(tmp_path / "tasks", seed) for seed in (0, 1, 2)] == [0, 1, 1]
    assert all(task in store for task in tasks)
    assert capsys.readouterr().err.count("macro accuracy") == 2
    run_all(tasks, store, executor, folder=tmp_path / "tasks")
    assert begun(tmp_path / "tasks", 1) == 1


def test_a_task_that_fails_does_not_stop_the_others_and_is_tried_by_the_next_call(tmp_path: Path) -> None:
    store, folder, tasks = Store(tmp_path / "store.sqlite"), tmp_path / "tasks", [fakes.task(seed) for seed in range(4)]
    executor = InProcess(n_threads=None, work=fakes.fails_for_odd_seeds)
    with pytest.raises(TrainingError, match=r"2 of the tasks .* seed 1; found the loss is not a number"):
        run_all(tasks, store, executor, folder=folder)
    assert len(store) == 2
    assert begun(folder, 1) == 1, "what fails by itself is not retried"
    run_all(tasks, store, InProcess(n_threads=None, work=fakes.work), folder=folder)
    assert [begun(folder, seed) for seed in range(4)] == [1, 2, 1, 2]


def test_a_killed_worker_is_replaced_and_its_task_tried_again(tmp_path: Path) -> None:
    store, folder, tasks = Store(tmp_path / "store.sqlite"), tmp_path / "tasks", [fakes.task(seed) for seed in range(4)]
    run_all(tasks, store, Workers(2, n_threads=None, work=fakes.dies_once), folder=folder)
    assert len(store) == 4
    assert begun(folder, 1) == 2


def test_a_task_that_kills_every_worker_is_given_up(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    with pytest.raises(TrainingError, match="seed 1; found its worker was lost again and again"):
        run_all([fakes.task(0), fakes.task(1)], store, Workers(1, n_threads=None, work=fakes.dies_always),
                folder=tmp_path / "tasks", n_retries=2)
    assert begun(tmp_path / "tasks", 1) == 3
    assert fakes.task(0) in store


def test_two_sweeps_in_one_folder_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")

    def again(one: fakes.Task, folder: Path) -> fakes.Outcome:
        run_all([one], store, InProcess(n_threads=None, work=fakes.work), folder=tmp_path / "tasks")
        raise AssertionError

    with pytest.raises(TrainingError) as caught:
        run_all([fakes.task(0)], store, InProcess(n_threads=None, work=again), folder=tmp_path / "tasks")
    assert isinstance(caught.value.found, InputError)
    assert "another process is writing" in str(caught.value)
