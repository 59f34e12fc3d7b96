"""`edge-asc evaluate`: how good is a bundle or a training run on a data set?"""

from __future__ import annotations

import click

from edge_asc.cli.figures import print_evaluation
from edge_asc.cli.options import engine_option, note, weights_option


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("subject", metavar="BUNDLE_OR_RUN", type=click.Path())
@click.argument("dataset", type=click.Path())
@click.option("--split", type=click.Choice(["train", "validation", "test"]), default="validation", show_default=True,
              help="test: clips without published labels, for which only -o has something to write.")
@click.option("--variant", metavar="NAME", help="Of a bundle: precision and encoding, such as int8-dense; its default "
              "otherwise.")
@weights_option(default="last", text="A bundle has been converted from some already.")
@click.option("--level-db", "levels_db", type=float, multiple=True, metavar="DB",
              help="Judge once more with every window so much louder, such as -20; may be repeated.")
@click.option("--floors/--no-floors", "with_floors", default=True, show_default=True,
              help="Also judge chance, the most frequent label, and a regression trained on the training split.")
@click.option("-o", "--out", type=click.Path(), metavar="DIR", help="Write evaluation.json, output.csv (the "
              "challenge's format) and pictures there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for a program.")
@click.option("--jobs", type=click.IntRange(1), default=None, help="Processes that compute features. [one per core]")
@engine_option
def command(subject: str, dataset: str, split: str, variant: str | None, weights: str, levels_db: tuple[float, ...],
            with_floors: bool, out: str | None, as_json: bool, jobs: int | None, engine: str) -> None:
    """Accuracy, log-loss, confusion matrix and figures per scene of BUNDLE_OR_RUN on DATASET.

    A bundle is run as it is deployed, without TensorFlow; a run is run by Keras.
    """
    import json

    from edge_asc.train.evaluate import evaluate, save

    evaluation = evaluate(subject, dataset, split=split, variant=variant, weights=weights, levels_db=levels_db,
                          with_floors=with_floors, engine=engine, n_jobs=jobs, shown=True, notify=note)
    written = save(evaluation, out) if out else []
    if as_json:
        click.echo(json.dumps(evaluation.to_json(), indent=1))
    else:
        print_evaluation(evaluation)
    if written:
        note(f"wrote {', '.join(str(path) for path in written)}")
