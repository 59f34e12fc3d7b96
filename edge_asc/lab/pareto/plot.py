"""The front as one HTML file to look around in: plotly with its script inside, so that nothing is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from edge_asc.atomic import write_text
from edge_asc.lab.pareto.experiment import SPLITS_SENTENCE, Front
from edge_asc.lab.pareto.points import Point, describe
from edge_asc.lab.pareto.report import TITLE, axis, in_words, summary

_GREY, _BLUE = "#9aa0a6", "#1f5fa8"


def write_plot(front: Front, path: Path, *, stamp: str = "") -> None:
    """One self-contained HTML file at `path`.

    Args:
        stamp: What was left out, if the experiment was scaled down.
    """
    html = figure(front, stamp=stamp).to_html(include_plotlyjs=True, full_html=True, config={"displaylogo": False})
    write_text(path, html)


def figure(front: Front, *, stamp: str = "") -> go.Figure:
    """Every point over the first ruler, the front in blue; a menu changes the ruler."""
    others = [point for point in front.points if point not in front.front]
    drawn = go.Figure([_trace(front, others, "other ensembles", mode="markers", color=_GREY),
                       _trace(front, front.front, "front", color=_BLUE,
                              mode="lines+markers" if len(front.rulers) == 1 else "markers")])
    spreads = [(point.validation.macro_accuracy, spread) for point, spread in zip(front.front, front.intervals,
                                                                                  strict=True)]
    drawn.data[1].error_y = {"type": "data", "symmetric": False, "thickness": 1, "width": 3,
                             "array": [spread.high - accuracy for accuracy, spread in spreads],
                             "arrayminus": [accuracy - spread.low for accuracy, spread in spreads]}
    drawn.data[1].line.shape = "hv"
    menu = [{"label": name, "method": "update", "args": [
        {"x": [[point.costs[name] for point in some] for some in (others, front.front)]},
        {"xaxis.title.text": axis(name)}]} for name in front.rulers]
    drawn.update_layout(
        title={"text": f"{TITLE}<br><sub>{stamp}</sub>" if stamp else TITLE}, template="plotly_white",
        xaxis={"title": {"text": axis(front.rulers[0])}, "type": "log"}, hovermode="closest", margin={"b": 130},
        yaxis={"title": {"text": "macro accuracy, validation split; bars: 95 % over recordings"}, "tickformat": ".0%"},
        annotations=[{"text": f"{SPLITS_SENTENCE}<br>{summary(front)}", "showarrow": False, "xref": "paper",
                      "yref": "paper", "x": 0, "y": -0.2, "align": "left", "xanchor": "left", "yanchor": "top",
                      "font": {"size": 11}}],
        updatemenus=[{"buttons": menu, "x": 1, "xanchor": "right", "y": 1.12}] if len(menu) > 1 else [])
    return drawn


def _trace(front: Front, some: Sequence[Point], name: str, *, mode: str, color: str) -> go.Scatter:
    return go.Scatter(
        x=[point.costs[front.rulers[0]] for point in some], y=[point.validation.macro_accuracy for point in some],
        text=[_hover(front, point) for point in some], hovertemplate="%{text}<extra></extra>", name=name, mode=mode,
        marker={"color": color, "size": 9 if color == _BLUE else 6})


def _hover(front: Front, point: Point) -> str:
    lines: list[Any] = [describe(front.pool, point.members), point.variant,
                        f"validation: macro {point.validation.macro_accuracy:.3f}, log-loss "
                        f"{point.validation.log_loss:.3f}", f"selection: macro {point.selection.macro_accuracy:.3f}",
                        *(f"{name}: {in_words(name, cost)}" for name, cost in point.costs.items())]
    return "<br>".join(lines)
