"""Pictures for a parity report: how quantisation errors grow through a network, and how far each engine is off."""

from __future__ import annotations

from matplotlib.figure import Figure

from edge_asc.parity import Parity
from edge_asc.parity.results import FLOAT32
from edge_asc.report import Picture
from edge_asc.train.plots import png


def parity_pictures(parity: Parity) -> list[Picture]:
    """One of the layers of the int8 variants, if there are any, and one of all answers."""
    layers: dict[str, list[object]] = {}
    for each in parity.layers:
        if each.variant.startswith("int8"):
            layers.setdefault(each.variant, []).append((each.engine, each.member, each.gaps))
    # The sparse and the dense files of one network give one picture.
    variants = [variant for number, (variant, gaps) in enumerate(layers.items())
                if gaps not in list(layers.values())[:number]]
    return [*(_growth(parity, variant) for variant in variants), _differences(parity)]


def _growth(parity: Parity, variant: str) -> Picture:
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True)
    for each in parity.layers:
        if each.variant != variant:
            continue
        positions = [gap.position for gap in each.gaps]
        if each.against == FLOAT32:
            line = left.semilogy(positions, [max(gap.mean_steps, 1e-3) for gap in each.gaps], "-o", markersize=3,
                                 label=each.member)[0]
            left.semilogy(positions, [max(gap.largest_steps, 1e-3) for gap in each.gaps], ":", color=line.get_color())
        elif any(gap.largest_steps for gap in each.gaps):
            right.plot(positions, [gap.largest_steps for gap in each.gaps], "-o", markersize=3,
                       label=f"{each.member}, {each.engine}")
    left.set_title(f"{variant} against float32: mean (solid), largest (dotted)")
    right.set_title(f"{variant}: largest difference from {parity.engines[0]}")
    for axes in (left, right):
        axes.axhline(1, color="grey", linewidth=0.8)
        axes.set_xlabel("layer")
        axes.set_ylabel("quantisation steps of the layer")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize="x-small")
    if not right.lines[:-1]:
        right.text(0.5, 0.5, "every engine gives the same bits", transform=right.transAxes, ha="center")
    return Picture(png=png(figure), caption=f"Every layer of {variant}, over {parity.n_layer_windows} windows. The "
                   "grey line is one step.")


def _differences(parity: Parity) -> Picture:
    rows = parity.ensembles()
    figure = Figure(figsize=(11, 0.9 + 0.28 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    names = [f"{each.variant}, {each.engine}" for each in rows]
    axes.barh(names, [max(each.largest_difference, 1e-8) for each in rows], color="C0", label="largest")
    axes.barh(names, [max(each.mean_difference, 1e-8) for each in rows], color="C1", height=0.4, label="mean")
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_xlabel("difference of the ensemble's probabilities from the reference (1e-8 and less at the edge)")
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3, axis="x")
    return Picture(png=png(figure), caption=f"The ensemble against {parity.reference}, {parity.n_windows} windows.")
