"""`edge-asc config`: check a node's configuration, or print one with comments to start from."""

from __future__ import annotations

import click


@click.group(short_help="Check or print the configuration of a listening node.")
def command() -> None:
    """The configuration of a listening node: one TOML file for microphone, decisions and sinks."""


@command.command("check", short_help="Say whether a configuration can be used.")
@click.argument("path", type=click.Path(), metavar="FILE")
def check(path: str) -> None:
    """Read FILE and every secret it names; exit 1 with the reason when it cannot be used."""
    from edge_asc.listen.checking import check_config
    from edge_asc.listen.config import load_config

    config = load_config(path)
    for warning in check_config(config):
        click.echo(f"edge-asc: {warning}", err=True)
    click.echo(f"{path}: good")


@command.command("show", short_help="Print a whole configuration with comments.")
@click.argument("path", type=click.Path(), metavar="[FILE]", required=False)
def show(path: str | None) -> None:
    """Print the configuration that FILE (or nothing) stands for, every setting with its comment.

    \b
    edge-asc config show > node.toml
    """
    from edge_asc.listen.config import load_config, show_config

    click.echo(show_config(load_config(path)), nl=False)
