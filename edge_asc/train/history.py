"""One row of figures per epoch, as CSV and for TensorBoard."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from edge_asc.atomic import write_text
from edge_asc.train.keras2 import tf

Row = dict[str, float]
"""Figures of one epoch; `epoch` counts finished epochs from 1. A split that was not judged has no keys."""


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """All rows under the union of their keys; always rewritten whole, so that a resumed run has no row twice."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: int(value) if key == "epoch" else f"{value:.6g}" for key, value in row.items()}
                     for row in rows)
    write_text(path, text.getvalue())


def read_csv(path: Path) -> list[Row]:
    """The rows of `write_csv`."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


class TensorBoard:
    """An event file below a member's folder; a resumed run adds another one, which TensorBoard shows as one."""

    def __init__(self, folder: Path) -> None:
        self._writer = tf.summary.create_file_writer(str(folder))

    def add(self, row: Row) -> None:
        """One epoch."""
        with self._writer.as_default(step=int(row["epoch"])):
            for key, value in row.items():
                if key != "epoch":
                    tf.summary.scalar(key, value)
        self._writer.flush()

    def close(self) -> None:
        """Nothing more follows."""
        self._writer.close()
