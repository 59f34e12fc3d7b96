"""`edge-asc lab pick`: the bundle of the most accurate ensemble within budgets.

The ensemble is grown anew under these very budgets, on the selection split; what it costs is measured on the files
that go into the bundle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_asc.audit import COUNTS, MEASURES, Budget, Check, parse_budgets
from edge_asc.bundle import Bundle, NewMember
from edge_asc.data.dataset import TauDataset
from edge_asc.errors import OverBudgetError
from edge_asc.lab.data import thinned
from edge_asc.lab.pareto.experiment import SPLITS_SENTENCE
from edge_asc.lab.pareto.points import MAX_MEMBERS, Candidate, Point, describe, grow, interval, measure
from edge_asc.lab.pareto.pool import VALIDATION, Entry, Pool
from edge_asc.lab.pareto.rulers import Ruler, find_rulers
from edge_asc.lab.pareto.selection import ranks
from edge_asc.train.converted import Converted, save_converted
from edge_asc.train.execution import executions_to_json, family
from edge_asc.train.levels import level_dbfs
from edge_asc.train.metrics import Scores
from edge_asc.train.model_card import Card, model_card, sparsity_in_words
from edge_asc.train.run import LAST, made_with
from firmware_export.boards.board import find_board

_ALWAYS = "int8-sparse"
"""Goes into every bundle, if the pool has it: the firmware is made from it."""


@dataclass(frozen=True, kw_only=True)
class Picked:
    """What was picked, and what it was held to."""

    point: Point
    checks: tuple[Check, ...]


def limits(texts: Sequence[str], *, board: str | None) -> tuple[Budget, ...]:
    """Budgets as `edge-asc audit` reads them, those of `MEASURES` besides, and the flash and RAM of a board."""
    budgets = parse_budgets(texts, counts=COUNTS | MEASURES)
    if board is None:
        return budgets
    found = find_board(board)
    return (*budgets, Budget(name=f"flash of {board}", counts="firmware-flash", limit=found.flash_bytes),
            Budget(name=f"RAM of {board}", counts="firmware-ram", limit=found.ram_bytes))


def pick(pool: Pool, budgets: Sequence[Budget], *, board: str | None = None, n_max: int = MAX_MEMBERS) -> Picked:
    """The ensemble that did best on the selection split among those that keep all budgets.

    Args:
        board: What `firmware-flash` and `firmware-ram` are planned for.

    Raises:
        OverBudgetError: None does; the message has the nearest one and by how much it is over.
        InputError, MissingDependencyError: A budget is for something that cannot be measured here.
    """
    rulers = find_rulers([budget.counts for budget in budgets], spec=pool.spec, board=board)
    candidates = grow(pool, rulers, n_max=n_max, budgets=budgets)
    order = ranks(candidate.selection for candidate in candidates)
    for place in sorted(range(len(candidates)), key=lambda place: (order[place], candidates[place].estimates)):
        try:
            point = measure(pool, candidates[place], rulers)
        except OverBudgetError:
            continue
        checks = _checks(point, budgets)
        if all(check.ok for check in checks):
            return Picked(point=point, checks=checks)
    raise _nothing(pool, budgets, rulers)


def _nothing(pool: Pool, budgets: Sequence[Budget], rulers: Sequence[Ruler]) -> OverBudgetError:
    """The error that names the member that comes nearest, by the budget that it exceeds the most."""
    def excess(single: Candidate) -> float:
        costs = dict(zip([ruler.name for ruler in rulers], single.estimates, strict=True))
        return max(costs[budget.counts] / max(1, budget.limit) for budget in budgets)

    nearest = min(grow(pool, rulers, n_max=1), key=excess)
    try:
        checks = _checks(measure(pool, nearest, rulers), budgets)
        over = f"is over {'; '.join(str(check) for check in checks if not check.ok)}"
    except OverBudgetError as error:
        over = f"does not fit: it takes {error.found}, and there are {error.wanted}"
    return OverBudgetError(
        "no ensemble of the pool keeps the budgets",
        found=f"the nearest, {describe(pool, nearest.members)} as {nearest.variant}, {over}",
        fix="Allow more, or make smaller members: edge-asc lab pareto with smaller widths, depths or more sparsity.")


def _checks(point: Point, budgets: Sequence[Budget]) -> tuple[Check, ...]:
    return tuple(Check(budget=budget, found=point.costs[budget.counts]) for budget in budgets)


def build_bundle(pool: Pool, picked: Picked, out: Path, *, dataset: Path | None = None,
                 golden_clip: Path | None = None) -> Bundle:
    """Writes the bundle of what was picked, held once more to the budgets that an audit can check.

    Args:
        dataset: Where the data set is now; where it was when the pool was made if None.
        golden_clip: As for `convert_run`.

    Raises:
        DatasetError: The data set is gone.
    """
    point = picked.point
    entries = [pool.entries[place] for place in point.members]
    variants = [variant for variant in dict.fromkeys([point.variant, _ALWAYS]) if variant in pool.variants]
    members = _members(entries, variants)
    first = entries[0].task
    clips = thinned(TauDataset.load(dataset or first.dataset), first.data_share)
    recipe = replace(first.recipe, name="picked", members=tuple(
        (each.member.name, each.member.architecture) for each in members), description="Picked from "
        f"{len(pool.entries)} trained members for its accuracy within {_named(picked) or 'no budget'}.")
    scores = {name: pool.judge(name, VALIDATION).score(point.members) for name in ("keras", *variants)}
    clip = golden_clip or clips.validation[0].path
    executions = {family(entry.task.architecture): entry.task.execution for entry in entries}
    about = {"data": {"sha256": first.data_sha256, "n_train": len(clips.train),
                      "n_validation": len(pool.splits["validation/truth"]),
                      "n_selection": len(pool.splits["selection/truth"])},
             "execution": executions_to_json(executions), "made_with": made_with()}
    made = {"picked": {"budgets": [str(check) for check in picked.checks], "members": {
        each.member.name: {"task": entry.task.key, "recipe": entry.task.recipe.to_json()}
        for each, entry in zip(members, entries, strict=True)}}, "weights": LAST, "run": about,
        "level_dbfs": level_dbfs(clips.train, recipe.augmentation, sample_rate_hz=recipe.features.sample_rate_hz)}
    sparsities = dict.fromkeys(sparsity_in_words(entry.task.recipe.pruning) for entry in entries)
    sections = {"How it was picked": how_picked(pool, picked)}

    def card(bundle: Bundle) -> str:
        return model_card(Card(bundle=bundle, recipe=recipe, about=about, weights=LAST,
                               sparsity=", ".join(sparsities), scores=scores, golden_clip=clip.name, sections=sections,
                               agreements={each.member.name: each.agreements for each in members}))

    return save_converted(out, members, spec=pool.spec, made=made, golden_clip=clip, scores=scores, card=card,
                          default_variant=point.variant,
                          budgets=[check.budget for check in picked.checks if check.budget.counts in COUNTS])


def how_picked(pool: Pool, picked: Picked) -> str:
    """Which split chose, which is reported, and how far the figure can be trusted."""
    point, spread = picked.point, interval(pool, picked.point)
    lines = [f"{describe(pool, point.members)}, as {point.variant}, of {len(pool.entries)} trained members. "
             + SPLITS_SENTENCE, "",
             f"* Selection split ({point.selection.n} windows, which chose): {_figures(point.selection)}.",
             f"* Validation split ({point.validation.n} windows, which is reported): {_figures(point.validation)}; "
             f"95 % interval of the macro accuracy over {spread.n_recordings} recordings {spread.low:.3f} to "
             f"{spread.high:.3f}.", *(f"* Budget {check}." for check in picked.checks)]
    return "\n".join(lines)


def _figures(scores: Scores) -> str:
    return f"macro accuracy {scores.macro_accuracy:.3f}, log-loss {scores.log_loss:.3f}"


def _named(picked: Picked) -> str:
    return ", ".join(check.budget.name for check in picked.checks)


def _members(entries: Sequence[Entry], variants: Sequence[str]) -> list[Converted]:
    """The members with names as in a recipe: v1, v2, i1."""
    counts: dict[str, int] = {}
    found = []
    for entry in entries:
        family = entry.task.architecture[0].lower()
        counts[family] = counts.get(family, 0) + 1
        made = entry.converted
        member: NewMember = replace(made.member, name=f"{family}{counts[family]}",
                                    models={variant: made.member.models[variant] for variant in variants})
        found.append(replace(made, member=member))
    return found
