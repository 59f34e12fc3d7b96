"""The space of members: every combination once, each a task, and nothing in it that could never be."""

from __future__ import annotations

import dataclasses

import pytest

from edge_asc.errors import RecipeError
from edge_asc.lab.pareto.space import PAPER, SMOKE, Space, grid, task_of, with_selection
from edge_asc.lab.tasks import fixed_execution
from edge_asc.train.recipes import override
from tests.lab import fakes

pytestmark = pytest.mark.train


def test_every_combination_is_one_task():
    space = Space(architectures=("I(0,0,1)", "I(0,0,1)x0.5", "V(0,0,0,0)"), widths=(1, 0.5), sparsities=(0, 0.8),
                  n_seeds=2)
    tasks = grid(space, fakes.task(7))
    assert len(tasks) == len({task.key for task in tasks}) == 5 * 2 * 2, "I at 1 x 0.5 and at 0.5 x 1 is one"
    assert {task.architecture for task in tasks} == {"I(0,0,1)", "I(0,0,1)x0.5", "I(0,0,1)x0.25", "V(0,0,0,0)",
                                                     "V(0,0,0,0)x0.5"}
    assert {task.recipe.pruning.final_sparsity for task in tasks} == {0, 0.8}
    assert {task.seed for task in tasks} == {7, 8}


def test_a_member_of_the_paper_is_the_very_task_of_the_papers_tables():
    base = fakes.task(3, execution=fixed_execution("V(2,2,3,3)"))
    [kind] = Space(architectures=("V(2,2,3,3)",), sparsities=(0.8,)).kinds()
    assert task_of(kind, base).key == base.key


def test_recordings_to_choose_on_are_held_out_unless_the_recipe_says_how_many():
    assert with_selection(fakes.task()).recipe.training.selection_fraction == 0.2
    own = fakes.task(recipe=override(fakes.RECIPE, ["training.selection_fraction=0.3"]))
    assert with_selection(own) is own


@pytest.mark.parametrize(("changes", "message"), [
    ({"architectures": ()}, "architectures"), ({"architectures": ("V(2,2)",)}, "unknown architecture"),
    ({"widths": (0.0,)}, "unknown architecture"), ({"widths": (100.0,)}, "unknown architecture"),
    ({"sparsities": (1.0,)}, "sparsity; found 1.0"), ({"sparsities": (-0.1,)}, "sparsity"),
    ({"variants": ("int4",)}, "variant; found int4"), ({"n_seeds": 0}, "seeds")])
def test_what_can_never_be_is_refused_at_once(changes, message):
    with pytest.raises(RecipeError, match=message):
        Space(**{"architectures": ("V(0,0,0,0)",), **changes})


def test_what_these_features_or_this_pruning_leave_nothing_of_is_refused_before_training():
    narrow = Space(architectures=("V(0,0,0,0)x0.1",), sparsities=(0.5, 0.95))
    with pytest.raises(RecipeError, match=r"V\(0,0,0,0\)x0.1 pruned to 95% has nothing left of .*found 3 weights"):
        grid(narrow, fakes.task())
    few_bands = dataclasses.replace(fakes.task(), recipe=override(fakes.RECIPE, ["features.n_mels=8"]))
    with pytest.raises(RecipeError, match="halves its input four times"):
        grid(Space(architectures=("V(0,0,0,0)",)), few_bands)


@pytest.mark.parametrize("space", [PAPER, SMOKE], ids=["paper", "smoke"])
def test_the_spaces_that_come_with_it_are_possible(space):
    assert len(grid(space, fakes.task())) == len(space.kinds())
