"""Tasks on this machine: one after the other in this process, or side by side in worker processes."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from edge_asc.data.worker_pool import default_n_jobs, prepare_worker
from edge_asc.lab.engine import Ended, Work
from edge_asc.lab.tasks import Outcome, Task, fix_threads, run_task

_WAIT_S = 1.0


class InProcess:
    """One task at a time, in this process.

    Args:
        n_threads: For `tasks.fix_threads`; None leaves TensorFlow's threads as they are.
    """

    n_slots = 1

    def __init__(self, *, n_threads: int | None = 1, work: Work = run_task) -> None:
        self._n_threads, self._work = n_threads, work
        self._next: list[tuple[Task, Path]] = []

    def start(self, task: Task, folder: Path) -> None:
        """Remembers the task: it runs in `wait`."""
        self._next.append((task, folder))

    def wait(self) -> list[Ended]:
        """Runs what was started last."""
        task, folder = self._next.pop()
        try:
            return [Ended(task=task, outcome=run_here(self._work, task, folder, self._n_threads))]
        except Exception as error:
            return [Ended(task=task, error=error)]

    def close(self) -> None:
        """Nothing runs."""


class Workers:
    """Tasks in processes of their own, which end with this one.

    Args:
        n_workers: How many side by side.
        n_threads: Of each, for `tasks.fix_threads`.
    """

    def __init__(self, n_workers: int, *, n_threads: int | None = 1, work: Work = run_task) -> None:
        self.n_slots, self._n_threads, self._work = n_workers, n_threads, work
        self._running: dict[Future[Outcome], Task] = {}
        self._pool = self._new_pool()

    def start(self, task: Task, folder: Path) -> None:
        """Hands the task to a free process."""
        try:
            future = self._pool.submit(run_here, self._work, task, folder, self._n_threads)
        except BrokenProcessPool:
            self._pool = self._new_pool()
            future = self._pool.submit(run_here, self._work, task, folder, self._n_threads)
        self._running[future] = task

    def wait(self) -> list[Ended]:
        """A process that dies takes the pool with it: all that ran there is lost, and a new pool begins."""
        done, _ = wait(self._running, timeout=_WAIT_S, return_when=FIRST_COMPLETED)
        return [_ended(self._running.pop(future), future) for future in done]

    def close(self) -> None:
        """Ends the processes without waiting for their tasks."""
        # The pool would wait for them, for hours; `terminate_workers` came with Python 3.14.
        for process in list((self._pool._processes or {}).values()):
            process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self.n_slots, mp_context=multiprocessing.get_context("spawn"),
                                   initializer=prepare_worker)


def default_n_workers(n_threads: int) -> int:
    """As many as the cores have room for; one where TensorFlow sees a GPU, which it would not share."""
    from edge_asc.train.keras2 import tf

    return 1 if tf.config.list_physical_devices("GPU") else max(1, default_n_jobs() // n_threads)


def run_here(work: Work, task: Task, folder: Path, n_threads: int | None) -> Outcome:
    """In the process that a task was given to."""
    if n_threads is not None:
        fix_threads(n_threads)
    return work(task, folder)


def _ended(task: Task, future: Future[Outcome]) -> Ended:
    error = future.exception()
    if error is None:
        return Ended(task=task, outcome=future.result())
    return Ended(task=task, error=error, lost=isinstance(error, BrokenProcessPool))
