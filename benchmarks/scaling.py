"""How the cost grows with members, hop, window, sparsity and threads: points from the run, and a line through them."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.seeded import seeded_bundle
from edge_asc.bench.contestants import Engine, contestant
from edge_asc.bench.measure import Measured, Run
from edge_asc.bench.rounds import start_workers, take_turns
from edge_asc.bench.statistics import fit_line
from edge_asc.bundle import Bundle

WINDOWS_S = (2.5, 5.0, 10.0, 20.0)
SPARSITIES = (0.0, 0.5, 0.8, 0.9, 0.95)
HOPS_S = (0.1, 0.25, 0.5, 2.0, 5.0)
Curve = dict[str, Any]


def from_run(run: Run) -> dict[str, Curve]:
    """Members, hops and threads: cases of the bundle itself."""
    first = run.measured[0].contestant.about
    ours = [each for each in run.measured if each.contestant.about.get("engine") == first["engine"]
            and each.contestant.about.get("variant") == first["variant"]]

    def points(vary: str, task: str, value: Callable[[Measured, str], float]) -> list[tuple[float, float]]:
        same = [each for each in ours if all(each.contestant.about[name] == first[name]
                                             for name in ("n_threads", "n_members", "hop_s") if name != vary)]
        return sorted((float(each.contestant.about[vary]), value(each, task)) for each in same)

    name = f"{first['engine']}, {first['variant']}"
    curves = {
        "members": curve("members", "CPU ms of the ensemble", {name: points("n_members", "ensemble", _cpu_ms)}),
        # Two parts: what each second of sound costs, and what each window costs, more often the shorter the hop.
        "hop": curve("hop s", "CPU ms of a hop", {name: points("hop_s", "hop", _cpu_ms)}),
        "threads": curve("threads", "wall ms of the ensemble", {name: points("n_threads", "ensemble", _wall_ms)},
                         fitted=False),
    }
    return {key: each for key, each in curves.items() if all(len(line["points"]) > 1 for line in each["lines"])}


def from_seeded(engines: list[Engine], folder: Path, *, n_rounds: int, budget_s: float,
                notify: Callable[[str], None]) -> dict[str, Curve]:
    """Window length and sparsity: one V network with random weights, on each engine."""
    windows = {x: seeded_bundle(folder / f"window-{x:g}", window_s=x) for x in WINDOWS_S}
    notify("networks of several window lengths are made")
    sparsities = {x: seeded_bundle(folder / f"sparsity-{x:g}", sparsity=x) for x in SPARSITIES}
    notify("networks of several sparsities are made")
    return {
        "window": curve("window s", "CPU ms of one V member", _measure(windows, engines, n_rounds, budget_s, notify)),
        "sparsity": curve("share of zeros", "CPU ms of one V member",
                          _measure(sparsities, engines, n_rounds, budget_s, notify)),
    }


def curve(x: str, y: str, lines: dict[str, list[tuple[float, float]]], *, fitted: bool = True) -> Curve:
    """Points of one or more engines, each with its line."""
    return {"x": x, "y": y, "lines": [
        {"name": name, "points": points,
         "fit": fit_line(*zip(*points, strict=True)).to_json() if fitted and len(points) > 1 else None}
        for name, points in lines.items()]}


def _measure(bundles: dict[float, Bundle], engines: list[Engine], n_rounds: int, budget_s: float,
             notify: Callable[[str], None]) -> dict[str, list[tuple[float, float]]]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for engine in engines:
        cases = {x: contestant(engine, bundle, variant="int8-sparse") for x, bundle in bundles.items()}
        named = {x: _renamed(case, f"{engine.name} at {x:g}") for x, case in cases.items()}
        with start_workers(list(named.values()), lambda name, why: notify(f"{name}: {why}")) as workers:
            found = take_turns(workers, n_rounds=n_rounds, budget_s=budget_s, tasks=["ensemble"])
        lines[engine.name] = [(x, statistics.median(found[case.name]["ensemble"].all_cpu_ms()))
                              for x, case in named.items() if case.name in found]
    return lines


def _renamed(case: Any, name: str) -> Any:
    import dataclasses

    return dataclasses.replace(case, name=name)


def _cpu_ms(each: Measured, task: str) -> float:
    return statistics.median(each.times[task].all_cpu_ms())


def _wall_ms(each: Measured, task: str) -> float:
    return statistics.median(each.times[task].all_wall_ms())
