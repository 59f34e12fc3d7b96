"""Recipes: the paper's values, exact errors for everything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asc.errors import RecipeError
from edge_asc.train.recipe_parts import Pruning
from edge_asc.train.recipes import from_mapping, load_recipe, override, recipe_names, scaled

pytestmark = pytest.mark.train

ENSEMBLE = [(f"v{number}", "V(2,2,3,3)") for number in range(1, 6)] + [("i1", "I(2,1,2)")]


def test_these_recipes_come_with_the_package():
    assert recipe_names() == ["box", "demo", "paper-model1", "paper-model2", "paper-model3", "paper-model4"]


@pytest.mark.parametrize("name", ["paper-model1", "paper-model2", "paper-model3", "paper-model4"])
def test_the_papers_recipe(name):
    recipe = load_recipe(name)
    t, p = recipe.training, recipe.pruning
    assert (t.epochs, t.batch_size, t.learning_rate, t.final_learning_rate) == (400, 128, 1e-4, 1e-4)
    assert (t.l2, t.dropout, t.balance, t.windows_per_epoch) == (1e-3, 0.5, "none", 0)
    assert (p.initial_sparsity, p.final_sparsity) == (0.1, 0.8)
    assert (p.begin_epoch, p.end_epoch, p.every_epochs) == (100, 300, 10)
    assert not recipe.augmentation.enabled
    assert recipe.block_mixing.n_tracks_per_label == (4000 if name == "paper-model4" else 0)


def test_the_papers_members():
    assert load_recipe("paper-model1").members == (("v1", "V(2,2,3,3)"),)
    assert load_recipe("paper-model2").members == (("i1", "I(2,1,2)"),)
    assert list(load_recipe("paper-model4").members) == list(load_recipe("box").members) == ENSEMBLE


def test_member_seeds_are_distinct_and_do_not_depend_on_who_trains_along():
    recipe = load_recipe("paper-model4")
    assert [recipe.member_seed(name) for name, _ in recipe.members] == [2021, 2022, 2023, 2024, 2025, 2026]


@pytest.mark.parametrize("name", ["box", "demo", "paper-model4"])
def test_json_and_back(name):
    recipe = load_recipe(name)
    assert from_mapping(recipe.to_json()) == recipe


def test_override_reads_values_as_toml_and_text_without_quotes():
    recipe = override(load_recipe("demo"), ["training.epochs=25", "training.learning_rate=1", "members.v3=V(0,0,1,1)",
                                            "seed=7", "augmentation.gain_db=[-6, 6]", "training.balance=label"])
    assert (recipe.training.epochs, recipe.training.learning_rate, recipe.seed) == (25, 1.0, 7)
    assert recipe.members[-1] == ("v3", "V(0,0,1,1)")
    assert recipe.augmentation.gain_db == (-6.0, 6.0)
    assert recipe.training.balance == "label"


@pytest.mark.parametrize("setting", [
    "training.epoch=5", "trainin.epochs=5", "training.epochs", "=5", "training=5", "epochs=5", "training.epochs=0",
    "training.epochs=2.5", "training.epochs=true", "training.balance=both", "training.dropout=1", "training.l2=-1",
    "training.selection_fraction=1", "training.learning_rate=0", "pruning.final_sparsity=1", "pruning.end_epoch=400",
    "pruning.every_epochs=7", "pruning.begin_epoch=300", "pruning.initial_sparsity=0.9", "block_mixing.n_segments=3",
    "block_mixing.match=city", "block_mixing.on_the_fly=1", "augmentation.gain_db=[10, -20]",
    "augmentation.gain_db=[1]", "features.n_fft=1000", "features.colour=1", "distillation.weight=1.1",
    "distillation.penalty=0", "training.i_rate_factor=0", "members=v1", "members.v1=3", "seed=-1", "name=3"])
def test_an_impossible_setting_is_an_error(setting):
    with pytest.raises(RecipeError):
        override(load_recipe("paper-model1"), [setting])


@pytest.mark.parametrize(("text", "says"), [
    ("members = {v1 = 'V(1,1,1,1)'}\ncolour = 1", "unknown key"), ("members = {", "not TOML"), ("", "members"),
    ("members = {v1 = 'V(1,1,1,1)'}\npruning = 1", "a table")])
def test_a_bad_file_is_an_error(tmp_path, text, says):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=says):
        load_recipe(path)


def test_a_missing_file_names_the_recipes_there_are(tmp_path):
    with pytest.raises(RecipeError, match="paper-model4"):
        load_recipe(tmp_path / "nothing.toml")


def test_the_papers_schedule_at_its_corners():
    pruning = Pruning()
    assert [pruning.sparsity(epoch) for epoch in (0, 99)] == [0.0, 0.0]
    assert pruning.sparsity(100) == pruning.sparsity(109) == pytest.approx(0.1)
    assert pruning.sparsity(200) == pytest.approx(0.8 - 0.7 / 8)
    assert pruning.sparsity(299) < 0.8
    assert pruning.sparsity(300) == pruning.sparsity(399) == 0.8
    assert [epoch for epoch in range(400) if pruning.is_due(epoch)] == list(range(100, 301, 10))


@given(begin=st.integers(0, 50), every=st.integers(1, 10), n=st.integers(1, 20), low=st.floats(0, 0.5),
       high=st.floats(0.5, 0.99))
def test_sparsity_never_falls_and_ends_exactly_at_the_final_value(begin, every, n, low, high):
    pruning = Pruning(initial_sparsity=low, final_sparsity=high, begin_epoch=begin, end_epoch=begin + n * every,
                      every_epochs=every)
    values = [pruning.sparsity(epoch) for epoch in range(begin + n * every + 3)]
    assert values == sorted(values)
    assert values[-1] == pruning.sparsity(pruning.end_epoch) == high


def test_final_sparsity_zero_is_training_without_pruning():
    recipe = override(load_recipe("paper-model1"), ["pruning.final_sparsity=0", "training.epochs=5"])
    assert not recipe.pruning.enabled
    assert recipe.pruning.sparsity(4) == 0


@given(st.sampled_from(["box", "demo", "paper-model1"]), st.floats(0.001, 5))
def test_scaling_keeps_proportions_and_a_possible_schedule(name, factor):
    recipe = load_recipe(name)
    short = scaled(recipe, factor)  # raises if the schedule is impossible
    assert short.training.epochs == max(3, round(recipe.training.epochs * factor))
    assert short.pruning.sparsity(short.training.epochs - 1) == recipe.pruning.final_sparsity
    for key in ("begin_epoch", "end_epoch"):
        share = getattr(recipe.pruning, key) / recipe.training.epochs
        off_by = getattr(short.pruning, key) - share * short.training.epochs
        assert abs(off_by) <= 1.5 + short.pruning.every_epochs
    changed = override(short, [f"training.epochs={recipe.training.epochs}"]) if factor < 1 else short
    assert changed.members == recipe.members


def test_scaling_the_paper_keeps_its_twenty_steps():
    short = scaled(load_recipe("paper-model1"), 0.1)
    assert (short.training.epochs, short.pruning.begin_epoch, short.pruning.end_epoch, short.pruning.every_epochs) == (
        40, 10, 30, 1)
    unpruned = scaled(override(load_recipe("paper-model1"), ["pruning.final_sparsity=0"]), 0.001)
    assert unpruned.training.epochs == 1


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_scale_is_an_error(factor):
    with pytest.raises(RecipeError, match="scale"):
        scaled(load_recipe("demo"), factor)


def test_too_few_epochs_for_the_pruning_names_the_way_out():
    with pytest.raises(RecipeError, match=r"--scale 0\.1"):
        override(load_recipe("demo"), ["training.epochs=2"])
