"""`edge-asc convert`: a finished training run becomes a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_asc.cli.options import weights_option
from edge_asc.errors import MissingDependencyError

if TYPE_CHECKING:
    from edge_asc.bundle import Bundle


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("run", type=click.Path())
@click.option("-o", "--out", required=True, type=click.Path(), help="The bundle; an older one is replaced at the end.")
@click.option("--variants", default="", metavar="NAMES", help="Comma-separated, of "
              "{float32,float16,int8}-{sparse,dense}. [default: int8-sparse,float16-sparse,float32-sparse,int8-dense]")
@click.option("--default", "default_variant", metavar="NAME", help="The variant that is run unless another is asked "
              "for. [default: int8-sparse, if it loses at most 0.5 % accuracy]")
@weights_option(default=None, text="[default: aware, if the recipe has quantization.aware_epochs; else last]")
@click.option("--dataset", type=click.Path(), help="Where the data set is now, if it was moved.")
@click.option("--golden", type=click.Path(), help="A sound file for the bundle's golden clip. [default: the first "
              "validation clip]")
@click.option("--budget", "budgets", multiple=True, metavar="NAME|WHAT=LIMIT", help="Refuse to make a bundle that is "
              "over this; as for `edge-asc audit`.")
@click.option("--one-file", type=click.Path(), metavar="FILE", help="Write the whole ensemble, in the default variant, "
              "as one .tflite file too: its output is the mean of the members'.")
def command(run: str, out: str, variants: str, default_variant: str | None, weights: str | None, dataset: str | None,
            golden: str | None, budgets: tuple[str, ...], one_file: str | None) -> None:
    """Convert every member of RUN to TFLite, check each file against Keras, and save them as a bundle.

    The int8 files are calibrated on windows of the training part. Ctrl-C, or a file that does not agree with Keras,
    leaves whatever stood at the bundle's place before.
    """
    from edge_asc.audit import parse_budgets

    limits = parse_budgets(budgets)
    try:
        from edge_asc.train.convert import DEFAULT_VARIANTS, convert_run
    except ImportError as error:
        raise MissingDependencyError.extra("conversion", "train") from error
    names = tuple(name.strip() for name in variants.split(",") if name.strip()) or DEFAULT_VARIANTS
    bundle = convert_run(run, out, variants=names, weights=weights, dataset_dir=dataset, golden_clip=golden,
                         default_variant=default_variant, budgets=limits,
                         notify=lambda message: click.echo(message, err=True))
    for variant in bundle.variants:
        n_bytes = sum(member.files[variant].n_bytes for member in bundle.members)
        mark = "*" if variant == bundle.default_variant else " "
        click.echo(f"{mark} {variant:16} {n_bytes / 1024:8.1f} KB in {len(bundle.members)} files")
    if one_file:
        _write_one_file(bundle, Path(one_file))
    click.echo(f"The bundle is in {bundle.path}. Next: edge-asc audit {bundle.path}; edge-asc verify {bundle.path}; "
               f"edge-asc listen --bundle {bundle.path} --mic")


def _write_one_file(bundle: Bundle, path: Path) -> None:
    from edge_asc.atomic import write_bytes
    from edge_asc.tflite_file import merge_members

    data = merge_members([bundle.member_bytes(member.name, bundle.default_variant) for member in bundle.members])
    write_bytes(path, data)
    click.echo(f"  {bundle.default_variant:16} {len(data) / 1024:8.1f} KB in one file, {path}")
