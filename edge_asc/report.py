"""One self-contained HTML page out of tables, pictures and text.

Demo, parity, benchmarks and the laboratory all end in such a page: compute first, render here. Pictures are
embedded, so that the file can be mailed; nothing is fetched when it is opened.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_asc import __version__
from edge_asc.atomic import write_text
from edge_asc.errors import MissingDependencyError

if TYPE_CHECKING:
    import jinja2


_FIGURE = re.compile(r"([-+<]? ?\d.*|-)?$", re.DOTALL)
"""A cell that stands at the right: a number and what follows it, a dash, or nothing."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of ready-made text under column names; numbers are formatted by whoever computed them."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @property
    def is_text(self) -> list[bool]:
        """By column, whether it is read and not compared: such columns stand at the left. The first always is."""
        return [place == 0 or not all(_FIGURE.match(row[place]) for row in self.rows)
                for place in range(len(self.columns))]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A PNG image with the sentence that says what it shows."""

    png: bytes
    caption: str

    @property
    def data_uri(self) -> str:
        """The image as text that HTML takes in place of an address."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and what stands under it, in this order: text, plot, table, pictures, commands."""

    heading: str
    text: str = ""
    plot: str = ""
    """HTML, put into the page as it is: something to look around in."""
    table: Table | None = None
    pictures: Sequence[Picture] = ()
    commands: Sequence[str] = ()


def write_page(path: Path, *, title: str, lead: str, sections: Sequence[Section]) -> Path:
    """Render the page and put it at `path` in one step, so that a reader never sees half of it.

    Args:
        path: Where the page goes; its folder must exist.
        title: Heading of the page and of the browser window.
        lead: The one paragraph a hurried reader sees.
        sections: The rest, in order.

    Returns:
        `path`.

    Raises:
        MissingDependencyError: jinja2 (extra `train`) is not installed.
    """
    html = _template().render(title=title, lead=lead, sections=sections, version=__version__)
    write_text(path, html)
    return path


def markdown(title: str, lead: str, parts: Sequence[Section]) -> str:
    """The page without its plots and pictures."""
    lines = [f"# {title}", "", lead, ""]
    for part in parts:
        lines += [f"## {part.heading}", ""]
        if part.text:
            lines += [part.text, ""]
        if part.table:
            columns = [_cell(column) for column in part.table.columns]
            rule = "".join("---|" if is_text else "---:|" for is_text in part.table.is_text)
            lines += [f"| {' | '.join(columns)} |", f"|{rule}"]
            lines += [f"| {' | '.join(map(_cell, row))} |" for row in part.table.rows]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _template() -> jinja2.Template:
    try:
        import jinja2
    except ImportError as error:
        raise MissingDependencyError.extra("an HTML page", "train") from error
    source = (Path(__file__).parent / "assets" / "page.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(source)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
