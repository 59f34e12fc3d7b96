"""The front as a section of a page: its table, its figure, and which split chose and which is reported."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from edge_asc.audit import COUNTS, MEASURES, amount
from edge_asc.lab.pareto.experiment import SPLITS_SENTENCE, Front
from edge_asc.lab.pareto.points import describe
from edge_asc.report import Picture, Section, Table
from edge_asc.train.plots import png

TITLE = "Accuracy against complexity"
_COLUMNS = ("members", "variant", "macro accuracy, validation", "95 % interval",
            "log-loss, validation", "macro accuracy, selection")


def section(front: Front, *, commands: tuple[str, ...] = ()) -> Section:
    """Everything about the front that fits on paper; `commands` say what to do next."""
    rows = []
    for point, spread in zip(front.front, front.intervals, strict=True):
        rows.append([*(in_words(name, cost) for name, cost in point.costs.items()),
                     describe(front.pool, point.members), point.variant, f"{point.validation.macro_accuracy:.3f}",
                     f"{spread.low:.3f} to {spread.high:.3f}", f"{point.validation.log_loss:.3f}",
                     f"{point.selection.macro_accuracy:.3f}"])
    text = "\n".join(filter(None, [SPLITS_SENTENCE, _judged(front), summary(front), _failed(front),
                                   "A percentage behind a member is the share of zeros in its kernels."]))
    return Section(heading=TITLE, text=text, table=Table(columns=[*front.rulers, *_COLUMNS], rows=rows),
                   pictures=[Picture(png=picture(front), caption="What ensembles cost, and how often they are right. "
                                     "The front: those that none beats on the selection split")], commands=commands)


def summary(front: Front) -> str:
    """The hypervolume in a sentence that says what it is up to."""
    limits = ", ".join(f"{name} = {in_words(name, limit)}" for name, limit in front.reference.items())
    return (f"Hypervolume: {front.hypervolume:.4f} of the box up to guessing at {limits}; compare it only with fronts "
            "of the same reference and data.")


def picture(front: Front) -> bytes:
    """Macro accuracy on the validation split over the first ruler, as PNG."""
    drawn = Figure(figsize=(8, 4.5), layout="constrained")
    axes = drawn.add_subplot()
    name = front.rulers[0]
    others = [point for point in front.points if point not in front.front]
    axes.plot([point.costs[name] for point in others], [point.validation.macro_accuracy for point in others], ".",
              color="0.6", label="other ensembles")
    costs, accuracy = zip(*((point.costs[name], point.validation.macro_accuracy) for point in front.front), strict=True)
    bars = [[value - spread.low for value, spread in zip(accuracy, front.intervals, strict=True)],
            [spread.high - value for value, spread in zip(accuracy, front.intervals, strict=True)]]
    axes.errorbar(costs, accuracy, yerr=bars, fmt="o:" if len(front.rulers) == 1 else "o", color="C0", capsize=3,
                  elinewidth=1, linewidth=1, label="front; bars: 95 % over recordings")
    axes.set_xscale("log")
    values = ticks(name, [point.costs[name] for point in front.points])
    axes.set_xticks(values, [in_words(name, value) for value in values])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(axis(name))
    axes.set_ylabel("macro accuracy, validation split")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    drawn.legend(loc="outside upper center", ncols=2, fontsize="small", frameon=False)
    return png(drawn)


def axis(name: str) -> str:
    """A ruler with what it counts and in which unit."""
    words, unit = (COUNTS | MEASURES)[name]
    return f"{name}: {words}" + (f", {'µs' if unit == 'us' else unit}" if unit else "")


def ticks(name: str, costs: Sequence[int]) -> list[int]:
    """Round costs by that ruler, for a logarithmic axis over these ones."""
    unit = {"bytes": 1024, "us": 1}.get((COUNTS | MEASURES)[name][1], 1)
    low, high = min(costs) / 1.1, max(costs) * 1.1
    for steps in ((1, 2, 5), (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)):
        found = [int(unit * step * 10**power) for power in range(13) for step in steps
                 if low <= unit * step * 10**power <= high]
        if len(found) > 2:
            break
    return found or [min(costs), max(costs)]


def in_words(name: str, value: int) -> str:
    """A cost by that ruler as people read it."""
    return amount(value, (COUNTS | MEASURES)[name][1])


def _failed(front: Front) -> str:
    return f"Not in it, because training failed: {'; '.join(front.failed)}." if front.failed else ""


def _judged(front: Front) -> str:
    first, spread = front.front[0], front.intervals[0]
    return (f"Selection: {first.selection.n} windows. Validation: {first.validation.n} windows of "
            f"{spread.n_recordings} recordings.")
