"""`edge-asc doctor`: is this machine fit to listen, and if not, what to do."""

from __future__ import annotations

import click


@click.command(short_help="Check this machine: microphone, level, speed, clock, broker, disk.")
@click.option("--config", "config_path", type=click.Path(), metavar="FILE", help="The node's configuration; the "
              "defaults otherwise.")
@click.option("--listen", "listen_s", type=click.FloatRange(0.5, 60), default=3.0, show_default=True,
              help="Seconds to listen to the microphone.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of findings, for a program.")
def command(config_path: str | None, listen_s: float, as_json: bool) -> int:
    """Look at everything that listening needs. Exit 1 when something stops it."""
    import dataclasses
    import json

    from edge_asc.listen.config import load_config
    from edge_asc.listen.doctor import BAD, examine

    findings = []
    for finding in examine(load_config(config_path), listen_s=listen_s):
        findings.append(finding)
        if not as_json:
            click.echo(f"{finding.verdict:4}  {finding.about:10}  {finding.found}")
            if finding.fix:
                click.echo(f"{'':18}-> {finding.fix}")
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1, ensure_ascii=False))
    return int(any(finding.verdict == BAD for finding in findings))
