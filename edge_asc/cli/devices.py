"""`edge-asc devices`: the microphones that `edge-asc listen --device` can be given."""

from __future__ import annotations

import dataclasses
import json

import click

from edge_asc.errors import DeviceError


@click.command(short_help="List microphones.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, for a program.")
def command(as_json: bool) -> None:
    """List the devices that can record: number, name, channels and sample rate; * marks the default."""
    from edge_asc.listen.microphone import devices

    found = devices()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(device) for device in found], indent=1))
    elif not found:
        raise DeviceError("no microphone", fix="Plug one in; on a server, check that the user is in the group `audio`.")
    else:
        for device in found:
            mark = "*" if device.is_default else " "
            click.echo(f"{mark} {device.index:3}  {device.name}  ({device.host_api}, {device.n_channels} channel(s), "
                       f"{device.default_sample_rate_hz} Hz)")
