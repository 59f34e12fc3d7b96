"""The engine runs what is missing, once, and goes on after whatever died."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from edge_asc.errors import InputError, TrainingError
from edge_asc.lab.engine import Executor, run_all, task_folder
from edge_asc.lab.live import LiveTable
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


def test_a_task_that_kills_every_worker_is_given_up_and_takes_no_other_with_it(tmp_path: Path) -> None:
    store, folder = Store(tmp_path / "store.sqlite"), tmp_path / "tasks"
    with pytest.raises(TrainingError, match=r"1 of the tasks .* seed 1; found its worker was lost again and again"):
        run_all([fakes.task(seed) for seed in range(4)], store, Workers(2, n_threads=None, work=fakes.dies_always),
                folder=folder, n_retries=2)
    assert [begun(folder, seed) for seed in range(4)] == [1, 3, 1, 1]
    assert len(store) == 3


def test_the_live_table_shows_how_far_each_task_is(tmp_path: Path) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=140)
    live = LiveTable(3, 1, console)
    live.start(fakes.task(5), tmp_path / "five")
    (tmp_path / "five").mkdir()
    (tmp_path / "five" / "history.csv").write_text("epoch,seconds\n1,2.0\n2,2.0\n")
    live.start(fakes.task(6), tmp_path / "six")
    console.print(live)
    live.finish(fakes.task(6), fakes.outcome(fakes.task(6)))
    live.fail(fakes.task(5), "its worker was lost")
    said = screen.getvalue()
    for part in ("1 of 3 tasks done", "seed 5", "2/400", "0/400", "2 of 3 tasks done", "seed 5: its worker was lost"):
        assert part in said


def test_two_sweeps_in_one_folder_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")

    def again(one: fakes.Task, folder: Path) -> fakes.Outcome:
        run_all([one], store, InProcess(n_threads=None, work=fakes.work), folder=tmp_path / "tasks")
        raise AssertionError

    with pytest.raises(TrainingError) as caught:
        run_all([fakes.task(0)], store, InProcess(n_threads=None, work=again), folder=tmp_path / "tasks")
    assert isinstance(caught.value.found, InputError)
    assert "another process is writing" in str(caught.value)
