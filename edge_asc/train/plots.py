"""Pictures of a run as PNG bytes: the curves of its members and a confusion matrix."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from edge_asc.train.floors import Floor
from edge_asc.train.metrics import Scores

_PANELS = (("loss over the training windows", ("cross_entropy",)),
           ("log-loss, held-out windows", ("validation_log_loss", "selection_log_loss")),
           ("macro accuracy, held-out windows", ("validation_macro_accuracy", "selection_macro_accuracy")),
           ("zeros among kernel weights", ("kernel_sparsity",)))


def curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> bytes:
    """Four panels over the epochs (training loss, log-loss, macro accuracy, sparsity), one colour per member."""
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    for number, (title, keys) in enumerate(_PANELS):
        axes = figure.add_subplot(2, 2, number + 1)
        for colour, (member, rows) in enumerate(histories.items()):
            for key, style in zip(keys, ("-", ":"), strict=False):
                points = [(row["epoch"], row[key]) for row in rows if key in row]
                if points:
                    split = " (selection)" if key.startswith("selection") else ""
                    axes.plot(*zip(*points, strict=True), style, color=f"C{colour}", label=f"{member}{split}")
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        if number >= 2:
            axes.set_ylim(0, 1.02)
        if axes.lines and (number == 0 or len(keys) > 1):
            axes.legend(fontsize="small")
    return png(figure)


def confusion(scores: Scores, *, title: str = "") -> bytes:
    """The confusion matrix: share of each true label's windows as shade, counts as text."""
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    axes = figure.add_subplot()
    sums = [max(sum(row), 1) for row in scores.confusion]
    shares = [[n / total for n in row] for row, total in zip(scores.confusion, sums, strict=True)]
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, row in enumerate(scores.confusion):
        for j, n in enumerate(row):
            axes.text(j, i, f"{n}\n{shares[i][j]:.0%}", ha="center", va="center",
                      color="white" if shares[i][j] > 0.5 else "black")
    axes.set_xticks(range(len(scores.labels)), scores.labels)
    axes.set_yticks(range(len(scores.labels)), scores.labels, rotation=90, va="center")
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    axes.set_title(title or f"macro accuracy {scores.macro_accuracy:.1%}, {scores.n} windows")
    figure.colorbar(image, label="share of the true label")
    return png(figure)


def scenes(scores: Scores) -> bytes:
    """A bar per scene, grouped by label: the share of its windows that is right."""
    figure = Figure(figsize=(7, 1.2 + 0.26 * max(len(scores.scenes), 1)), layout="constrained")
    axes = figure.add_subplot()
    for place, scene in enumerate(scores.scenes):
        axes.barh(place, scene.accuracy, color=f"C{scores.labels.index(scene.label)}")
        axes.text(1.01, place, f"{scene.n}", va="center", fontsize="small")
    axes.set_yticks(range(len(scores.scenes)), [f"{scene.scene} ({scene.label})" for scene in scores.scenes])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.08)
    axes.set_xlabel("share of windows that is right; at the right, how many there are")
    axes.grid(axis="x", alpha=0.3)
    return png(figure)


def levels(points: Mapping[float, tuple[Scores, Sequence[Floor]]]) -> bytes:
    """Macro accuracy over the gain in dB: the ensemble and the floors."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.add_subplot()
    gains_db = sorted(points)
    axes.plot(gains_db, [points[gain_db][0].macro_accuracy for gain_db in gains_db], "o-", label="ensemble")
    for number, floor in enumerate(points[gains_db[0]][1]):
        axes.plot(gains_db, [points[gain_db][1][number].macro_accuracy for gain_db in gains_db], ":", label=floor.name)
    axes.set_xlabel("gain in dB")
    axes.set_ylabel("macro accuracy")
    axes.set_ylim(0, 1.02)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return png(figure)


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
