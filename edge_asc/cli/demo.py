"""`edge-asc demo`: from shipped recordings to a running ensemble and a report."""

from __future__ import annotations

from pathlib import Path

import click

from edge_asc.errors import MissingDependencyError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-o", "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("edge-asc-demo"),
              show_default=True, help="Folder for the data set, the run, the bundle and the report.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change the recipe, as for `train`.")
def command(out: Path, settings: tuple[str, ...]) -> None:
    """Train, prune, convert, audit and listen on real recordings, in under 5 minutes on two cores.

    A demonstration on eleven short recordings, not the paper's accuracy. An interrupted one goes on where it stopped.
    """
    try:
        from edge_asc.train.demo import WHAT_IT_IS, next_commands, run_demo
        from edge_asc.train.progress import reporter
    except ImportError as error:
        raise MissingDependencyError.extra("the demo", "train") from error
    click.echo(WHAT_IT_IS, err=True)
    out.mkdir(parents=True, exist_ok=True)
    with reporter() as progress:
        demo = run_demo(out, progress=progress, say=progress.say, settings=settings)
    for event in demo.events:
        click.echo(f"{event.time_s:6.1f} s  {event.label:16} {event.confidence:.2f}")
    for variant, scores in demo.scores.items():
        click.echo(f"held-out recordings, {variant}: macro accuracy {scores.macro_accuracy:.3f}, "
                   f"log-loss {scores.log_loss:.3f}, {scores.n} clips (chance: 0.333, 1.099)")
    for check in demo.audit.checks:
        click.echo(f"{'fits' if check.ok else 'OVER'}: {check}")
    click.echo(f"report: {demo.report}\nbundle: {demo.bundle.path}\nNext:")
    for line in next_commands(demo):
        click.echo(f"  {line}")
