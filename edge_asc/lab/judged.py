"""A table read off the store: each run's figures, their means and deviations, and the tests. JSON from here on.

Every checkpoint rule is judged on the validation clips. `best_on_validation` chose its epoch on them, as the paper did,
which flatters; `last` chose nothing and can be believed. So can `best_on_selection`, where the recipe holds out a
selection split; it is the one to use then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_asc.errors import StoreError
from edge_asc.lab.statistics import friedman, holm, least_p, rank_sum
from edge_asc.lab.store import Store
from edge_asc.lab.tables import MACRO, Row, Table
from edge_asc.lab.tasks import Arrays, Outcome, Task, figures
from edge_asc.train.run import BESTS, LAST

FIGURES = ("macro_accuracy", "micro_accuracy", "log_loss")

Judged = dict[str, Any]


def judge(table: Table, store: Store) -> Judged:
    """The table as a plain mapping.

    Returns:
        name, title, stamp, n_runs, `rules`; `rows`: name, factors, published, n_nonzero, kb, n_macs and for each rule
        and figure mean, sd and runs; `friedman` and `rank_sum`: one entry for each test and rule.

    Raises:
        StoreError: A task has no result yet.
    """
    outcomes: dict[Task, Outcome] = {}
    for task in table.tasks:
        found = store.get(task) if task not in outcomes else outcomes[task]
        if found is None:
            raise StoreError(f"{table.name} is not finished", found=f"no result of {task}",
                             fix=f"Run it: edge-asc lab {table.name}")
        outcomes[task] = found
    n_runs = len(table.rows[0].runs)
    # Results of earlier versions lack the second of `BESTS` where they have the first.
    rules = [rule for rule in (LAST, *BESTS) if all(rule in found.result["figures"] for found in outcomes.values())]
    rows = [_row(row, outcomes, rules) for row in table.rows]
    return {"name": table.name, "title": table.title, "stamp": table.stamp, "n_runs": n_runs, "rules": rules,
            "least_p": least_p(n_runs), "rows": rows, "friedman": _friedman(table, rows, rules),
            "rank_sum": _rank_sums(table, rows, rules)}


def mean_arrays(members: Sequence[Outcome]) -> Arrays:
    """The ensemble's answers: the mean of its members' probabilities, rule by rule, with the truth beside them."""
    found: Arrays = {}
    for name, first in members[0].arrays.items():
        is_truth = name.endswith("/truth")
        found[name] = first if is_truth else np.asarray(np.mean([m.arrays[name] for m in members], axis=0, dtype=float))
    return found


def _row(row: Row, outcomes: Mapping[Task, Outcome], rules: Sequence[str]) -> dict[str, Any]:
    runs = [[outcomes[task] for task in run] for run in row.runs]
    found: dict[str, Any] = {"name": row.name, "factors": dict(row.factors),
                             "published": vars(row.published) if row.published else None}
    for size in ("n_parameters", "n_nonzero", "kb", "n_macs", "n_macs_nonzero"):
        found[size] = _spread([sum(member.result[size] for member in members) for members in runs])
    for rule in rules:
        scores = [figures(mean_arrays(members), rule)["validation"] for members in runs]
        found[rule] = {figure: _spread([score[figure] for score in scores]) for figure in FIGURES}
    return found


def _spread(values: Sequence[float]) -> dict[str, Any]:
    return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
            "runs": list(values)}


def _friedman(table: Table, rows: Sequence[Mapping[str, Any]], rules: Sequence[str]) -> list[dict[str, Any]]:
    found = []
    for factor in table.factors:
        levels = list(dict.fromkeys(row.factors[factor.name] for row in table.rows))
        others = {name for row in table.rows for name in row.factors} - {factor.name}
        blocks: dict[tuple[Any, ...], dict[Any, Mapping[str, Any]]] = {}
        for row, judged in zip(table.rows, rows, strict=True):
            block = blocks.setdefault(tuple(row.factors[name] for name in sorted(others)), {})
            block[row.factors[factor.name]] = judged
        if len(levels) < 2:
            continue
        for rule in rules:
            test = friedman([[block[level][rule][MACRO]["runs"] for level in levels] for block in blocks.values()])
            found.append({"factor": factor.name, "rule": rule, "figure": MACRO, **vars(test),
                          "published_p": factor.published_p})
    return found


def _rank_sums(table: Table, rows: Sequence[Mapping[str, Any]], rules: Sequence[str]) -> list[dict[str, Any]]:
    by_name = {row["name"]: row for row in rows}
    found = []
    for rule in rules:
        tests = [rank_sum(by_name[contrast.first][rule][contrast.figure]["runs"],
                          by_name[contrast.second][rule][contrast.figure]["runs"]) for contrast in table.contrasts]
        for contrast, test, corrected in zip(table.contrasts, tests, holm([test.p for test in tests]), strict=True):
            found.append({"first": contrast.first, "second": contrast.second, "rule": rule, "figure": contrast.figure,
                          **vars(test), "p_holm": corrected, "published_p": contrast.published_p or None})
    return found
