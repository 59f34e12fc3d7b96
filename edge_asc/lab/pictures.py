"""Pictures of a judged table as PNG bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from edge_asc.train.plots import png

_STYLES = (("C0", -0.16), ("C1", 0.16))


def rows(judged: Mapping[str, Any]) -> bytes:
    """Macro accuracy of every row: runs as dots, mean and deviation as bars, the paper's beside them."""
    figure = Figure(figsize=(8, 1.3 + 0.42 * len(judged["rows"])), layout="constrained")
    axes = figure.add_subplot()
    for place, row in enumerate(judged["rows"]):
        for number, (rule, (colour, shift)) in enumerate(zip(judged["rules"], _STYLES, strict=True)):
            spread = row[rule]["macro_accuracy"]
            axes.plot(spread["runs"], [place + shift] * len(spread["runs"]), ".", color=colour, alpha=0.5)
            axes.errorbar(spread["mean"], place + shift, xerr=spread["sd"] or 0, color=colour, fmt="|", capsize=3,
                          label=rule.replace("_", " ") if place == 0 else None)
            if number == 0 and row["published"]:
                axes.errorbar(row["published"]["macro"], place, xerr=row["published"]["macro_sd"], color="black",
                              fmt="D", markersize=4, capsize=3, label="published" if place == 0 else None)
    axes.set_yticks(range(len(judged["rows"])), [row["name"] for row in judged["rows"]])
    axes.invert_yaxis()
    axes.set_xlabel("macro accuracy")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize="small")
    if judged["stamp"]:
        axes.set_title("scaled down: not the paper's experiment", fontsize="small")
    return png(figure)
