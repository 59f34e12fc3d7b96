"""The paper's four tables, laid out as rows of runs of members. Equal members are equal tasks, whichever table asks.

Nothing here trains or judges: `engine.run_all` takes `Table.tasks`, `judged.judge` reads the store.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edge_asc.data.tau_layout import CLIP_S
from edge_asc.errors import InputError, RecipeError
from edge_asc.lab import published
from edge_asc.lab.plan import UNPRUNED, Plan
from edge_asc.lab.published import Published
from edge_asc.lab.tasks import Task, check
from edge_asc.spec import FeatureSpec
from edge_asc.train.recipes import scaled

V, I = "V(2,2,3,3)", "I(2,1,2)"  # noqa: E741  # the paper's names
ENSEMBLE = (V, V, V, V, V, I)
MACRO, MICRO = "macro_accuracy", "micro_accuracy"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table: the same model, trained several times."""

    name: str
    factors: Mapping[str, Any]
    runs: tuple[tuple[Task, ...], ...]
    """For each run its members; their mean is judged."""
    published: Published | None


@dataclass(frozen=True, kw_only=True)
class Factor:
    """Something varied, for Friedman's test over the whole grid."""

    name: str
    published_p: float | None = None


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Two rows to compare by rank sums."""

    first: str
    second: str
    figure: str = MACRO
    published_p: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the paper."""

    name: str
    title: str
    rows: tuple[Row, ...]
    factors: tuple[Factor, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    stamp: str = ""

    @property
    def tasks(self) -> list[Task]:
        """Every member of every run; some may be named more than once."""
        return [task for row in self.rows for run in row.runs for task in run]


def lay_out(name: str, plan: Plan) -> Table:
    """The table of that name, every row checked.

    Raises:
        RecipeError: A row is impossible; the message names it.
    """
    table = dataclasses.replace(TABLES[name](plan), stamp=plan.stamp)
    for row in table.rows:
        with _in_row(name, row.name):
            for task in {task.architecture: task for task in row.runs[0]}.values():
                check(task)
    return table


def _table1(plan: Plan) -> Table:
    """Mel bands and FFT size, half overlap: unpruned Model 1, half as many epochs."""
    half = scaled(dataclasses.replace(plan.base, pruning=UNPRUNED), 0.5)
    rows = []
    for n_mels in plan.grid["n_mels"]:
        for n_fft in plan.grid["n_fft"]:
            name = f"{n_mels} bands, FFT {n_fft}"
            with _in_row("table1", name):
                features = _half_overlapping(plan.base.features, n_mels=n_mels, n_fft=n_fft)
            rows.append(Row(name=name, factors={"n_mels": n_mels, "n_fft": n_fft},
                            runs=_runs(plan, (V,), pruned=False, features=features, training=half.training),
                            published=published.TABLE1.get((n_mels, n_fft))))
    return Table(name="table1", title="Table 1: mel bands and FFT size (unpruned Model 1, half the epochs)",
                 rows=tuple(rows), factors=(Factor(name="n_mels"), Factor(name="n_fft")))


def _table2(plan: Plan) -> Table:
    """Block mixing: segments in a track, and the label that they share; pruned Model 1."""
    rows = []
    for n_segments in plan.grid["n_segments"]:
        for match in plan.grid["match"]:
            name = f"{n_segments} segments, {'fine' if match == 'scene' else 'coarse'} labels"
            with _in_row("table2", name):
                mixing = dataclasses.replace(plan.mixing, n_segments=n_segments, match=match)
            rows.append(Row(name=name, factors={"n_segments": n_segments, "match": match},
                            runs=_runs(plan, (V,), pruned=True, mixing=mixing),
                            published=published.TABLE2.get((n_segments, match))))
    return Table(name="table2", title="Table 2: block mixing (pruned Model 1)", rows=tuple(rows),
                 factors=tuple(Factor(name=name, published_p=p) for name, p in published.TABLE2_FRIEDMAN.items()))


def _table3(plan: Plan) -> Table:
    """The four submitted models, pruned and not."""
    models = {1: ((V,), None), 2: ((I,), None), 3: (ENSEMBLE, None), 4: (ENSEMBLE, plan.mixing)}
    rows = [Row(name=_model(number, pruned), factors={"model": number, "pruned": pruned},
                runs=_runs(plan, members, pruned=pruned, mixing=mixed), published=published.TABLE3[number, pruned])
            for pruned in (False, True) for number, (members, mixed) in models.items()]
    contrasts = [Contrast(first=_model(number, True), second=_model(number, False), figure=figure,
                          published_p=f"{published.TABLE3_RANK_SUM[figure, number]:.4f}")
                 for figure in (MICRO, MACRO) for number in models]
    return Table(name="table3", title="Table 3: the four models, unpruned and pruned", rows=tuple(rows),
                 contrasts=tuple(contrasts))


def _table4(plan: Plan) -> Table:
    """Depths of both families, unpruned."""
    rows = []
    for architecture in plan.grid["architecture"]:
        with _in_row("table4", architecture):
            rows.append(Row(name=architecture, factors={"architecture": architecture},
                            runs=_runs(plan, (architecture,), pruned=False),
                            published=published.TABLE4.get(architecture)))
    names = [row.name for row in rows]
    contrasts = [Contrast(first=best, second=other, published_p=f"< {published.TABLE4_RANK_SUM_BELOW:g}"
                          if other in published.TABLE4 else "")
                 for best in (V, "I(1,0,1)") if best in names
                 for other in names if other != best and other[0] == best[0]]
    return Table(name="table4", title="Table 4: depths (unpruned)", rows=tuple(rows), contrasts=tuple(contrasts))


TABLES: Mapping[str, Callable[[Plan], Table]] = {
    "table1": _table1, "table2": _table2, "table3": _table3, "table4": _table4}


def _runs(plan: Plan, members: Sequence[str], *, pruned: bool, **changes: Any) -> tuple[tuple[Task, ...], ...]:
    """Every run has six seeds, five for V and one for I, so that a single model is a member of that run's ensemble."""
    runs = []
    for run in range(plan.n_runs):
        n_seen = 0
        tasks = []
        for architecture in members:
            place = n_seen if architecture[0] == "V" else len(ENSEMBLE) - 1
            n_seen += architecture[0] == "V"
            tasks.append(plan.task(architecture, seed=len(ENSEMBLE) * run + place, pruned=pruned, **changes))
        runs.append(tuple(tasks))
    return tuple(runs)


def _half_overlapping(features: FeatureSpec, *, n_mels: int, n_fft: int) -> FeatureSpec:
    """As many frames as fit into the samples that the plan's own window is cut from."""
    hop_length = n_fft // 2
    n_samples = min(features.window_samples + features.hop_length - 1, round(CLIP_S * features.sample_rate_hz))
    return dataclasses.replace(features, n_mels=n_mels, n_fft=n_fft, hop_length=hop_length,
                               n_frames=max(1, 1 + (n_samples - n_fft) // hop_length))


def _model(number: int, pruned: bool) -> str:
    return f"Model {number}, {'pruned' if pruned else 'unpruned'}"


@contextmanager
def _in_row(table: str, row: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise RecipeError(f"{table} has an impossible row ({row}): {error.what}", found=error.found,
                          wanted=error.wanted, fix=error.fix) from error
