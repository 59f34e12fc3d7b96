"""Judged tables as sections of a page, for HTML, Markdown and the terminal alike."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_asc.atomic import write_text
from edge_asc.lab import pictures
from edge_asc.lab.judged import Judged
from edge_asc.report import Picture, Section, Table, markdown, write_page

RULE_NAMES = {"last": "last epoch",
              "best_on_validation": "best epoch on the validation clips, as in the paper (optimistic)",
              "best_on_selection": "best epoch on the selection split, held out of the training clips"}
_COLUMNS = ("", "published macro", "macro, last", "macro, best", "published micro", "micro, last", "micro, best",
            "log-loss, last", "log-loss, best", "published non-zero", "non-zero", "published KB", "KB")


def sections(judged: Judged) -> list[Section]:
    """The table, what its columns mean, its picture, and its tests."""
    rows = [_cells(row, judged["rules"]) for row in judged["rows"]]
    text = (f"{judged['stamp']}\n" if judged["stamp"] else "") + (
        f"Mean and standard deviation of {judged['n_runs']} runs on the validation clips. "
        + "; ".join(f"{_short(rule)}: {RULE_NAMES[rule]}" for rule in judged["rules"])
        + ". KB: non-zero parameters at 4 bytes.")
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


def _cells(row: Mapping[str, Any], rules: Sequence[str]) -> list[str]:
    paper = row["published"] or {}
    cells = [row["name"]]
    for figure, short in (("macro_accuracy", "macro"), ("micro_accuracy", "micro")):
        cells.append(_plus_minus(paper.get(short), paper.get(f"{short}_sd")))
        cells += [_plus_minus(row[rule][figure]["mean"], row[rule][figure]["sd"]) for rule in rules]
    cells += [_plus_minus(row[rule]["log_loss"]["mean"], row[rule]["log_loss"]["sd"], digits=3) for rule in rules]
    for size, digits in (("n_nonzero", 0), ("kb", 1)):
        cells += [_plus_minus(mean, None, digits=digits) for mean in (paper.get(size), row[size]["mean"])]
    return cells


def _short(rule: str) -> str:
    return rule.partition("_")[0]


def _plus_minus(mean: float | None, sd: float | None, *, digits: int = 4) -> str:
    if mean is None:
        return "-"
    return f"{mean:.{digits}f}" + ("" if sd is None else f" ± {sd:.{digits}f}")


def _friedman(judged: Judged) -> Section:
    rows = [[test["factor"], _short(test["rule"]), f"{test['statistic']:.3f}", _p(test["p"]), _p(test["published_p"]),
             f"{test['kendall_w']:.3f}"] for test in judged["friedman"]]
    return Section(heading=f"{judged['title'].partition(':')[0]}: does a factor matter?",
                   text="Friedman's test with replications on the macro accuracy, every run a value. Effect size: "
                        "Kendall's W, from 0 (none) to 1.",
                   table=Table(columns=("factor", "epoch", "chi-squared", "p", "published p", "W"), rows=rows))


def _rank_sums(judged: Judged) -> Section:
    rows = [[f"{test['first']} against {test['second']}", test["figure"].replace("_", " "), _short(test["rule"]),
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
