"""Points, fronts and picks on a pool of real files with made-up answers: who chooses, who reports, what is refused."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asc.audit import member_sizes
from edge_asc.bundle import Bundle, NewMember
from edge_asc.errors import InputError, OverBudgetError, TrainingError
from edge_asc.lab.pareto.experiment import Front, judge
from edge_asc.lab.pareto.part import Part
from edge_asc.lab.pareto.pick import limits, pick
from edge_asc.lab.pareto.plot import figure
from edge_asc.lab.pareto.points import grow, measure, points
from edge_asc.lab.pareto.pool import Entry, Pool, load_pool
from edge_asc.lab.pareto.report import section, summary, ticks
from edge_asc.lab.pareto.rulers import find_rulers
from edge_asc.lab.tasks import single_member
from edge_asc.train.converted import Converted
from edge_asc.train.recipes import override
from firmware_export.boards import board as boards
from tests.lab import fakes
from tests.program import BUNDLE

pytestmark = pytest.mark.train

GOLDEN = Bundle.load(BUNDLE)
VARIANTS = ("int8-sparse", "float32-sparse")
N = 24


def pool(seed: int = 0, *, validation_seed: int = 1, variants: tuple[str, ...] = VARIANTS) -> Pool:
    """The members of the tests' bundle, right more or less often by chance."""
    rng, other = np.random.default_rng(seed), np.random.default_rng(validation_seed)
    truth = np.arange(N) % 3
    entries = []
    for number, member in enumerate(GOLDEN.members):
        task = fakes.task(number, recipe=single_member(override(fakes.RECIPE, [
            *(f"features.{name}={value}" for name, value in GOLDEN.features.to_json().items() if name != "top_db")]),
            member.architecture))
        files = {variant: GOLDEN.member_bytes(member.name, variant) for variant in variants}
        parts = {variant: part(member.name, variant) for variant in variants}
        answers = {f"{split}/{precision}": guesses(draw, truth) for split, draw in (("selection", rng),
                                                                                    ("validation", other))
                   for precision in ("int8", "float32", "keras")}
        made = Converted(member=NewMember(name=task.key[:16], architecture=member.architecture, seed=0, models=files),
                         counts={}, agreements={})
        entries.append(Entry(task=task, converted=made, parts=parts, answers=answers))
    return Pool(entries=tuple(entries), variants=variants, splits={
        "selection/truth": truth, "validation/truth": truth, "validation/recordings": np.arange(N) // 2})


@cache
def part(name: str, variant: str) -> Part:
    data = GOLDEN.member_bytes(name, variant)
    return Part(name=name, architecture="", variant=variant, data=data,
                sizes=member_sizes(name, data, variant, None)[1])


def guesses(rng: np.random.Generator, truth: np.ndarray) -> np.ndarray:
    odds = np.exp(rng.normal(size=(len(truth), 3)) + rng.uniform(0, 2) * np.eye(3)[truth])
    return odds / odds.sum(axis=1, keepdims=True)


def front(made: Pool, *names: str) -> Front:
    rulers = find_rulers(names, spec=made.spec)
    return judge(made, points(made, rulers), reference={})


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_reported_split_has_no_say_in_what_is_chosen(seed, other):
    chosen, again = front(pool(seed), "file", "macs"), front(pool(seed, validation_seed=other), "file", "macs")
    assert [(point.members, point.variant) for point in chosen.front] == [
        (point.members, point.variant) for point in again.front]
    picked, repeated = pick(pool(seed), limits(["file=16KB"], board=None)), pick(
        pool(seed, validation_seed=other), limits(["file=16KB"], board=None))
    assert picked.point.members == repeated.point.members


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_nothing_beats_a_point_of_the_front(seed):
    found = front(pool(seed), "file", "ram")
    for point in found.front:
        for other in found.points:
            better = (other.selection.macro_accuracy >= point.selection.macro_accuracy
                      and all(other.costs[name] <= cost for name, cost in point.costs.items()))
            assert not better or (other.selection.macro_accuracy, other.costs) == (
                point.selection.macro_accuracy, point.costs)
    assert 0 <= found.hypervolume < 1
    for name, limit in found.reference.items():
        most = max(point.costs[name] for point in found.points)
        assert limit / 2 <= most < limit
        assert limit.bit_count() == 1


def test_costs_and_figures_are_those_of_the_ensemble():
    made = pool()
    rulers = find_rulers(["file", "macs"], spec=made.spec)
    for candidate in grow(made, rulers):
        point = measure(made, candidate, rulers)
        files = [made.entries[place].parts[point.variant].data for place in point.members]
        assert point.costs["file"] == sum(map(len, files))
        precision = point.variant.partition("-")[0]
        mean = np.mean([made.entries[place].answers[f"validation/{precision}"] for place in point.members], axis=0)
        assert point.validation.micro_accuracy == (mean.argmax(axis=1) == np.arange(N) % 3).mean()


def test_the_text_says_which_split_chose_and_what_the_figure_is_up_to():
    found = front(pool(), "file")
    text = section(found).text
    assert "chosen on the selection split" in text
    assert "reported on the validation split" in text
    limited = judge(found.pool, found.points, reference={"file": 512000})
    assert "file = 500.0 KB" in summary(limited)
    assert limited.hypervolume != found.hypervolume


def test_the_menus_of_the_plot_change_ruler_and_split():
    found = front(pool(), "file", "macs")
    accuracies, rulers = figure(found).layout.updatemenus
    trace, layout = rulers.buttons[1].args
    assert list(trace["x"][1]) == [point.costs["macs"] for point in found.front]
    assert "multiplications" in layout["xaxis"]["title"]["text"]
    trace, layout = accuracies.buttons[1].args
    assert list(trace["y"][1]) == [point.selection.macro_accuracy for point in found.front]
    assert "selection" in layout["yaxis.title.text"]
    (alone,) = figure(front(pool(), "file")).layout.updatemenus
    assert [button.label for button in alone.buttons] == ["as reported", "as chosen"]


@given(st.sampled_from(["file", "macs", "latency"]), st.integers(1, 10**9), st.integers(1, 1000))
def test_ticks_lie_within_the_costs_in_rising_order(name, cost, factor):
    found = ticks(name, [cost, cost * factor])
    assert found == sorted(found)
    assert all(cost / 1.2 - 1 <= tick <= 1.2 * cost * factor for tick in found)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.integers(11, 60))
def test_a_pick_keeps_its_budgets_and_nothing_grown_within_them_is_better(seed, kb):
    made, budgets = pool(seed), limits([f"file={kb}KB", "macs=100M"], board=None)
    picked = pick(made, budgets)
    assert all(check.ok for check in picked.checks)
    rulers = find_rulers(["file", "macs"], spec=made.spec)
    within = [candidate for candidate in grow(made, rulers, budgets=budgets)
              if measure(made, candidate, rulers).costs["file"] <= kb * 1024]
    assert picked.point.selection.macro_accuracy == max(each.selection.macro_accuracy for each in within)


def test_a_board_is_a_budget_of_flash_and_ram():
    picked = pick(pool(), limits([], board="stm32f405"), board="stm32f405")
    assert [check.budget.counts for check in picked.checks] == ["firmware-flash", "firmware-ram"]
    assert picked.point.variant == "int8-sparse"


def test_without_budgets_the_most_accurate_is_picked():
    made = pool()
    best = max(each.selection.macro_accuracy for each in grow(made, []))
    assert pick(made, ()).point.selection.macro_accuracy == best


def test_what_nothing_keeps_is_said_with_the_nearest_and_by_how_much():
    made = pool()
    smallest = min(len(part.data) for variant in VARIANTS for part in made.parts(variant))
    found = f"{smallest / 1024:.1f} KB of 1.0 KB, {smallest / 1024 - 1:.1f} KB over"
    with pytest.raises(OverBudgetError, match=rf"the nearest, .* is over file=1KB: sum of the model files: {found}"):
        pick(made, limits(["file=1KB"], board=None))


def test_what_cannot_be_measured_is_refused(tmp_path: Path):
    floats = pool(variants=("float32-sparse",))
    with pytest.raises(InputError, match=r"none of the variants .* by firmware-ram.*wanted an int8 variant"):
        pick(floats, limits(["firmware-ram=64KB"], board=None))
    with pytest.raises(InputError, match="no board"):
        limits([], board="toaster")
    with pytest.raises(TrainingError, match=r"holds no members .* edge-asc lab pareto"):
        load_pool(tmp_path)


def test_equal_points_stand_once_and_the_surer_one_stays():
    made = pool(variants=("float32-sparse",))
    sure = {name: np.sqrt(value) if name.startswith("selection") else value
            for name, value in made.entries[0].answers.items()}
    twin = dataclasses.replace(made.entries[0], answers={
        name: value / value.sum(axis=1, keepdims=True) for name, value in sure.items()})
    both = dataclasses.replace(made, entries=(twin, made.entries[0]))
    found = [point for point in front(both, "file").front if len(point.members) == 1]
    assert len(found) == 1
    better = min((0,), (1,), key=lambda each: both.judge("float32-sparse").score(each).log_loss)
    assert found[0].members == better


def test_a_board_that_nothing_fits_is_said_in_its_numbers(monkeypatch: pytest.MonkeyPatch):
    small = dataclasses.replace(boards.BOARDS["stm32f405"], name="small", flash_bytes=25 * 1024)
    monkeypatch.setitem(boards.BOARDS, "small", small)
    with pytest.raises(OverBudgetError, match=r"the nearest, .* does not fit: it takes .* KiB of flash .* 25.0 KiB"):
        pick(pool(), limits([], board="small"), board="small")
    made = pool()
    found = points(made, find_rulers(["firmware-flash"], spec=made.spec, board="small"))
    with pytest.raises(OverBudgetError, match="no ensemble fits the board"):
        judge(made, found, reference={})
