"""Processes for work that is done file by file: one thread each, and none left behind when the parent is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from typing import Any

from edge_asc.errors import EdgeAscError

# As many processes as cores, each with as many BLAS threads as cores, would only get in each other's way.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

Job = tuple[Any, ...]
Run = Callable[[Callable[..., Any], Sequence[Job]], Iterator[tuple[Job, Any]]]


def default_n_jobs() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def worker_pool(n_jobs: int) -> Iterator[Run]:
    """Gives a function that runs `function(*job)` for every job and yields (job, result) as they are finished.

    With one process the work is done in this one. Otherwise `function` must be importable by name, and jobs and
    results picklable: processes are spawned, not forked, which is safe beside TensorFlow and its threads.

    Raises:
        EdgeAscError: A process died, most likely for want of memory.
    """
    if n_jobs <= 1:
        yield lambda function, jobs: ((job, function(*job)) for job in jobs)
        return
    with _processes(n_jobs) as pool:

        def run(function: Callable[..., Any], jobs: Sequence[Job]) -> Iterator[tuple[Job, Any]]:
            futures = {pool.submit(function, *job): job for job in jobs}
            for future in as_completed(futures):
                yield futures[future], future.result()

        yield run


@contextmanager
def results_ahead(function: Callable[..., Any], jobs: Iterable[Job], *, n_jobs: int,
                  n_ahead: int) -> Iterator[Iterator[Any]]:
    """Gives the results of `function(*job)` in the order of `jobs`, worked on before they are asked for.

    As for `worker_pool`, but with one process the work is done in a thread of this one.

    Args:
        n_ahead: Jobs that are begun, or finished and kept, before their results are taken; no more of `jobs` are
            drawn than that.

    Raises:
        EdgeAscError: A process died, most likely for want of memory.
    """
    jobs, waiting = iter(jobs), deque[Future[Any]]()

    def begin(pool: Executor) -> None:
        for job in islice(jobs, n_ahead - len(waiting)):
            waiting.append(pool.submit(function, *job))

    def results(pool: Executor) -> Iterator[Any]:
        while waiting:
            result = waiting.popleft().result()
            begin(pool)
            yield result

    with _processes(n_jobs) if n_jobs > 1 else _thread() as pool:
        begin(pool)
        yield results(pool)


@contextmanager
def _processes(n_jobs: int) -> Iterator[Executor]:
    with _one_thread_each():
        pool = ProcessPoolExecutor(n_jobs, mp_context=multiprocessing.get_context("spawn"), initializer=prepare_worker)
        try:
            yield pool
        except BrokenProcessPool as error:
            raise EdgeAscError("a worker process died", found="probably too little memory",
                               fix="Run the same command again with --jobs 1; what is finished is kept.") from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _thread() -> Iterator[Executor]:
    pool = ThreadPoolExecutor(1)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Spawned processes take over the environment as it is when they start."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def prepare_worker() -> None:
    """In the new process: Ctrl-C is the parent's business, and without a parent there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
