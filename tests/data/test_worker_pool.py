"""Jobs run in other processes: every result arrives once, threads are limited, errors come back, deaths are told."""

from __future__ import annotations

import os

import pytest

from edge_asc.data.worker_pool import default_n_jobs, worker_pool
from edge_asc.errors import DatasetError, EdgeAscError


def _square(n: int) -> tuple[int, int]:
    return n * n, os.getpid()


def _threads() -> str | None:
    return os.environ.get("OPENBLAS_NUM_THREADS")


def _fail() -> None:
    raise DatasetError("no")


def _die() -> None:
    os._exit(3)


@pytest.mark.parametrize("n_jobs", [0, 1, 2])
def test_every_job_once(n_jobs: int) -> None:
    with worker_pool(n_jobs) as run:
        results = dict(run(_square, [(n,) for n in range(20)]))
    assert {job: square for job, (square, _) in results.items()} == {(n,): n * n for n in range(20)}
    processes = {process for _, process in results.values()}
    assert (os.getpid() in processes) == (n_jobs < 2)


def test_one_blas_thread_each_and_the_environment_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    with worker_pool(2) as run:
        assert list(run(_threads, [()])) == [((), "1")]
    assert os.environ["OPENBLAS_NUM_THREADS"] == "7"
    assert "OMP_NUM_THREADS" not in os.environ


def test_errors_come_back_and_a_death_is_told() -> None:
    with pytest.raises(DatasetError, match=r"^no$"), worker_pool(2) as run:
        list(run(_fail, [()]))
    with pytest.raises(EdgeAscError, match=r"worker process died.*--jobs 1"), worker_pool(2) as run:
        list(run(_die, [()]))


def test_at_least_one_core() -> None:
    assert default_n_jobs() >= 1
