"""Runs the tasks that a store has no result of, wherever an executor puts them; can be stopped and started anywhere.

A finished task is never run again, an unfinished one goes on from the checkpoint in its folder, and a task whose
worker was lost is tried again. A task that fails by itself does not stop the others.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_asc.data.folder_lock import sole_writer
from edge_asc.errors import TrainingError
from edge_asc.lab.live import Board, board
from edge_asc.lab.store import Store
from edge_asc.lab.tasks import Outcome, Task

Work = Callable[[Task, Path], Outcome]
"""What an executor runs: `tasks.run_task`, or a test's stand-in."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A task that an executor is done with."""

    task: Task
    outcome: Outcome | None = None
    error: BaseException | None = None
    """Why there is no outcome."""
    lost: bool = False
    """The worker died, through no fault of the task as far as anyone can tell: worth another try."""

    @property
    def why(self) -> str:
        """The error in words."""
        return "its worker was lost" if self.lost else str(self.error)


class Executor(Protocol):
    """A place where tasks run."""

    @property
    def n_slots(self) -> int:
        """How many tasks it can run side by side, at the moment."""

    def start(self, task: Task, folder: Path) -> None:
        """Begins a task; returns at once."""

    def wait(self) -> Sequence[Ended]:
        """Tasks that ended since the last call; waits for one, but may come back with none after a while.

        Raises:
            EdgeAscError: The place itself is gone.
        """

    def close(self) -> None:
        """Stops what still runs; checkpoints stay."""


def run_all(tasks: Iterable[Task], store: Store, executor: Executor, *, folder: Path, n_retries: int = 3,
            shown: bool = False) -> None:
    """As `run_missing`, where nothing can be done without all of the tasks.

    Raises:
        TrainingError: Some tasks failed; all others were run first.
        EdgeAscError: The executor is gone. What is finished is in the store.
    """
    if failed := run_missing(tasks, store, executor, folder=folder, n_retries=n_retries, shown=shown):
        raise failure(list(failed.values()))


def run_missing(tasks: Iterable[Task], store: Store, executor: Executor, *, folder: Path, n_retries: int = 3,
                shown: bool = False) -> dict[str, Ended]:
    """Has every task run that the store does not know, each once, however often it is named.

    Args:
        folder: Gets a folder per task, named by its key. Wherever a task may run, this path must lead to the same
            files, or a task that moves to another machine starts anew.
        n_retries: How often a task may lose its worker.
        shown: Whether progress goes to stderr: a live table on a terminal, else lines.

    Returns:
        The tasks that failed, by key.

    Raises:
        EdgeAscError: The executor is gone. What is finished is in the store.
    """
    by_key = {task.key: task for task in tasks}
    waiting = deque(task for task in by_key.values() if task not in store)
    failed: dict[str, Ended] = {}
    n_losses: Counter[str] = Counter()
    with sole_writer(folder, wait=False), board(n_tasks=len(by_key), n_known=len(by_key) - len(waiting),
                                                shown=shown) as progress:
        try:
            while waiting or progress.running:
                while waiting and len(progress.running) < executor.n_slots:
                    task = waiting.popleft()
                    progress.start(task, task_folder(folder, task))
                    executor.start(task, task_folder(folder, task))
                for ended in executor.wait():
                    _take(ended, store, progress, failed)
                    if ended.lost and n_losses[ended.task.key] < n_retries:
                        n_losses[ended.task.key] += 1
                        del failed[ended.task.key]
                        waiting.append(ended.task)
        finally:
            executor.close()
    return failed


def failure(failed: Sequence[Ended]) -> TrainingError:
    """The error that tasks failed."""
    first = failed[0]
    return TrainingError(f"{len(failed)} of the tasks could not be finished, the first: {first.task}",
                         found="its worker was lost again and again" if first.lost else first.error,
                         fix="The others are kept; the same command tries the rest again.")


def task_folder(folder: Path, task: Task) -> Path:
    """Where a task keeps its checkpoint, curves and networks."""
    return folder / task.key[:16]


def _take(ended: Ended, store: Store, progress: Board, failed: dict[str, Ended]) -> None:
    if ended.outcome is not None:
        store.add(ended.task, ended.outcome)
        progress.finish(ended.task, ended.outcome)
    else:
        failed[ended.task.key] = ended
        progress.fail(ended.task, ended.why)
