"""`edge-asc lab pareto` and `edge-asc lab pick`: accuracy against complexity, and the best bundle within budgets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_asc.cli.options import note
from edge_asc.cli.sections import print_sections
from edge_asc.cli.sweep import data_options, executor, make_plan, where_options
from edge_asc.errors import MissingDependencyError

if TYPE_CHECKING:
    from edge_asc.lab.pareto.space import Space


@click.command("pareto")
@click.option("--search", "n_trials", type=click.IntRange(0), default=0, metavar="N", help="Try so many members "
              "between the listed ones too, chosen by Optuna; a search that was stopped goes on.")
@click.option("--together", "n_together", type=click.IntRange(1), default=4, show_default=True, help="Trials of a "
              "search that are proposed at once and trained side by side. More keep a larger cluster busy; the same "
              "number gives the same search anywhere.")
@click.option("--max-members", "n_max", type=click.IntRange(1, 64), default=8, show_default=True,
              help="Of an ensemble.")
@click.option("--reference", "references", multiple=True, metavar="RULER=COST", help="The cost up to which the "
              "hypervolume counts. [the power of two above the costliest point]")
@click.option("--board", metavar="NAME", help="The board that firmware-flash and firmware-ram are planned for; see "
              "`edge-asc firmware boards`.")
@click.option("--ruler", "rulers", multiple=True, metavar="NAME", help="What complexity is measured by: anything that "
              "`edge-asc audit` limits, firmware-flash, firmware-ram, instructions or latency; may be repeated. [file]")
@click.option("--seeds", "n_seeds", type=click.IntRange(1), help="Members of each kind. [1]")
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="What every member is converted to; may be "
              "repeated. [int8-sparse, float16-sparse, float32-sparse]")
@click.option("--sparsity", "sparsities", type=float, multiple=True, metavar="SHARE", help="Of every kernel, from 0; "
              "may be repeated. [0, 0.5, 0.8, 0.9, 0.95]")
@click.option("--width", "widths", type=float, multiple=True, metavar="FACTOR", help="Of filters and hidden units; may "
              "be repeated. [0.5, 1]")
@click.option("--architecture", "architectures", multiple=True, metavar="NAME", help="V(a,b,c,d) or I(p,q,r); may be "
              "repeated. [the six of the paper's table 4]")
@where_options
@data_options
def pareto(dataset: str | None, out: Path, scale: str, settings: tuple[str, ...], references: tuple[str, ...],
           rulers: tuple[str, ...], board: str | None, n_max: int, n_trials: int, n_together: int,
           architectures: tuple[str, ...], widths: tuple[float, ...], sparsities: tuple[float, ...],
           variants: tuple[str, ...], n_seeds: int | None, n_threads: int, **where: Any) -> None:
    """Train members of many depths, widths and sparsities, let them vote, and show what accuracy costs.

    Members are tasks of the store in folder OUT, as those of the tables: none is trained twice. Ensembles are chosen
    on recordings held out of training (a fifth, or --set training.selection_fraction=...), and reported on the
    validation clips. Without DATASET, and with --scale smoke, on the shipped clips.
    """
    from edge_asc.audit import COUNTS, MEASURES, parse_budgets

    limits = {budget.counts: budget.limit for budget in parse_budgets(references, counts=COUNTS | MEASURES)}
    try:
        from edge_asc.lab.pareto import suite
        from edge_asc.lab.pareto.report import section
        from edge_asc.lab.store import make_store
    except ImportError as error:
        raise MissingDependencyError.extra("the laboratory", "lab") from error
    given = {"architectures": architectures, "widths": widths, "sparsities": sparsities, "variants": variants,
             "n_seeds": n_seeds}
    space: Space = suite.space_for(scale, **{name: value for name, value in given.items() if value})
    plan = make_plan(dataset, out=out, scale=scale, settings=settings)
    front = suite.run(space, plan, lambda: executor(n_threads=n_threads, **where), make_store(out, note),
                      out=out, ruler_names=rulers or ("file",), board=board, reference=limits, n_max=n_max,
                      n_trials=n_trials, n_together=n_together, n_threads=n_threads, say=note)
    print_sections(plan.stamp, [section(front)])
    click.echo(f"\nTo look around in: {out / 'pareto' / 'pareto.html'}. Next: edge-asc lab pick {out} -o BUNDLE "
               "--budget file=100KB")


@click.command("pick")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("-o", "--bundle", "bundle_path", required=True, type=click.Path(path_type=Path),
              help="The bundle; an older one is replaced at the end.")
@click.option("--budget", "budgets", multiple=True, metavar="NAME|WHAT=LIMIT", help="As for `edge-asc audit`; besides "
              "firmware-flash, firmware-ram, instructions (250M) and latency (5ms); may be repeated.")
@click.option("--board", metavar="NAME", help="It must fit this board as C; see `edge-asc firmware boards`.")
@click.option("--max-members", "n_max", type=click.IntRange(1, 64), default=8, show_default=True)
@click.option("--dataset", type=click.Path(path_type=Path), help="Where the data set is now, if it was moved.")
@click.option("--golden", type=click.Path(path_type=Path), help="A sound file for the bundle's golden clip. [default: "
              "the first validation clip]")
def pick(out: Path, bundle_path: Path, budgets: tuple[str, ...], board: str | None, n_max: int, dataset: Path | None,
         golden: Path | None) -> None:
    """Build the bundle of the most accurate ensemble of OUT's members within budgets.

    OUT is the folder of `edge-asc lab pareto`. The ensemble is chosen on the selection split; its model card has the
    figures of the validation split. Nothing is trained. The exit status is 1 if nothing keeps the budgets; what comes
    nearest is said.
    """
    from edge_asc.audit import COUNTS

    try:
        from edge_asc.lab.pareto import suite
        from edge_asc.lab.pareto.pick import build_bundle, how_picked, limits
        from edge_asc.lab.pareto.pick import pick as pick_from
        from edge_asc.lab.pareto.pool import load_pool
    except ImportError as error:
        raise MissingDependencyError.extra("the laboratory", "lab") from error
    held_to = limits(budgets, board=board)
    pool = load_pool(suite.pool_folder(out))
    picked = pick_from(pool, held_to, board=board, n_max=n_max)
    build_bundle(pool, picked, bundle_path, dataset=dataset, golden_clip=golden)
    click.echo(how_picked(pool, picked))
    audited = "".join(f" --budget {name}" for name in dict.fromkeys(
        budget.name for budget in held_to if budget.counts in COUNTS))
    click.echo(f"The bundle is in {bundle_path}. Next: edge-asc verify {bundle_path}; edge-asc audit "
               f"{bundle_path}{audited}; edge-asc listen --mic --bundle {bundle_path}")
