"""Pictures of a judged table as PNG bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from edge_asc.train.plots import png

_APART = 0.2
"""Of the lines of a row, where rows are 1 apart."""


def rows(judged: Mapping[str, Any]) -> bytes:
    """Macro accuracy of every row: runs as dots, mean and deviation as bars, the paper's beside them."""
    n_rules = len(judged["rules"])
    figure = Figure(figsize=(8, 1.3 + 0.15 * (1 + n_rules) * len(judged["rows"])), layout="constrained")
    axes = figure.add_subplot()
    for place, row in enumerate(judged["rows"]):
        if paper := row["published"]:
            axes.errorbar(paper["macro"], place - _APART * n_rules / 2, xerr=paper["macro_sd"], color="black", fmt="D",
                          markersize=4, capsize=3, label="published")
        for number, rule in enumerate(judged["rules"]):
            spread, colour = row[rule]["macro_accuracy"], f"C{number}"
            height = place + _APART * (number + 1 - n_rules / 2)
            axes.plot(spread["runs"], [height] * len(spread["runs"]), ".", color=colour, alpha=0.5)
            axes.errorbar(spread["mean"], height, xerr=spread["sd"] or 0, color=colour, fmt="|", capsize=3,
                          label=rule.replace("_", " "))
    axes.set_yticks(range(len(judged["rows"])), [row["name"] for row in judged["rows"]])
    axes.invert_yaxis()
    axes.set_xlabel("macro accuracy" + ("; scaled down: not the paper's experiment" if judged["stamp"] else ""))
    axes.grid(axis="x", alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    figure.legend(named.values(), named, loc="outside upper center", ncols=len(named), fontsize="small", frameon=False)
    return png(figure)
