"""`edge-asc classify`: one answer for each file."""

from __future__ import annotations

import json

import click

from edge_asc.cli.options import ensemble_options, load, note
from edge_asc.errors import EdgeAscError


@click.command(short_help="Name the scene of audio files.")
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for a program; a file that cannot be "
              "classified has the key `error`.")
@ensemble_options
@click.option("-v", "--verbose", is_flag=True, help="Say what is running on standard error.")
def command(files: tuple[str, ...], as_json: bool, bundle_path: str | None, variant: str | None, engine: str,
            n_threads: int, public_key: str | None, verbose: bool) -> int:
    """Name the scene of each FILE: the mean answer over its non-overlapping windows.

    A file that cannot be used is reported, the others are still done, and the exit status is 1.
    """
    from edge_asc.classify import classify_file

    ensemble = load(bundle_path, variant=variant, engine=engine, n_threads=n_threads,
                    public_key=public_key)
    if verbose:
        note(ensemble.description)
    n_failed = 0
    for file in files:
        try:
            answer = classify_file(file, ensemble)
        except EdgeAscError as error:
            n_failed += 1
            note(str(error))
            if as_json:
                click.echo(json.dumps({"file": file, "error": str(error)}))
            continue
        if as_json:
            click.echo(json.dumps(answer.to_json()))
        else:
            shares = "  ".join(f"{label} {value:6.1%}" for label, value in answer.probabilities.items())
            click.echo(f"{file}  {answer.label}  {shares}")
    if n_failed and len(files) > 1:
        note(f"{n_failed} of {len(files)} files could not be classified")
    return 1 if n_failed else 0
