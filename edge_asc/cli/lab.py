"""`edge-asc lab`: the paper's experiments, run again and set beside what it published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edge_asc.cli.options import note
from edge_asc.cli.pareto import pareto, pick
from edge_asc.cli.sections import print_sections
from edge_asc.cli.sweep import data_options, executor, make_plan, where_options
from edge_asc.errors import MissingDependencyError

Command = Callable[..., Any]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """The paper's tables, and fronts of accuracy against complexity, as sweeps that go on where they stopped, here or
    on a cluster."""


command.add_command(pareto)
command.add_command(pick)


def sweep_options(function: Command) -> Command:
    """Everything that shapes a sweep of tables."""
    for option in (
        click.option("--dry-run", "dry", is_flag=True, help="Only check everything and say how much there is to do."),
        click.option("--grid", multiple=True, metavar="NAME=VALUES", help="What a table varies, such as n_mels=32,48 "
                     "(n_mels, n_fft, n_segments, match, architecture); may be repeated."),
        click.option("--runs", "n_runs", type=click.IntRange(1), help="Trainings of every row. [10, or what --scale "
                     "makes of them]"),
    ):
        function = option(function)
    return data_options(where_options(function))


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
    """All four tables and a front of accuracy against complexity, and one report of them.

    Without DATASET, and with --scale smoke, on the shipped clips.
    """
    _run(["table1", "table2", "table3", "table4"], with_front=True, **options)


@command.command("results")
@click.argument("out", type=click.Path(path_type=Path))
def results(out: Path) -> None:
    """Print every result in the store of folder OUT, one JSON object a line: task, result and provenance."""
    import json

    from edge_asc.lab.store import open_store

    for task, outcome in open_store(out, note):
        click.echo(json.dumps({"key": task.key, "task": task.to_json(), "result": outcome.result,
                               "provenance": outcome.provenance}))


@command.command("merge")
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("others", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--new", "is_new", is_flag=True, help="OUT has no store yet: begin one there.")
def merge(out: Path, others: tuple[Path, ...], is_new: bool) -> None:
    """Take into the store of folder OUT what the stores of OTHERS have and it has not.

    Where both have a result of the same task, OUT's stays.
    """
    from edge_asc.errors import StoreError
    from edge_asc.lab.store import has_store, make_store, open_store

    stores = [open_store(other, note) for other in others]  # all of them, before OUT gets anything
    if is_new and has_store(out):
        raise StoreError(f"{out} has results already", fix="Leave out --new to add to them, or name another folder.")
    if not is_new and not has_store(out):
        raise StoreError(f"no results in {out}", wanted="the folder of a laboratory",
                         fix="Name it, or begin one there: --new.")
    store = make_store(out, note)
    for other, theirs in zip(others, stores, strict=True):
        n_added, n_different = store.merge(theirs)
        click.echo(f"{other}: {n_added} results taken in"
                   + (f"; {n_different} tasks have other figures there, and ours stay" if n_different else ""))


def _run(names: list[str], *, dataset: str | None, out: Path, scale: str, n_runs: int | None, settings: tuple[str, ...],
         grid: tuple[str, ...], dry: bool, with_front: bool = False, **where: Any) -> None:
    try:
        from edge_asc.lab import suite
        from edge_asc.lab.report import sections
        from edge_asc.lab.store import has_store, make_store, open_store
        from edge_asc.lab.tables import lay_out
        if with_front:
            from edge_asc.lab.pareto import suite as front_suite
    except ImportError as error:
        raise MissingDependencyError.extra("the laboratory", "lab" if with_front else "train") from error
    plan = make_plan(dataset, out=out, scale=scale, n_runs=n_runs, settings=settings, grid=grid)
    tables = [lay_out(name, plan) for name in names]
    known = open_store(out, note) if has_store(out) else ()
    if with_front:
        n_members, n_missing = front_suite.check(plan, scale, known, n_threads=where["n_threads"])
        note(f"the front: {n_members} members, {n_missing} of them not yet in the store")
    place = None if dry else executor(**where)
    note(suite.work_in_words(tables, plan, known))
    if place is None:
        return
    store = make_store(out, note)
    judged = suite.run_tables(tables, plan, place, store, out=out)
    written = [out / f"{name}.html" for name in names]
    found = [section for table in judged for section in sections(table)]
    if with_front:
        more = front_suite.run_default(plan, scale, lambda: executor(**where), store, out=out,
                                       n_threads=where["n_threads"], say=note)
        written = suite.write_report(judged, plan, out=out, more=[more])[-1:]
        found.append(more)
    print_sections(plan.stamp or "The paper's figures beside those measured.", found)
    click.echo(f"\nThe report is {written[-1]}.")
