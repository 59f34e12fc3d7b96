"""The page of a run, as HTML with pictures and as Markdown: claims first, then everyone side by side, then scaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import plots
from benchmarks.block_mixing import NAME as MIXING
from benchmarks.data_path import rows as data_path_rows
from edge_asc.atomic import write_text
from edge_asc.bench.summary import lead, number, sections
from edge_asc.report import Picture, Section, Table, markdown, write_page

TITLE = "edge-asc beside what one would use otherwise"


def write(folder: Path, found: Mapping[str, Any], *, runs: Sequence[Mapping[str, Any]]) -> None:
    """index.html and index.md."""
    parts = [_claims(found), _side_by_side(found), *sections(found), _scaling(found), _mixing(found), _data_path(found),
             _history(runs)]
    kept = [part for part in parts if part]
    write_page(folder / "index.html", title=TITLE, lead=lead(found), sections=kept)
    write_text(folder / "index.md", markdown(TITLE, lead(found), kept))


def _claims(found: Mapping[str, Any]) -> Section:
    rows = []
    for claim in found["claims"]:
        ratio = claim["ratio"]
        value = f"{ratio['value']:.2f}" if ratio else "-"
        spread = f"{ratio['low']:.2f} to {ratio['high']:.2f}" if ratio and ratio["n_rounds"] > 1 else "-"
        rows.append([claim["name"], value, spread, "-" if claim["wanted"] is None else f"{claim['wanted']:g}",
                     claim["verdict"], claim["why_not"]])
    return Section(heading="What is promised, and what was found", text="Ratios of this run, medians over the rounds "
                   "with their 95 % interval; larger is better for edge-asc.",
                   table=Table(columns=["", "found", "interval", "wanted", "", "why not"], rows=rows))


def _side_by_side(found: Mapping[str, Any]) -> Section:
    cases = [case for case in found["cases"] if case.get("n_threads") == 1 and case["hop_s"] == 1.0
             and case.get("n_members") in (None, len(found["bundle"]["members"]))]
    pictures = []
    for task, title in (("hop", "A whole hop"), ("ensemble", "The networks, one window"),
                        ("front end, hop", "The front end, one hop"), ("front end, window", "The front end, 10 s")):
        rows = [(case["name"], case["tasks"][task]["cpu_ms"]["p50"], "peer" not in case) for case in cases
                if task in case["tasks"] and _tells(case, task)]
        pictures.append(_bars(rows, title=title, unit="CPU ms, median"))
    programs = [case for case in cases if case["program"]]
    for title, unit, value in (("The running program", "resident MiB",
                                lambda seen: seen["memory_bytes"]["resident"] / 2**20),
                               ("From starting to the first event", "s", lambda seen: seen["first_event_s"])):
        rows = [(case["name"], value(case["program"]), "peer" not in case) for case in programs]
        pictures.append(_bars(rows, title=title, unit=unit))
    return Section(heading="Side by side", pictures=pictures)


def _bars(rows: Sequence[tuple[str, float, bool]], *, title: str, unit: str) -> Picture:
    return Picture(png=plots.bars(rows, title=title, unit=unit), caption=f"{title}: {unit}; shorter is better")


def _tells(case: Mapping[str, Any], task: str) -> bool:
    """Our front end is the same in every case: one bar is enough."""
    return not task.startswith("front end") or "peer" in case or case["cpu_to_first"][task]["low"] == 1 == \
        case["cpu_to_first"][task]["high"]


def _scaling(found: Mapping[str, Any]) -> Section | None:
    if not found.get("scaling"):
        return None
    rows = []
    for curve in found["scaling"].values():
        for line in curve["lines"]:
            points = ", ".join(f"{x:g}: {number(y)}" for x, y in line["points"])
            fit = line["fit"]
            rows.append([f"{curve['y']} over {curve['x']}", line["name"], points,
                         f"{number(fit['fixed'])} + {number(fit['slope'])} x" if fit else "-",
                         f"{fit['r_squared']:.3f}" if fit else "-"])
    return Section(heading="Scaling", table=Table(columns=["", "engine", "measured", "fitted", "R²"], rows=rows),
                   pictures=[Picture(png=plots.curves(found["scaling"]), caption="Cost against what drives it")])


def _mixing(found: Mapping[str, Any]) -> Section | None:
    if "block_mixing" not in found:
        return None
    mixing = found["block_mixing"]
    times = ", ".join(f"{name} {value:.1f} ms" for name, value in mixing["cpu_ms"].items())
    return Section(heading="Block mixing", text=f"{MIXING}: {mixing['ratio']['value']:.1f}. CPU for a track of ten "
                   f"segments: {times}. The plain way is restated from the paper.")


def _data_path(found: Mapping[str, Any]) -> Section | None:
    if "data_path" not in found:
        return None
    return Section(heading="From recordings to trained members", text="The authors' way: librosa reads each file whole "
                   "and computes the filters anew, Keras fit trains from memory. Ratios of CPU time.",
                   table=Table(columns=["", "found", "interval", "wanted", ""], rows=data_path_rows(
                       found["data_path"])))


def _history(runs: Sequence[Mapping[str, Any]]) -> Section | None:
    if len(runs) < 2:
        return None
    return Section(heading="History", pictures=[Picture(png=plots.history(runs), caption="Ratios of earlier runs")])
