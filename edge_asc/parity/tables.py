"""A parity report as text: for the terminal (rich) and for a page (edge_asc.report)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_asc.parity.results import ENSEMBLE, FLOAT32, Answers, LayerComparison, LayerGap, Parity
from edge_asc.report import Picture, Section, Table, write_page

if TYPE_CHECKING:
    from rich.console import Console

_ANSWERS = ("accuracy", "log-loss", "same label", "largest", "mean", "from first", "agrees")
_LAYERS = ("member", "first beyond a step", "steps", "worst layer", "steps", "of values", "agrees")
LEAST_WIDTH = 112
"""Columns of a terminal below which numbers would be cut off."""
EXPLANATION = """accuracy is the macro accuracy; same label, largest and mean (difference of a probability) compare with
the reference; from first is the largest difference from the same variant on the first engine of the list, and agrees
says whether that is within what is allowed."""
LAYERS_EXPLANATION = """The first engine is compared with the float32 network, layer after layer; the others with the
first, each layer for itself, given the inputs that it had there. A step is one quantisation step of the layer's output;
for float layers, which have none, 2^-14 of the layer's largest magnitude. agrees: no layer is further away than
rounding explains."""


def answer_table(parity: Parity) -> Table:
    """One row for each variant, engine and member."""
    rows = [["reference", "", name, *_scores(scores), *[""] * 5] for name, scores in parity.reference_scores.items()]
    rows += [[each.variant, each.engine, each.member, *_answer(each)] for each in parity.answers]
    rows += [[each.variant, each.engine, each.member, *[""] * 6, f"REFUSED: {each.reason}"] for each in parity.refusals]
    return Table(columns=("variant", "engine", "member", *_ANSWERS), rows=rows)


def ensemble_table(parity: Parity) -> Table:
    """The rows of the ensemble alone, and refusals."""
    table = answer_table(parity)
    return Table(columns=table.columns, rows=[row for row in table.rows if row[2] == ENSEMBLE or "REFUSED" in row[-1]])


def layer_table(parity: Parity) -> Table:
    """Where each member begins to differ."""
    return Table(columns=("variant", "engine", *_LAYERS),
                 rows=[[each.variant, each.engine, *_layers(each)] for each in parity.layers])


def print_parity(parity: Parity, console: Console, *, members: bool) -> None:
    """Both tables, by variant, and what they mean. Without `members`: of the ensemble, and of the layers of the
    member that differs most."""
    console.print(f"{parity.bundle}: {parity.n_windows} windows; reference: {parity.reference}", soft_wrap=True)
    for note in parity.notes:
        console.print(f"Note: {note}", soft_wrap=True)
    rows = [("", "reference" if name == ENSEMBLE else f"  {name}", [*_scores(scores), *[""] * 5])
            for name, scores in parity.reference_scores.items() if members or name == ENSEMBLE]
    rows += [(each.variant, each.engine if each.member == ENSEMBLE else f"  {each.member}", _answer(each))
             for each in parity.answers if members or each.member == ENSEMBLE]
    _print(console, _ANSWERS, rows)
    for refusal in parity.refusals:
        console.print(f"REFUSED: {refusal.variant} {refusal.member}: {refusal.reason}", soft_wrap=True)
    console.print(f"Layers, over {parity.n_layer_windows} windows")
    _print(console, _LAYERS, [(each.variant, each.engine, _layers(each))
                              for each in (parity.layers if members else _most_different(parity))])
    console.print(" ".join(f"{EXPLANATION} {LAYERS_EXPLANATION}".split()), style="dim")


def write_parity_page(parity: Parity, path: Path, *, pictures: Sequence[Picture] = ()) -> Path:
    """The whole report as one HTML page."""
    lead = (f"{parity.n_windows} windows through every variant on every engine, compared with {parity.reference}. "
            + ("Every engine agrees with the first." if not parity.disagreements else
               f"{len(parity.disagreements)} disagreements: " + "; ".join(parity.disagreements[:5])))
    explained = " ".join((*EXPLANATION.split(), *(f"Note: {note}." for note in parity.notes)))
    sections = [
        Section(heading="The ensemble", text=explained, table=ensemble_table(parity)),
        Section(heading="Layer by layer", table=layer_table(parity), pictures=pictures,
                text=f"Over {parity.n_layer_windows} windows. " + " ".join(LAYERS_EXPLANATION.split())),
        Section(heading="Every member", table=answer_table(parity)),
    ]
    return write_page(path, title=f"Parity of {Path(parity.bundle).name}", lead=lead, sections=sections)


def _answer(each: Answers) -> list[str]:
    return [*_scores(each.scores), f"{each.label_agreement:.1%}", f"{each.largest_difference:.2g}",
            f"{each.mean_difference:.2g}", f"{each.from_first_engine:.2g}", "yes" if each.agrees else "NO"]


def _scores(scores: Mapping[str, float]) -> list[str]:
    return [f"{scores['accuracy']:.2%}" if "accuracy" in scores else "",
            f"{scores['log_loss']:.4f}" if "log_loss" in scores else ""]


def _layers(each: LayerComparison) -> list[str]:
    first, worst = each.first_beyond_a_step, _worst(each)
    verdict = "" if each.against == FLOAT32 else "NO" if each.beyond else "yes"
    if not worst.largest_steps:
        return [each.member, "same bits", "", "", "", "", verdict]
    return [each.member, _name(first) if first else "none", f"{first.largest_steps:.3g}" if first else "",
            _name(worst), f"{worst.largest_steps:.3g}", f"{worst.n_different / worst.n_values:.2%}", verdict]


def _name(gap: LayerGap) -> str:
    return f"{gap.position} {gap.operator}"


def _worst(each: LayerComparison) -> LayerGap:
    return max(each.gaps, key=lambda gap: (round(gap.largest_steps, 2), gap.n_different / gap.n_values))


def _rank(each: LayerComparison) -> tuple[bool, float]:
    return each.beyond is not None, _worst(each).largest_steps


def _most_different(parity: Parity) -> Iterable[LayerComparison]:
    chosen: dict[tuple[str, str], LayerComparison] = {}
    for each in parity.layers:
        key = each.variant, each.engine
        if key not in chosen or _rank(each) > _rank(chosen[key]):
            chosen[key] = each
    return chosen.values()


def _print(console: Console, columns: Sequence[str], rows: Sequence[tuple[str, str, Sequence[str]]]) -> None:
    """Rows of (variant, first cell, other cells); a variant is said once, on a line of its own."""
    from rich import box
    from rich.table import Table as RichTable

    table = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    said = ""
    for variant, first, cells in rows:
        if variant != said:
            table.add_row(f"[bold]{variant}[/bold]")
            said = variant
        table.add_row(first, *cells)
    console.print(table)
