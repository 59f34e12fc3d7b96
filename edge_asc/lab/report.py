"""Judged tables as sections of a page, for HTML, Markdown and the terminal alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_asc.atomic import write_text
from edge_asc.lab import pictures
from edge_asc.lab.judged import Judged
from edge_asc.lab.published import N_RUNS
from edge_asc.report import Picture, Section, Table, markdown, write_page
from edge_asc.train.run import BEST_ON_SELECTION, BEST_ON_VALIDATION, LAST

RULES = {LAST: "the last epoch (unbiased)",
         BEST_ON_SELECTION: "the best epoch on a selection split held out of training (unbiased, and the one to use)",
         BEST_ON_VALIDATION: "the best epoch on the validation clips themselves, as in the paper (optimistic)"}
_COLUMNS = ("", "epoch", "macro accuracy", "micro accuracy", "log-loss", "non-zero", "KB")
_FIGURES = {"macro_accuracy": 4, "micro_accuracy": 4, "log_loss": 3}
_SIZES = {"n_nonzero": 0, "kb": 1}
"""Digits behind the point."""


def sections(judged: Judged) -> list[Section]:
    """The table, what its lines mean, its picture, and its tests."""
    rules = judged["rules"]
    text = "\n".join([f"Mean ± standard deviation of {judged['n_runs']} runs on the validation clips; KB: non-zero "
                      "parameters at 4 bytes. The lines of a row:",
                      f"• published: in the paper, {N_RUNS} runs, the best epoch on validation",
                      *(f"• {_words(rule)}: {RULES[rule]}" for rule in rules)])
    if BEST_ON_VALIDATION not in rules:
        text += ("\nThe paper's own choice of the epoch is missing: some of the members are of an earlier version, "
                 "which did not keep it.")
    rows = [line for row in judged["rows"] for line in _lines(row, rules)]
    found = [Section(heading=judged["title"], text=text, table=Table(columns=_COLUMNS, rows=rows),
                     pictures=[Picture(png=pictures.rows(judged), caption="Macro accuracy: each run (dots), mean and "
                                       "standard deviation (bars), and the paper's")])]
    if judged["friedman"]:
        found.append(_friedman(judged))
    if judged["rank_sum"]:
        found.append(_rank_sums(judged))
    return found


def write(folder: Path, name: str, *, title: str, tables: Sequence[Judged], about: Mapping[str, Any],
          more: Sequence[Section] = ()) -> list[Path]:
    """NAME.json, NAME.md and NAME.html.

    Args:
        about: What the JSON says besides the tables, such as the provenance.
        more: Sections behind the tables.
    """
    stamp = next((table["stamp"] for table in tables if table["stamp"]), "")
    lead = stamp or "Ooi, Peksi and Gan 2020, at full length: the paper's figures beside those measured."
    parts = [section for table in tables for section in sections(table)] + list(more)
    paths = [folder / f"{name}.{ending}" for ending in ("json", "md", "html")]
    write_text(paths[0], json.dumps({"title": title, "stamp": stamp, **about, "tables": list(tables)}, indent=1) + "\n")
    write_text(paths[1], markdown(title, lead, parts))
    write_page(paths[2], title=title, lead=lead, sections=parts)
    return paths


def _lines(row: Mapping[str, Any], rules: Sequence[str]) -> Iterator[list[str]]:
    """What was published, if it was, then a line for each rule; the name on the first of them."""
    name = row["name"]
    if paper := row["published"]:
        yield [name, "published", _plus_minus(paper["macro"], paper["macro_sd"]),
               _plus_minus(paper["micro"], paper["micro_sd"]), "-",
               *(_plus_minus(paper[size], None, digits=digits) for size, digits in _SIZES.items())]
        name = ""
    sizes = [_plus_minus(row[size]["mean"], None, digits=digits) for size, digits in _SIZES.items()]
    for rule in rules:
        figures = row[rule]
        yield [name, _words(rule), *(_plus_minus(figures[figure]["mean"], figures[figure]["sd"], digits=digits)
                                     for figure, digits in _FIGURES.items()), *sizes]
        name, sizes = "", ["" for _ in sizes]


def _words(rule: str) -> str:
    return rule.replace("_", " ")


def _plus_minus(mean: float | None, sd: float | None, *, digits: int = 4) -> str:
    if mean is None:
        return "-"
    return f"{mean:.{digits}f}" + ("" if sd is None else f" ± {sd:.{digits}f}")


def _friedman(judged: Judged) -> Section:
    rows = [[test["factor"], _words(test["rule"]), f"{test['statistic']:.3f}", _p(test["p"]), _p(test["published_p"]),
             f"{test['kendall_w']:.3f}"] for test in judged["friedman"]]
    return Section(heading=f"{judged['title'].partition(':')[0]}: does a factor matter?",
                   text="Friedman's test with replications on the macro accuracy, every run a value. Effect size: "
                        "Kendall's W, from 0 (none) to 1.",
                   table=Table(columns=("factor", "epoch", "chi-squared", "p", "published p", "W"), rows=rows))


def _rank_sums(judged: Judged) -> Section:
    rows = [[f"{test['first']} against {test['second']}", test["figure"].replace("_", " "), _words(test["rule"]),
             f"{test['statistic']:g}", "exact" if test["is_exact"] else "normal", _p(test["p"]), _p(test["p_holm"]),
             _p(test["published_p"]), f"{test['cliffs_delta']:+.2f}"] for test in judged["rank_sum"]]
    return Section(heading=f"{judged['title'].partition(':')[0]}: are two rows different?",
                   text="Two-sided Wilcoxon rank-sum tests; U of the first. Effect size: Cliff's delta, from -1 (the "
                        "first is always lower) to 1. p (Holm): corrected for the tests of this table under the same "
                        f"rule. Exact: no p below {judged['least_p']:.2g} is possible with {judged['n_runs']} runs a "
                        "side. Normal: some figures are equal, and p is approximate.",
                   table=Table(columns=("rows", "figure", "epoch", "U", "test", "p", "p (Holm)", "published p",
                                        "delta"), rows=rows))


def _p(value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or "-"
    return f"{value:.4f}" if value >= 0.0001 else "< 0.0001"
