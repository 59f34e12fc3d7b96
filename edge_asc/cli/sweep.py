"""What every experiment of `edge-asc lab` is told: on which data, how much of it all, and where it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edge_asc.errors import MissingDependencyError

if TYPE_CHECKING:
    from edge_asc.lab.engine import Executor
    from edge_asc.lab.plan import Plan

Command = TypeVar("Command", bound=Callable[..., Any])


def data_options(function: Command) -> Command:
    """DATASET, -o, --scale and --set: see `make_plan`."""
    for option in (
        click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace a value of the recipe, as "
                     "for `edge-asc train`; may be repeated."),
        click.option("--scale", default="1", show_default=True, metavar="smoke|FACTOR", help="How much of the paper's "
                     "work: a factor shrinks epochs, runs and clips by its cube root each; smoke goes through "
                     "everything in minutes and says nothing about scenes. Every output is stamped with it."),
        click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder of the results; what "
                     "is in its store is not run again."),
        click.argument("dataset", type=click.Path(), required=False),
    ):
        function = option(function)
    return function


def where_options(function: Command) -> Command:
    """Where tasks run: see `executor`."""
    for option in (
        click.option("--gpus", "n_gpus", type=click.FloatRange(0), default=0, show_default=True, help="GPUs that a "
                     "task asks Ray for; a part of one lets tasks share it."),
        click.option("--address", metavar="ADDRESS", help="A running Ray cluster: HOST:PORT of its head, or auto."),
        click.option("--ray", "use_ray", is_flag=True, help="Run on Ray, on this machine unless --address names a "
                     "cluster."),
        click.option("--threads", "n_threads", type=click.IntRange(1), default=1, show_default=True,
                     help="Threads of each task. The same number gives the same figures anywhere."),
        click.option("--workers", "n_workers", type=click.IntRange(1), help="Tasks side by side without Ray; 1 runs "
                     "them in this process. [one per core, or 1 where TensorFlow sees a GPU]"),
    ):
        function = option(function)
    return function


def make_plan(dataset: str | None, *, out: Path, scale: str, settings: tuple[str, ...], n_runs: int | None = None,
              grid: tuple[str, ...] = ()) -> Plan:
    """The plan that these options asked for; cuts the shipped clips if they are what it is to run on."""
    from edge_asc.lab import plan, suite

    number = scale if scale == plan.SMOKE else plan.factor(scale)
    return plan.make_plan(suite.data_for(dataset, scale=number, out=out), scale=number, n_runs=n_runs,
                          settings=settings, grid=grid)


def executor(*, n_workers: int | None, n_threads: int, use_ray: bool, address: str | None, n_gpus: float) -> Executor:
    """The executor that `where_options` asked for."""
    if use_ray or address is not None:
        try:
            from edge_asc.lab.on_ray import OnRay
        except ImportError as error:
            raise MissingDependencyError.extra("a sweep on Ray", "cluster") from error
        return OnRay(address=address, n_threads=n_threads, n_gpus=n_gpus)
    from edge_asc.lab.local import InProcess, Workers, default_n_workers

    n_workers = n_workers or default_n_workers(n_threads)
    return InProcess(n_threads=n_threads) if n_workers == 1 else Workers(n_workers, n_threads=n_threads)
