"""`edge-asc dataset`: fetch, check and describe a data set, import recordings into one, compute its features ahead."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_asc.errors import MissingDependencyError

if TYPE_CHECKING:
    from rich.console import Console

    from edge_asc.data.dataset_check import DatasetCheck
    from edge_asc.data.dataset_stats import DatasetStats

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILES_SHOWN = 5


@click.group()
def command() -> None:
    """Download, check, describe, import and cache data sets."""


@command.command()
@click.argument("name", type=click.Choice(["tau2020-3class"]))
@click.option("-o", "--out", type=_FOLDER, required=True, help="The data set's own folder goes into this one.")
@click.option("--part", type=click.Choice(["development", "evaluation"]), default="development", show_default=True,
              help="38.6 GB to train on, or the 23.1 GB without labels.")
@click.option("--jobs", type=click.IntRange(1, 16), default=4, show_default=True, help="Files at a time.")
@click.option("--api", help="Another server with Zenodo's record API.")
def download(name: str, out: Path, part: str, jobs: int, api: str | None) -> None:
    """Fetch the data set NAME from Zenodo: checked, unpacked, and resumed by the same command if it was stopped."""
    try:
        from edge_asc.data.download import RECORDS, download
        from edge_asc.data.zenodo import API
    except ImportError as error:
        raise MissingDependencyError.extra("downloading", "train") from error

    done = download(RECORDS[part], out, n_jobs=jobs, api=api or API, progress=True)
    click.echo(f"{name}, {part}: {done.n_fetched} files fetched" + (
        f", {done.n_kept} kept from before" if done.n_kept else ""))
    for folder in done.folders:
        click.echo(f"Next: edge-asc dataset check {out / folder}")


@command.command()
@click.argument("directory", type=_FOLDER)
@click.option("--published/--own", default=None, help="Hold it against the published numbers of TAU Urban Acoustic "
              "Scenes 2020 3Class, or do not. Default: if it looks like that data set.")
@click.option("--deep", is_flag=True, help="Also decode every clip: finds silence, NaN and damage.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check(directory: Path, published: bool | None, deep: bool, as_json: bool) -> int:
    """List what is wrong with the data set in DIRECTORY and count its clips; exit 1 if anything is wrong."""
    import json

    from rich.console import Console

    from edge_asc.data.dataset_check import check_dataset

    found = check_dataset(directory, published=published, deep=deep, progress=True)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1))
    else:
        _print_check(Console(), found)
    return 0 if found.ok else 1


@command.command()
@click.argument("directory", type=_FOLDER)
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="Also write an HTML page.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, with every clip's figures.")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes. Default: one per core.")
def stats(directory: Path, out: Path | None, as_json: bool, jobs: int | None) -> None:
    """Clips of the data set in DIRECTORY by split, city and scene, their lengths and levels."""
    import json

    from rich.console import Console

    from edge_asc.data.dataset_stats import dataset_stats

    found = dataset_stats(directory, n_jobs=jobs, progress=True)
    if out is not None:
        try:
            from edge_asc.train.dataset_page import write_stats_page
        except ImportError as error:
            raise MissingDependencyError.extra("an HTML page", "train") from error
        write_stats_page(out, found)
        click.echo(f"wrote {out}", err=True)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1))
        return
    for split in found.splits:
        _print_stats(Console(), found, split)


@command.command(name="import")
@click.argument("recordings", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=_FOLDER, required=True, help="Folder of the data set; new, or of an earlier import.")
@click.option("--test-fraction", default=0.3, show_default=True,
              help="Part of each label to hold out, by recording, for rows without `use`.")
@click.option("--seed", default=2020, show_default=True, help="Of the drawing of recordings to hold out.")
@click.option("--clip-s", default=10.0, show_default=True, help="Length of a clip.")
@click.option("--hop-s", type=float, help="From the start of a clip to the next one's. Default: --clip-s.")
@click.option("--bits", type=click.Choice(["16", "24"]), default="24", show_default=True)
@click.option("--short", type=click.Choice(["skip", "error", "repeat"]), default="skip", show_default=True,
              help="A recording shorter than a clip: leave it out and say so, stop, or repeat it.")
@click.option("--use", type=click.Choice(["train", "test"]),
              help="Take only rows whose `use` is this, and split them by --test-fraction.")
def import_(recordings: Path, out: Path, test_fraction: float, seed: int, clip_s: float, hop_s: float | None,
            bits: str, short: str, use: str | None) -> None:
    """Cut the recordings listed in the CSV file RECORDINGS into a data set.

    Its columns: file (relative to the CSV) and label (indoor, outdoor, transportation); if there, also scene, city,
    source_id (recordings that must stay on one side of the split), usable_seconds, use (train or test), and author,
    licence, origin, title, url, which are kept in CREDITS.csv.
    """
    from rich.console import Console

    from edge_asc.data.import_plan import ImportSettings
    from edge_asc.data.import_recordings import import_recordings

    settings = ImportSettings(test_fraction=test_fraction, seed=seed, clip_s=clip_s, hop_s=hop_s, bits=int(bits),
                              short=short, use=use)
    made = import_recordings(recordings, out, settings=settings, progress=True)
    for note in made.notes:
        click.echo(note, err=True)
    tallies = {"recordings": made.recordings, "clips": made.clips}
    _print_counts(Console(), {f"{split}\n{what}": tally[split] for split in made.clips
                              for what, tally in tallies.items()})
    click.echo(f"{out}: {made.n_cut} clips cut" + (f", {made.n_kept} kept from before" if made.n_kept else ""))
    click.echo(f"Next: edge-asc train {out} --recipe demo -o RUN")


@command.command()
@click.argument("directory", type=_FOLDER)
@click.option("--recipe", default=None, help="Take the front end from this recipe. Default: the paper's.")
@click.option("--cache-dir", type=_FOLDER, help="Default: the folder `features` in DIRECTORY.")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes. Default: one per core.")
def cache(directory: Path, recipe: str | None, cache_dir: Path | None, jobs: int | None) -> None:
    """Compute the features of the data set in DIRECTORY ahead of training; what is there already is kept."""
    from edge_asc.data.dataset import TauDataset
    from edge_asc.data.feature_cache import cached_features
    from edge_asc.spec import FeatureSpec
    from edge_asc.train.recipes import load_recipe

    spec = load_recipe(recipe).features if recipe else FeatureSpec()
    dataset = TauDataset.load(directory)
    for split, clips in (("train", dataset.train), ("validation", dataset.validation), ("test", dataset.test)):
        features = cached_features(clips, spec, cache_dir or dataset.cache_dir, n_jobs=jobs, progress=True)
        if len(features):
            click.echo(f"{split}: {len(features)} windows of {spec.n_mels} x {spec.n_frames}, "
                       f"{features.nbytes / 1e6:.1f} MB")


def _print_check(console: Console, found: DatasetCheck) -> None:
    # The test table is the validation table without its labels, except in the separate evaluation set.
    labelled = {name: split for name, split in found.splits.items() if name != "test"} or found.splits
    _print_counts(console, {f"{name}\nclips": split.labels for name, split in labelled.items()})
    for name, split in found.splits.items():
        cities = len(split.cities)
        console.print(f"{name}: {split.n_clips} clips of {split.n_recordings} recording places in {cities} "
                      f"{'city' if cities == 1 else 'cities'}, {len(split.scenes)} scenes", highlight=False)
    console.print(f"audio: {found.n_files} files; " + (
        "held against the published numbers" if found.published else "not held against the published numbers"),
        highlight=False)
    for problem in found.problems:
        console.print(f"[bold red]wrong[/]: {_escaped(problem.what)}" + (
            f" ({len(problem.where)})" if problem.where else ""), highlight=False, soft_wrap=True)
        for where in problem.where[:_FILES_SHOWN]:
            console.print(f"  {_escaped(where)}", highlight=False, soft_wrap=True)
        if len(problem.where) > _FILES_SHOWN:
            console.print(f"  ... and {len(problem.where) - _FILES_SHOWN} more; --json lists all", highlight=False)
    console.print("[bold red]not usable as it is[/]" if found.problems else "[bold green]in order[/]")


def _print_stats(console: Console, found: DatasetStats, split: str) -> None:
    from rich.table import Table

    from edge_asc.data.dataset_stats import percentiles

    counts, clips = found.counts(split), found.splits[split]
    cities = sorted({city for own in counts.values() for city in own})
    hours = sum(clip.length_s for clip in clips) / 3600
    table = Table(title=f"{split}: {len(clips)} clips, {hours:.2f} hours", title_justify="left")
    table.add_column("scene", no_wrap=True)
    for title in (*(city or "?" for city in cities), "all", "s", "dB 5 %", "50 %", "95 %"):
        table.add_column(title, justify="right")
    for scene, own in counts.items():
        here = [clip for clip in clips if clip.scene == scene]
        level_db = percentiles([clip.level_db for clip in here])
        table.add_row(scene or "?", *(str(own.get(city, 0)) for city in cities), str(len(here)),
                      f"{percentiles([clip.length_s for clip in here])['p50']:g}",
                      *(f"{level_db[name]:.1f}" for name in ("p5", "p50", "p95")))
    console.print(table)


def _print_counts(console: Console, columns: Mapping[str, Mapping[str, int]]) -> None:
    from rich.table import Table

    table = Table()
    table.add_column("label", no_wrap=True)
    for title in columns:
        table.add_column(title, justify="right")
    for label in sorted({label for counts in columns.values() for label in counts}):
        table.add_row(label or "(not published)", *(str(counts.get(label, 0)) for counts in columns.values()))
    table.add_section()
    table.add_row("all", *(str(sum(counts.values())) for counts in columns.values()))
    console.print(table)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
