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

    Raises:
        TrainingError: TensorFlow is at work in this process already, with another number.
    """

    n_slots = 1

    def __init__(self, *, n_threads: int | None = 1, work: Work = run_task) -> None:
        self._n_threads, self._work = n_threads, work
        self._next: list[tuple[Task, Path]] = []
        if n_threads is not None:
            fix_threads(n_threads)  # now: whatever else this process asks of TensorFlow would settle it

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
    """Tasks in processes of their own, which end with this one; one that dies takes no other with it.

    Args:
        n_workers: How many side by side.
        n_threads: Of each, for `tasks.fix_threads`.
    """

    def __init__(self, n_workers: int, *, n_threads: int | None = 1, work: Work = run_task) -> None:
        self.n_slots, self._n_threads, self._work = n_workers, n_threads, work
        self._free: list[ProcessPoolExecutor] = []
        self._running: dict[Future[Outcome], tuple[Task, ProcessPoolExecutor]] = {}

    def start(self, task: Task, folder: Path) -> None:
        """Hands the task to a free process, or to a new one."""
        pool = self._free.pop() if self._free else ProcessPoolExecutor(
            1, mp_context=multiprocessing.get_context("spawn"), initializer=prepare_worker)
        self._running[pool.submit(run_here, self._work, task, folder, self._n_threads)] = task, pool

    def wait(self) -> list[Ended]:
        """What ended; a process that died is replaced by the next `start`."""
        done, _ = wait(self._running, timeout=_WAIT_S, return_when=FIRST_COMPLETED)
        return [self._ended(future) for future in done]

    def close(self) -> None:
        """Ends the processes without waiting for their tasks."""
        for pool in (*self._free, *(pool for _, pool in self._running.values())):
            # The pool would wait for them, for hours; `terminate_workers` came with Python 3.14.
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)

    def _ended(self, future: Future[Outcome]) -> Ended:
        task, pool = self._running.pop(future)
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            pool.shutdown()
            return Ended(task=task, error=error, lost=True)
        self._free.append(pool)
        return Ended(task=task, error=error) if error else Ended(task=task, outcome=future.result())


def default_n_workers(n_threads: int) -> int:
    """As many as the cores have room for; one where TensorFlow sees a GPU, which it would not share."""
    from edge_asc.train.keras2 import tf

    return 1 if tf.config.list_physical_devices("GPU") else max(1, default_n_jobs() // n_threads)


def run_here(work: Work, task: Task, folder: Path, n_threads: int | None) -> Outcome:
    """In the process that a task was given to."""
    if n_threads is not None:
        fix_threads(n_threads)
    return work(task, folder)
