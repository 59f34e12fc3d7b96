"""Tasks on Ray: on this machine, or on a cluster whose nodes see the same folders and have edge-asc installed.

Nothing else imports Ray. A task whose worker or node dies is reported as lost, and the engine has it go on from its
checkpoint wherever there is room. Ray's own retries are off, so that there is one place that counts them.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read on import; nothing is to be sent anywhere
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray will do anyway, and warns about

import ray
from ray import exceptions

from edge_asc.errors import InputError, TrainingError
from edge_asc.lab.engine import Ended, Work
from edge_asc.lab.local import run_here
from edge_asc.lab.tasks import Task, run_task

_WAIT_S, _CONNECT_S = 1.0, 10.0
_LOST = (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.ObjectLostError,
         exceptions.LocalRayletDiedError, exceptions.OutOfMemoryError, exceptions.RayActorError)
_MOST_MISSED = 5
"""Calls of `wait` in a row that may find no head."""


class OnRay:
    """Tasks as Ray tasks.

    Args:
        address: `HOST:PORT` of a cluster's head, or `auto`; None starts Ray on this machine.
        n_threads: CPUs that a task asks for, and TensorFlow's threads in it.
        n_gpus: GPUs that a task asks for; may be a part of one.

    Raises:
        InputError: No cluster at that address, or none of its nodes can hold a task.
    """

    def __init__(self, *, address: str | None, n_threads: int = 1, n_gpus: float = 0.0, work: Work = run_task) -> None:
        if not _listens(address):
            raise _no_cluster(address, "nobody who answers")  # Ray itself would try for minutes
        try:
            ray.init(address=address, include_dashboard=False if address is None else None, log_to_driver=False,
                     logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise _no_cluster(address, error) from error
        self._needs = {"CPU": float(n_threads), "GPU": n_gpus}
        self._n_threads, self._work = n_threads, work
        self._remote = ray.remote(num_cpus=n_threads, num_gpus=n_gpus, max_retries=0,
                                  runtime_env={"env_vars": {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}})(run_here)
        self._running: dict[Any, Task] = {}
        self._head: str = ray.get_runtime_context().gcs_address
        self._n_missed = 0
        if not self.n_slots:
            found = ray.cluster_resources()
            ray.shutdown()
            raise InputError("the cluster has no room for a task", found={name: found.get(name, 0) for name in
                             self._needs}, wanted=self._needs, fix="Ask for less with --threads and --gpus.")

    @property
    def n_slots(self) -> int:
        """As many tasks as the nodes that are there now have room for."""
        if not _listens(self._head):
            return 0
        resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return sum(int(min(found.get(name, 0.0) // need for name, need in self._needs.items() if need))
                   for found in resources)

    def start(self, task: Task, folder: Path) -> None:
        """Hands the task to Ray."""
        self._running[self._remote.remote(self._work, task, folder.resolve(), self._n_threads)] = task

    def wait(self) -> list[Ended]:
        """What ended.

        Raises:
            TrainingError: The cluster is gone.
        """
        if self._running:
            done, _ = ray.wait(list(self._running), num_returns=1, timeout=_WAIT_S)
        else:  # no node has room at the moment
            done = []
            time.sleep(_WAIT_S)
        # Without its head Ray would wait for a minute and then end this program.
        self._n_missed = 0 if done or _listens(self._head) else self._n_missed + 1
        if self._n_missed == _MOST_MISSED:
            raise TrainingError(f"the Ray cluster at {self._head} is gone",
                                fix="Start it again and give the same command: finished tasks are kept, others go on "
                                    "from their checkpoints.")
        return [self._ended(reference) for reference in done]

    def close(self) -> None:
        """Leaves the cluster; what still runs there is killed."""
        ray.shutdown()

    def _ended(self, reference: Any) -> Ended:
        task = self._running.pop(reference)
        try:
            return Ended(task=task, outcome=ray.get(reference))
        except exceptions.RayTaskError as error:
            return Ended(task=task, error=error.cause or error)
        except _LOST as error:
            return Ended(task=task, error=error, lost=True)
        except exceptions.RayError as error:  # an environment that cannot be set up, say
            return Ended(task=task, error=error)


def _listens(address: str | None) -> bool:
    """Whether anyone answers at HOST:PORT; addresses of another form are given the benefit of the doubt."""
    host, _, port = (address or "").rpartition(":")
    if not port.isdecimal() or "://" in host:
        return True
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
    except (OSError, OverflowError):
        return False
    return True


def _no_cluster(address: str | None, error: object) -> InputError:
    return InputError(f"no Ray cluster at {address}", found=error,
                      fix="Start one: `ray start --head`, and on the others `ray start --address=HOST:6379`.")
