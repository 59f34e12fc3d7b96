"""`edge-asc train`: a data set and a recipe become a run directory with a pruned ensemble."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_asc.cli.figures import print_evaluation
from edge_asc.cli.options import WEIGHTS
from edge_asc.errors import EdgeAscError, MissingDependencyError

if TYPE_CHECKING:
    from edge_asc.train.progress import Reporter
    from edge_asc.train.run import Run


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("dataset", type=click.Path())
@click.option("--recipe", "recipe_name", required=True,
              help="A recipe that comes with the package (demo, box, paper-model1 to paper-model4) or a TOML file.")
@click.option("-o", "--out", required=True, type=click.Path(),
              help="The run directory; one that was interrupted goes on where it stopped.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE",
              help="Replace a value of the recipe, such as training.epochs=5; may be given several times.")
@click.option("--scale", type=float, metavar="FACTOR", help="Make training so much longer or, below 1, shorter: epochs "
              "and the pruning schedule together; then --set.")
@click.option("--members", default="", metavar="NAMES", help="Train only these, such as v1,i1.")
@click.option("--folds", "n_folds", type=click.IntRange(2), metavar="N", help="Leave recordings out instead: N "
              "runs, each trained without a part of the training recordings and judged on that part.")
@click.option("--jobs", type=click.IntRange(1), default=None, help="Processes that compute features. [one per core]")
@click.option("--mlflow", "mlflow_uri", metavar="URI", help="Also keep the run in MLflow: a tracking server, or a "
              "folder such as file:/srv/mlruns.")
def command(dataset: str, recipe_name: str, out: str, settings: tuple[str, ...], scale: float | None, members: str,
            n_folds: int | None, jobs: int | None, mlflow_uri: str | None) -> None:
    """Train and prune an ensemble on DATASET as a recipe says.

    A member that is finished is not trained again; Ctrl-C leaves a run that the same command goes on with.
    """
    if n_folds is not None and mlflow_uri is not None:
        raise click.UsageError("--mlflow keeps a single run, --folds makes several.")
    from edge_asc.train.recipes import load_recipe, override, scaled

    recipe = load_recipe(recipe_name)
    recipe = override(recipe if scale is None else scaled(recipe, scale), settings)
    try:
        from edge_asc.train.fit import train_ensemble
        from edge_asc.train.progress import reporter
    except ImportError as error:
        raise MissingDependencyError.extra("training", "train") from error
    names = [name.strip() for name in members.split(",") if name.strip()]
    if n_folds is not None:
        from edge_asc.train.cross_validation import cross_validate

        with reporter() as progress:
            evaluation = cross_validate(recipe, dataset, out, n_folds=n_folds, members=names, progress=progress,
                                        n_jobs=jobs)
        print_evaluation(evaluation)
        click.echo(f"The folds, these figures and every single answer are in {out}.")
        return
    with reporter() as progress, _tracked(progress, mlflow_uri, Path(out)) as told:
        run = train_ensemble(recipe, dataset, out, progress=told, n_jobs=jobs, members=names)
    _report(run)


@contextmanager
def _tracked(progress: Reporter, uri: str | None, out: Path) -> Iterator[Reporter]:
    """The reporter itself, or one that keeps MLflow up to date as well."""
    if uri is None:
        yield progress
        return
    try:
        from edge_asc.train.mlflow_sink import MlflowSink, Tracked
    except ImportError as error:
        raise MissingDependencyError.extra("--mlflow", "mlflow") from error
    sink, status = MlflowSink(uri, out, progress=progress), "KILLED"
    try:
        yield Tracked(progress, sink)
        status = "FINISHED"
    except EdgeAscError:
        status = "FAILED"
        raise
    finally:
        sink.end(status)


def _report(run: Run) -> None:
    import json

    results = json.loads((run.path / "results.json").read_text(encoding="utf-8"))
    names = [name for name in WEIGHTS if name in results]
    click.echo(f"{'on the validation split':24} {'epoch':24} {'macro':>7} {'micro':>7} {'log-loss':>9} {'non-zero':>9}")
    for member in [*results["members"], "ensemble"]:
        state = run.state(member) or {}
        n_nonzero = state.get("n_nonzero", results["n_nonzero"])
        for which in names:
            figures = results[which][member]
            row = state.get("aware", {}).get("last") if which == "aware" else state.get(which)
            epoch = f" ({row['epoch']:.0f})" if row else ""
            click.echo(f"{member:24} {which + epoch:24} {figures['macro_accuracy']:7.3f} "
                       f"{figures['micro_accuracy']:7.3f} {figures['log_loss']:9.3f} {n_nonzero:9}")
    if "note" in results:
        click.echo(f"Note: {results['note']}.")
    click.echo(f"The run is in {run.path}. Next: edge-asc convert {run.path} -o BUNDLE")
