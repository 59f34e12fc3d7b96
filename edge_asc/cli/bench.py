"""`edge-asc bench`: what a bundle costs on this machine, and how much of it fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edge_asc.cli.options import note
from edge_asc.cli.sections import print_sections

if TYPE_CHECKING:
    from pathlib import Path

    from edge_asc.report import Section


@click.command(short_help="Latency, memory, start-up and headroom of a bundle on this machine.")
@click.argument("bundle_path", type=click.Path(), metavar="BUNDLE", required=False)
@click.option("--quick", is_flag=True, help="A first impression in some seconds: the default variant only.")
@click.option("--engine", "engines", multiple=True, metavar="NAME", help="Only this engine, such as litert, "
              "tflite-runtime or native; may be repeated. All that work here otherwise, with and without delegate.")
@click.option("--variant", "variants", multiple=True, metavar="NAME", help="Only this variant; may be repeated. The "
              "first is what ratios and advice are about; the bundle's default otherwise.")
@click.option("--threads", "threads", multiple=True, type=click.IntRange(1, 64), help="Also with so many threads; may "
              "be repeated. Powers of two up to the number of CPUs otherwise.")
@click.option("--hop", "hop_s", type=click.FloatRange(0.1, 60), default=1.0, show_default=True,
              help="Seconds between windows.")
@click.option("--tflite-python", type=click.Path(), metavar="PYTHON", help="The Python of an environment with "
              "tflite-runtime, which needs NumPy 1.")
@click.option("--json", "as_json", is_flag=True, help="The results as JSON on standard output.")
@click.option("-o", "--out", type=click.Path(), metavar="DIR", help="Write results.json, results.md and, with the "
              "extra `train`, results.html there.")
def command(bundle_path: str | None, quick: bool, engines: tuple[str, ...], variants: tuple[str, ...],
            threads: tuple[int, ...], hop_s: float, tflite_python: str | None, as_json: bool, out: str | None) -> None:
    """Measure BUNDLE (the one in the box otherwise) on every engine of this machine.

    Every case first replays the golden clip and is not timed if it answers something else. All then take turns, so
    that their ratios hold on a busy machine; times hold only on a quiet one, and the results say which it was.
    """
    import json
    from pathlib import Path

    from edge_asc.bench.cases import choose
    from edge_asc.bench.measure import FULL, QUICK, measure
    from edge_asc.bench.summary import lead, results, sections
    from edge_asc.bundle import Bundle, shipped_bundle

    bundle = Bundle.load(bundle_path or shipped_bundle())
    cases, absent = choose(bundle, engines=engines, variants=variants, threads=threads, hop_s=hop_s, quick=quick,
                           tflite_python=tflite_python)
    run = measure(cases, bundle, effort=QUICK if quick else FULL, absent=absent, notify=note)
    found = results(run, bundle)
    title = f"edge-asc bench: {bundle.path.name}"
    parts = sections(found)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        print_sections(lead(found), parts)
    if out:
        _write(Path(out), json.dumps(found, indent=1) + "\n", title, lead(found), parts)


def _write(folder: Path, text: str, title: str, lead: str, parts: list[Section]) -> None:
    from edge_asc.atomic import write_text
    from edge_asc.errors import MissingDependencyError
    from edge_asc.report import markdown, write_page

    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "results.json", text)
    write_text(folder / "results.md", markdown(title, lead, parts))
    try:
        write_page(folder / "results.html", title=title, lead=lead, sections=parts)
    except MissingDependencyError as error:
        note(f"no HTML page: {error}")
    note(f"written to {folder}")
