"""The front as a page to look around in: plotly with its script inside, so that nothing is fetched, nor sent anywhere.

A menu changes the ruler, another one between the accuracy that is reported and the one that chose.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from edge_asc.lab.pareto.experiment import Front
from edge_asc.lab.pareto.points import Point, describe
from edge_asc.lab.pareto.report import TITLE, axis, in_words, section, ticks
from edge_asc.report import write_page

_GREY, _BLUE = "#9aa0a6", "#1f5fa8"
_LEAD = "Every ensemble is a point: what it costs, and how often it is right. Point at one to see its members."
_REPORTED, _CHOSE = "macro accuracy, validation split; bars: 95 % over recordings", "macro accuracy, selection split"
_CONFIG = {"displaylogo": False, "responsive": True, "showSendToCloud": False,
           "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}


def write_plot(front: Front, path: Path, *, stamp: str = "", commands: tuple[str, ...] = ()) -> None:
    """One self-contained HTML file at `path`: the plot, and below it the table of the front.

    Args:
        stamp: What was left out, if the experiment was scaled down.
        commands: What to do next.
    """
    plot = figure(front).to_html(full_html=False, include_plotlyjs=True, default_height="34rem", config=_CONFIG)
    part = dataclasses.replace(section(front, commands=commands), heading="The front", plot=plot, pictures=())
    write_page(path, title=TITLE, lead=stamp or _LEAD, sections=[part])


def figure(front: Front) -> go.Figure:
    """Every point over the first ruler, the front in blue."""
    others = [point for point in front.points if point not in front.front]
    drawn = go.Figure([_trace(front, others, "other ensembles", mode="markers", marker={
        "color": _GREY, "size": 7, "opacity": 0.6}), _trace(front, front.front, "front", mode="markers", marker={
            "color": _BLUE, "size": 11, "line": {"color": "white", "width": 1}})])
    spreads = [(point.validation.macro_accuracy, spread) for point, spread in zip(front.front, front.intervals,
                                                                                  strict=True)]
    drawn.data[1].error_y = {"type": "data", "symmetric": False, "thickness": 1, "width": 3,
                             "array": [spread.high - accuracy for accuracy, spread in spreads],
                             "arrayminus": [accuracy - spread.low for accuracy, spread in spreads]}
    menus = [_accuracies(others, front)]
    if len(front.rulers) > 1:
        menus.append(_rulers(others, front))
    else:
        drawn.data[1].update(mode="lines+markers", line={"color": _BLUE, "width": 1, "dash": "dot"})
    drawn.update_layout(
        template="plotly_white", hovermode="closest", hoverlabel={"align": "left"}, margin={"l": 70, "r": 20, "t": 80},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": -0.2, "yanchor": "top"}, updatemenus=menus,
        xaxis=_axis(front, front.rulers[0]),
        yaxis={"title": {"text": _REPORTED}, "tickformat": ".0%", "rangemode": "tozero"})
    return drawn


def _accuracies(others: Sequence[Point], front: Front) -> dict[str, Any]:
    """The menu of the accuracy: on the split that is reported, or on the one that chose, where the front is a stair."""
    def button(label: str, split: str, *, text: str) -> dict[str, Any]:
        accuracies = [[getattr(point, split).macro_accuracy for point in some] for some in (others, front.front)]
        is_reported = split == "validation"
        return {"label": label, "method": "update", "args": [
            {"y": accuracies, "error_y.visible": [False, is_reported],
             "line.shape": ["linear", "linear" if is_reported else "hv"]}, {"yaxis.title.text": text}]}

    return _menu([button("as reported", "validation", text=_REPORTED), button("as chosen", "selection", text=_CHOSE)],
                 side="left")


def _rulers(others: Sequence[Point], front: Front) -> dict[str, Any]:
    """The menu of the rulers."""
    return _menu([{"label": name, "method": "update", "args": [
        {"x": [[point.costs[name] for point in some] for some in (others, front.front)]},
        {"xaxis": _axis(front, name)}]} for name in front.rulers], side="right")


def _menu(buttons: list[dict[str, Any]], *, side: str) -> dict[str, Any]:
    return {"buttons": buttons, "x": 0 if side == "left" else 1, "xanchor": side, "y": 1.02, "yanchor": "bottom"}


def _axis(front: Front, name: str) -> dict[str, Any]:
    values = ticks(name, [point.costs[name] for point in front.points])
    return {"title": {"text": axis(name)}, "type": "log", "tickvals": values,
            "ticktext": [in_words(name, value) for value in values]}


def _trace(front: Front, some: Sequence[Point], name: str, *, mode: str, marker: dict[str, Any]) -> go.Scatter:
    return go.Scatter(
        x=[point.costs[front.rulers[0]] for point in some], y=[point.validation.macro_accuracy for point in some],
        text=[_hover(front, point) for point in some], hovertemplate="%{text}<extra></extra>", name=name, mode=mode,
        marker=marker, cliponaxis=False)


def _hover(front: Front, point: Point) -> str:
    lines: list[Any] = [f"<b>{describe(front.pool, point.members)}</b>", point.variant,
                        f"validation: macro {point.validation.macro_accuracy:.3f}, log-loss "
                        f"{point.validation.log_loss:.3f}", f"selection: macro {point.selection.macro_accuracy:.3f}",
                        *(f"{name}: {in_words(name, cost)}" for name, cost in point.costs.items())]
    return "<br>".join(lines)
