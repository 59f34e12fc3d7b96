"""The HTML page: whole, self-contained, and deaf to markup in its data."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from edge_asc.report import Picture, Section, Table, write_page

pytest.importorskip("jinja2")


def _page(path: Path, text: str = "plain") -> str:
    section = Section(
        heading="Sizes",
        text=text,
        table=Table(columns=["member", "bytes"], rows=[["v1", "17115"], ["<i1>", "34183"]]),
        pictures=[Picture(png=b"\x89PNG", caption="a curve")],
        commands=["edge-asc listen --mic"],
    )
    write_page(path, title="A & B", lead="What this is", sections=[section])
    return path.read_text(encoding="utf-8")


def test_page_holds_what_it_was_given(tmp_path: Path) -> None:
    html = _page(tmp_path / "page.html")
    for expected in ("A &amp; B", "What this is", "17115", "&lt;i1&gt;", "base64,iVBORw==", "edge-asc listen --mic"):
        assert expected in html
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_page_escapes_markup_and_fetches_nothing(tmp_path: Path) -> None:
    html = _page(tmp_path / "page.html", text="<script src='https://x.example/x.js'></script>")
    addresses: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag != "script"
            addresses.extend(value or "" for name, value in attrs if name in ("src", "href"))

    Reader().feed(html)
    assert addresses
    assert all(address.startswith("data:") for address in addresses)


def test_failed_page_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    before = _page(path)
    with pytest.raises(TypeError):
        write_page(path, title="new", lead="", sections=5)  # type: ignore[arg-type]
    assert path.read_text(encoding="utf-8") == before
    assert len(list(tmp_path.iterdir())) == 1


def test_columns_of_figures_stand_at_the_right(tmp_path: Path) -> None:
    rows = [["v1", "-", "0.33 ± 0.01", "2 CONV_2D", "< 0.0001"], ["v2", "+0.20", "", "same bits", "-1.5e-07"]]
    table = Table(columns=["member", "delta", "mean", "worst layer", "p"], rows=rows)
    assert table.is_text == [True, False, False, True, False]
    section = Section(heading="", table=table)
    html = write_page(tmp_path / "page.html", title="", lead="", sections=[section]).read_text()
    assert '<th class="words">member</th><th>delta</th>' in html
    assert "<td>&lt; 0.0001</td>" in html


def test_a_plot_is_put_into_the_page_as_it_is(tmp_path: Path) -> None:
    section = Section(heading="Front", plot="<div id='plot'></div>", text="<b>")
    html = write_page(tmp_path / "page.html", title="", lead="", sections=[section]).read_text()
    assert "<div id='plot'></div>" in html
    assert "&lt;b&gt;" in html
