"""`edge-asc parity`: does every file of a bundle compute the same, on every engine, as Keras did?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edge_asc.cli.options import note, weights_option
from edge_asc.errors import VerificationError

if TYPE_CHECKING:
    from edge_asc.bundle import Bundle
    from edge_asc.parity import Engine, Parity, Reference


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("bundle_path", type=click.Path(), metavar="BUNDLE")
@click.argument("dataset", type=click.Path())
@click.option("--run", "run_path", type=click.Path(), metavar="RUN", help="The training run that the bundle was made "
              "from; found by itself if it stands beside the bundle.")
@weights_option(default=None, text="[default: what the bundle was made from]")
@click.option("--split", type=click.Choice(["train", "validation", "test"]), default="validation", show_default=True)
@click.option("--max-windows", type=click.IntRange(min=1), default=100, show_default=True, help="Take so many clips, "
              "evenly spread over the split.")
@click.option("--layer-windows", type=click.IntRange(min=1), default=4, show_default=True, help="Compare so many of "
              "them layer by layer.")
@click.option("--tflite-python", type=click.Path(), metavar="PYTHON", envvar="EDGE_ASC_TFLITE_PYTHON",
              help="A Python interpreter that has tflite-runtime, if this one has not (also EDGE_ASC_TFLITE_PYTHON).")
@click.option("--members/--no-members", default=False, show_default=True, help="Print every member, not the ensemble "
              "alone.")
@click.option("-o", "--out", type=click.Path(), metavar="DIR", help="Write parity.json and parity.html there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for a program.")
def command(bundle_path: str, dataset: str, run_path: str | None, weights: str | None, split: str, max_windows: int,
            layer_windows: int, tflite_python: str | None, members: bool, out: str | None, as_json: bool) -> None:
    """Run every variant of BUNDLE on every engine that is installed, on clips of DATASET, and compare.

    Engines: LiteRT and tflite-runtime, each with reference kernels, optimised ones and its delegate; for int8 also
    TFLite Micro and, if there is a C compiler, the native engine, of which the answers alone are compared. The
    reference is the training run in Keras; without it, or without TensorFlow, the bundle's own float32 files. The exit
    status is 1 if the engines do not agree with each other: if a layer, given the inputs that it had on the reference
    kernels, is further from them than rounding explains, or an answer further than that can lead.
    """
    import json

    from edge_asc.bundle import Bundle
    from edge_asc.parity import compare_bundle, installed_engines
    from edge_asc.train.parity_data import parity_data

    bundle = Bundle.load(bundle_path)
    data = parity_data(dataset, bundle, split=split, max_windows=max_windows)
    with installed_engines(tflite_python=tflite_python) as engines:
        reference = _reference(bundle, data.windows, run_path, weights, engines[0])
        parity = compare_bundle(bundle, data.windows, engines=engines, reference=reference, judge=data.judge,
                                n_layer_windows=layer_windows, native=True, notify=note)
    if out:
        _save(parity, out)
    if as_json:
        click.echo(json.dumps(parity.to_json(), indent=1))
    else:
        from rich.console import Console

        from edge_asc.parity.tables import LEAST_WIDTH, print_parity

        print_parity(parity, Console(width=max(Console().width, LEAST_WIDTH)), members=members)
    if found := parity.disagreements:
        raise VerificationError(f"{len(found)} answers do not agree between the engines", found="; ".join(found[:3]),
                                fix="See the list above for where each begins to differ.")


def _reference(bundle: Bundle, windows: Any, run_path: str | None, weights: str | None, engine: Engine) -> Reference:
    from edge_asc.parity import reference_from_bundle

    try:
        from edge_asc.train.keras_reference import find_run, keras_reference
    except ImportError as error:
        if run_path is not None:
            from edge_asc.errors import MissingDependencyError

            raise MissingDependencyError.extra("comparing with Keras", "train") from error
        return reference_from_bundle(bundle, windows, engine=engine, why="TensorFlow is not installed")
    run = run_path or find_run(bundle)
    if run is None:
        return reference_from_bundle(bundle, windows, engine=engine, why="the run was not found; name it with --run")
    return keras_reference(run, bundle, windows, weights=weights)


def _save(parity: Parity, out: str) -> None:
    import json
    from pathlib import Path

    from edge_asc.atomic import write_text
    from edge_asc.parity.tables import write_parity_page

    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "parity.json", json.dumps(parity.to_json(), indent=1) + "\n")
    try:
        from edge_asc.train.parity_plots import parity_pictures
    except ImportError:
        note("no pictures: matplotlib is not installed (pip install 'edge-asc[train]')")
        pictures = []
    else:
        pictures = parity_pictures(parity)
    write_parity_page(parity, folder / "parity.html", pictures=pictures)
    note(f"wrote {folder / 'parity.json'} and {folder / 'parity.html'}")
