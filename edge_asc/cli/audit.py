"""`edge-asc audit`: how large is this bundle, and does it fit?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge_asc.audit import Audit


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("bundle_path", type=click.Path(), metavar="BUNDLE", required=False)
@click.option("--budget", "budgets", multiple=True, metavar="NAME|WHAT=LIMIT",
              help="A rule by name (dcase2020-1b, dcase2020-1b-organisers, dcase2021-1a, dcase2022 to dcase2025) or "
              "an own limit such as file=300KB, flash=256KB, ram=64KB, macs=30M; may be repeated. "
              "[default: dcase2020-1b]")
@click.option("--variant", metavar="NAME", help="The variant that layers and limits are about; the bundle's default "
              "otherwise.")
@click.option("--layers/--no-layers", default=True, show_default=True, help="Print every layer of every member.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for a program.")
def command(bundle_path: str | None, budgets: tuple[str, ...], variant: str | None, layers: bool,
            as_json: bool) -> None:
    """Count weights, multiplications and bytes of BUNDLE (the one in the box otherwise) and hold them to a budget.

    KB is 1024 bytes. The exit status is 1 if anything is over its limit; what and by how much is said.
    """
    import json

    from edge_asc.audit import DEFAULT_BUDGET, audit_bundle, parse_budgets
    from edge_asc.bundle import Bundle, shipped_bundle

    limits = parse_budgets(budgets or (DEFAULT_BUDGET,))
    audit = audit_bundle(Bundle.load(bundle_path or shipped_bundle()), budgets=limits, variant=variant)
    if as_json:
        click.echo(json.dumps(audit.to_json(), indent=1))
    else:
        _print(audit, layers=layers)
    audit.require_within_budget()


def _print(audit: Audit, *, layers: bool) -> None:
    if layers:
        _print_layers(audit)
    click.echo(f"Members, {audit.variant}")
    click.echo(f"  {'':10} {'weights':>9} {'non-zero':>9} {'sparsity':>9} {'MMAC':>8} {'non-zero':>9} {'RAM KB':>8}")
    for sizes in audit.variants[audit.variant]:
        click.echo(f"  {sizes.name:10} {sizes.n_parameters:9} {sizes.n_nonzero:9} "
                   f"{1 - sizes.n_nonzero / sizes.n_parameters:9.1%} {sizes.macs / 1e6:8.2f} "
                   f"{sizes.macs_nonzero / 1e6:9.2f} {sizes.ram_bytes / 1024:8.1f}")
    click.echo("\nSizes of the ensemble in KB of 1024 bytes")
    click.echo(f"  {'':16} {'rule':>8} {'rule, no BN':>12} {'file':>8} {'compressed':>11} {'weights':>8}")
    for variant, members in audit.variants.items():
        total = members[-1]
        figures = (total.n_nonzero * total.precision_bytes, total.n_nonzero_without_batchnorm * total.precision_bytes,
                   total.file_bytes, total.compressed_bytes, total.weights_bytes)
        click.echo(f"  {variant:16}" + "".join(f" {figure / 1024:{width}.1f}" for figure, width
                                               in zip(figures, (8, 12, 8, 11, 8), strict=True)))
    click.echo("  rule: non-zero parameters at the variant's precision, with and without BatchNorm"
               + ("" if audit.counts_batchnorm else " (after folding; the bundle does not say what was before)")
               + ".\n  weights: values, index arrays and biases as they stand in the files.\n")
    for check in audit.checks:
        click.echo(f"{'fits ' if check.ok else 'OVER '} {check}")


def _print_layers(audit: Audit) -> None:
    for member, layers in audit.layers.items():
        click.echo(f"{member}, {audit.variant}")
        click.echo(f"  {'':20} {'output':>18} {'weights':>8} {'non-zero':>9} {'sparsity':>9} {'MMAC':>8} "
                   f"{'non-zero':>9} {'bytes':>8}")
        for layer in layers:
            shape = "x".join(str(size) for size in layer.output_shape[1:])
            click.echo(f"  {layer.name:20} {shape:>18} {layer.n_weights:8} {layer.n_nonzero:9} {layer.sparsity:9.1%} "
                       f"{layer.macs / 1e6:8.3f} {layer.macs_nonzero / 1e6:9.3f} {layer.weights_bytes:8}")
        click.echo("")
