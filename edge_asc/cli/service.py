"""`edge-asc service`: the listener as a systemd service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edge_asc.listen.service import Installation, Step


@click.group(short_help="Install the listener as a systemd service.")
def command() -> None:
    """The listener as a hardened systemd service with a user of its own."""


_root = click.option("--root", type=click.Path(file_okay=False), default="/", metavar="DIR",
                     help="The system's root folder: an image that is being made. Nothing is started then.")
_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
_user = click.option("--user", default="edge-asc", show_default=True, help="The service's own user.")


@command.command("install", short_help="Write unit, user and configuration, and start.")
@_root
@_dry_run
@_user
@click.option("--python", type=click.Path(), metavar="FILE", help="The interpreter that has edge-asc, as seen below "
              "--root; this one otherwise.")
@click.option("--no-start", is_flag=True, help="Do not enable and start it.")
def install(root: str, dry_run: bool, user: str, python: str | None, no_start: bool) -> None:
    """Install the service, or bring an installed one up to date. A configuration that is there stays as it is."""
    installation = _installation(root, user=user, dry_run=dry_run, python=python)
    installation.install(start=not no_start)
    if dry_run:
        click.echo("nothing was done")


@command.command("uninstall", short_help="Stop and remove the service.")
@_root
@_dry_run
def uninstall(root: str, dry_run: bool) -> None:
    """Stop the service and remove its unit. Configuration, state and user stay."""
    _installation(root, user="edge-asc", dry_run=dry_run, python=None).uninstall()
    click.echo("nothing was done" if dry_run else "what stays: the user edge-asc; /etc/edge-asc; edge-asc in /var/lib, "
               "/var/cache and /var/log; the program itself")


@command.command("status", short_help="Say whether it runs.")
def status() -> int:
    """What systemd knows of the service; exit 1 when it does not run."""
    from edge_asc.listen import service

    is_running, lines = service.status()
    for line in lines:
        click.echo(line)
    return 0 if is_running else 1


def _installation(root: str, *, user: str, dry_run: bool, python: str | None) -> Installation:
    from edge_asc.listen.service import Installation

    return Installation(root=Path(root), user=user, dry_run=dry_run, python=Path(python) if python else None,
                        on_step=_show)


def _show(step: Step) -> None:
    click.echo(f"{step.change:7} {step.what}")
