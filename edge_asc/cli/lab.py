"""`edge-asc lab`: the paper's experiments, run again and set beside what it published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_asc.cli.options import note
from edge_asc.cli.sections import print_sections
from edge_asc.errors import MissingDependencyError

if TYPE_CHECKING:
    from edge_asc.lab.engine import Executor
    from edge_asc.lab.plan import Plan

Command = Callable[..., Any]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """The paper's tables on your data, as sweeps that go on where they stopped, here or on a cluster."""


def sweep_options(function: Command) -> Command:
    """DATASET, -o and everything about how much is run, and where."""
    for option in (
        click.option("--dry-run", "dry", is_flag=True, help="Only check everything and say how much there is to do."),
        click.option("--gpus", "n_gpus", type=click.FloatRange(0), default=0, show_default=True, help="GPUs that a "
                     "task asks Ray for; a part of one lets tasks share it."),
        click.option("--address", metavar="ADDRESS", help="A running Ray cluster: HOST:PORT of its head, or auto."),
        click.option("--ray", "use_ray", is_flag=True, help="Run on Ray, on this machine unless --address names a "
                     "cluster."),
        click.option("--threads", "n_threads", type=click.IntRange(1), default=1, show_default=True,
                     help="Threads of each task. The same number gives the same figures anywhere."),
        click.option("--workers", "n_workers", type=click.IntRange(1), help="Tasks side by side without Ray; 1 runs "
                     "them in this process. [one per core, or 1 where TensorFlow sees a GPU]"),
        click.option("--grid", multiple=True, metavar="NAME=VALUES", help="What a table varies, such as n_mels=32,48 "
                     "(n_mels, n_fft, n_segments, match, architecture); may be repeated."),
        click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace a value of the recipe, as "
                     "for `edge-asc train`; may be repeated."),
        click.option("--runs", "n_runs", type=click.IntRange(1), help="Trainings of every row. [10, or what --scale "
                     "makes of them]"),
        click.option("--scale", default="1", show_default=True, metavar="smoke|FACTOR", help="How much of the paper's "
                     "work: a factor shrinks epochs, runs and clips by its cube root each; smoke goes through "
                     "everything in minutes and says nothing about scenes. Every output is stamped with it."),
        click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder of the results; what "
                     "is in its store is not run again."),
        click.argument("dataset", type=click.Path(), required=False),
    ):
        function = option(function)
    return function


def _table_command(name: str, text: str) -> None:
    @command.command(name, help=f"{text} Without DATASET, and with --scale smoke, on the shipped clips.")
    @sweep_options
    def run(**options: Any) -> None:
        _run([name], **options)


_table_command("table1", "Mel bands against FFT size, on Model 1 unpruned.")
_table_command("table2", "Block mixing: the number of segments and the label they share, on Model 1 pruned.")
_table_command("table3", "Models 1 to 4, unpruned and pruned.")
_table_command("table4", "Depths of V and I, unpruned.")


@command.command("all")
@sweep_options
def everything(**options: Any) -> None:
    """All four tables in one sweep, and one report of them.

    Without DATASET, and with --scale smoke, on the shipped clips.
    """
    _run(["table1", "table2", "table3", "table4"], **options)


@command.command("results")
@click.argument("out", type=click.Path(path_type=Path, exists=True))
def results(out: Path) -> None:
    """Print every result in the store of folder OUT, one JSON object a line: task, result and provenance."""
    import json

    from edge_asc.lab.store import open_store

    for task, outcome in open_store(out, note):
        click.echo(json.dumps({"key": task.key, "task": task.to_json(), "result": outcome.result,
                               "provenance": outcome.provenance}))


@command.command("merge")
@click.argument("out", type=click.Path(path_type=Path, exists=True))
@click.argument("others", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def merge(out: Path, others: tuple[Path, ...]) -> None:
    """Take into the store of folder OUT what the stores of OTHERS have and it has not.

    Where both have a result of the same task, OUT's stays.
    """
    from edge_asc.lab.store import open_store

    store = open_store(out, note)
    for other in others:
        n_added, n_different = store.merge(open_store(other, note))
        click.echo(f"{other}: {n_added} results taken in"
                   + (f"; {n_different} tasks have other figures there, and ours stay" if n_different else ""))


def _run(names: list[str], dataset: str | None, out: Path, scale: str, n_runs: int | None, settings: tuple[str, ...],
         grid: tuple[str, ...], dry: bool, **where: Any) -> None:
    try:
        from edge_asc.lab import suite
        from edge_asc.lab.report import sections
        from edge_asc.lab.store import open_store
    except ImportError as error:
        raise MissingDependencyError.extra("the laboratory", "train") from error
    plan = make_plan(dataset, out=out, scale=scale, n_runs=n_runs, settings=settings, grid=grid)
    store = open_store(out, note)
    judged = suite.run_tables(names, plan, executor(**where), store, out=out, say=note, dry=dry)
    if dry:
        return
    written = [out / f"{name}.html" for name in names]
    if len(names) > 1:
        written = suite.write_report(judged, plan, out=out)[-1:]
    print_sections(plan.stamp or "The paper's figures beside those measured.",
                   [section for table in judged for section in sections(table)], left=["figure", "epoch"])
    click.echo(f"\nThe report is {written[-1]}.")


def make_plan(dataset: str | None, *, out: Path, scale: str, n_runs: int | None, settings: tuple[str, ...],
              grid: tuple[str, ...]) -> Plan:
    """The plan that `sweep_options` asked for; cuts the shipped clips if they are what it is to run on."""
    from edge_asc.lab import plan, suite

    number = scale if scale == plan.SMOKE else plan.factor(scale)
    return plan.make_plan(suite.data_for(dataset, scale=number, out=out), scale=number, n_runs=n_runs,
                          settings=settings, grid=grid)


def executor(*, n_workers: int | None, n_threads: int, use_ray: bool, address: str | None, n_gpus: float) -> Executor:
    """The executor that `sweep_options` asked for."""
    if use_ray or address is not None:
        try:
            from edge_asc.lab.on_ray import OnRay
        except ImportError as error:
            raise MissingDependencyError.extra("a sweep on Ray", "cluster") from error
        return OnRay(address=address, n_threads=n_threads, n_gpus=n_gpus)
    from edge_asc.lab.local import InProcess, Workers, default_n_workers

    n_workers = n_workers or default_n_workers(n_threads)
    return InProcess(n_threads=n_threads) if n_workers == 1 else Workers(n_workers, n_threads=n_threads)
