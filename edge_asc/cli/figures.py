"""Prints an `Evaluation` as tables: the ensemble, its members and the floors; confusion; scenes; levels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from edge_asc.train.evaluate import Evaluation
    from edge_asc.train.floors import Floor
    from edge_asc.train.metrics import Scores


def print_evaluation(evaluation: Evaluation) -> None:
    """To stdout."""
    from rich.console import Console

    # A file or a pipe has no width; nothing may be cut there.
    console = Console() if Console().is_terminal else Console(width=200)
    n_recordings = len({clip.recording for clip in evaluation.clips})
    _line(console, f"{evaluation.subject}\non {evaluation.data}: {len(evaluation.clips)} windows of "
                   f"{n_recordings} recordings")
    if evaluation.scores is None:
        _line(console, "These clips have no labels: there are answers (-o DIR), but nothing to judge.")
    else:
        _print_scores(console, evaluation)
        _print_confusion(console, evaluation)
        _print_scenes(console, evaluation)
    if evaluation.levels:
        _print_levels(console, evaluation)
    for note in evaluation.notes:
        _line(console, f"Note: {note}.")


def _print_scores(console: Console, evaluation: Evaluation) -> None:
    scores, interval = evaluation.scores, evaluation.interval
    assert scores is not None
    assert interval is not None
    rows = [["ensemble", f"{scores.macro_accuracy:.3f}", f"{interval.low:.3f} to {interval.high:.3f}",
             f"{scores.micro_accuracy:.3f}", f"{scores.log_loss:.3f}"]]
    others: list[tuple[str, Scores | Floor]] = [*evaluation.members.items()]
    others += [(floor.name, floor) for floor in evaluation.floors]
    for name, figures in others:
        rows.append([name, f"{figures.macro_accuracy:.3f}", "", f"{figures.micro_accuracy:.3f}",
                     f"{figures.log_loss:.3f}"])
    _table(console, ["", "macro accuracy", f"{interval.level:.0%} interval", "micro accuracy", "log-loss"], rows)
    _line(console, f"The interval is a bootstrap over the {interval.n_recordings} recordings.")


def _print_confusion(console: Console, evaluation: Evaluation) -> None:
    assert evaluation.scores is not None
    rows = [[label, *map(str, row), f"{row[number] / sum(row):.3f}" if sum(row) else "-"]
            for number, (label, row) in enumerate(zip(evaluation.labels, evaluation.scores.confusion, strict=True))]
    _table(console, ["truth \\ answer", *evaluation.labels, "right"], rows)


def _print_scenes(console: Console, evaluation: Evaluation) -> None:
    assert evaluation.scores is not None
    rows = [[scene.scene, scene.label, str(scene.n), f"{scene.accuracy:.3f}", f"{scene.log_loss:.3f}"]
            for scene in evaluation.scores.scenes]
    _table(console, ["scene", "label", "windows", "right", "log-loss"], rows, n_texts=2)


def _print_levels(console: Console, evaluation: Evaluation) -> None:
    scores = evaluation.scores
    assert scores is not None
    points = [(0.0, scores, evaluation.floors), *((level.gain_db, level.scores, level.floors)
                                                  for level in evaluation.levels)]
    rows = [[f"{gain_db:+g} dB", f"{found.macro_accuracy:.3f}", f"{found.micro_accuracy:.3f}", f"{found.log_loss:.3f}",
             *(f"{floor.macro_accuracy:.3f}" for floor in floors)]
            for gain_db, found, floors in sorted(points, key=lambda point: point[0])]
    _table(console, ["gain", "macro accuracy", "micro accuracy", "log-loss",
                     *(f"macro: {floor.name}" for floor in evaluation.floors)], rows)


def _table(console: Console, columns: Iterable[str], rows: Iterable[list[str]], *, n_texts: int = 1) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < n_texts else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
