"""Pictures of a run as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

OURS, THEIRS = "#1f6f8b", "#c0a16b"


def bars(rows: Sequence[tuple[str, float, bool]], *, title: str, unit: str) -> bytes:
    """One bar for each (name, value, is ours), the smallest on top."""
    rows = sorted(rows, key=lambda row: -row[1])
    figure = Figure(figsize=(8, 0.9 + 0.34 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    drawn = axes.barh([name for name, _, _ in rows], [value for _, value, _ in rows],
                      color=[OURS if ours else THEIRS for _, _, ours in rows])
    axes.bar_label(drawn, fmt="%.3g", padding=3, fontsize="small")
    axes.legend(handles=[Patch(color=OURS, label="edge-asc"), Patch(color=THEIRS, label="others")], fontsize="small")
    axes.margins(x=0.12)
    axes.set_title(title)
    axes.set_xlabel(unit)
    axes.grid(axis="x", alpha=0.3)
    return _png(figure)


def curves(scaling: Mapping[str, Mapping[str, Any]]) -> bytes:
    """One panel for each curve: points, and the line through them."""
    n_columns = 3
    n_rows = -(-len(scaling) // n_columns)
    figure = Figure(figsize=(4 * n_columns, 3.2 * n_rows), layout="constrained")
    for place, curve in enumerate(scaling.values()):
        axes = figure.add_subplot(n_rows, n_columns, place + 1)
        for colour, line in enumerate(curve["lines"]):
            x, y = zip(*line["points"], strict=True)
            axes.plot(x, y, "o" if line["fit"] else "o-", color=f"C{colour}", label=line["name"])
            if line["fit"]:
                ends = (min(x), max(x))
                axes.plot(ends, [line["fit"]["fixed"] + line["fit"]["slope"] * end for end in ends], "-",
                          color=f"C{colour}", alpha=0.6)
        axes.set_xlabel(curve["x"])
        axes.set_ylabel(curve["y"])
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="x-small")
    return _png(figure)


def history(runs: Sequence[Mapping[str, Any]]) -> bytes:
    """Each ratio over the runs that were written down."""
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name in dict.fromkeys(name for run in runs for name in run["ratios"]):
        points = [(place, run["ratios"][name]) for place, run in enumerate(runs) if name in run["ratios"]]
        axes.plot(*zip(*points, strict=True), "o-", label=name)
    labels = [f"{run['date'][:10]}\n{run['machine'][:24]}" for run in runs]
    axes.set_xticks(range(len(runs)), labels, fontsize="x-small")
    axes.set_ylabel("ratio")
    axes.set_yscale("log")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    return _png(figure)


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
