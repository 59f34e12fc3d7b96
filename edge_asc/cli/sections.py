"""Prints the sections of a page to the terminal, as bench and the laboratory do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_asc.report import Section


def print_sections(lead: str, sections: Sequence[Section]) -> None:
    """To stdout."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    # A file or a pipe has no width; nothing may be cut there.
    console = Console() if Console().is_terminal else Console(width=240)
    console.print(lead, markup=False, highlight=False)
    for section in sections:
        console.print(f"\n{section.heading}", style="bold", markup=False)
        if section.text:
            console.print(section.text, markup=False, highlight=False)
        if section.table:
            table = Table(box=SIMPLE_HEAD, pad_edge=False)
            for column, is_text in zip(section.table.columns, section.table.is_text, strict=True):
                table.add_column(column, justify="left" if is_text else "right")
            for row in section.table.rows:
                table.add_row(*row)
            console.print(table, markup=False)
