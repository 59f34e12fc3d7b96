"""The four tables: which members they share, what is read off a filled store, and what is refused before training."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from edge_asc.data.tau_layout import LABEL_OF_SCENE, PUBLISHED, clip_filename
from edge_asc.errors import InputError, RecipeError, StoreError
from edge_asc.lab import published
from edge_asc.lab.judged import judge
from edge_asc.lab.plan import GRID, Plan, factor, make_plan
from edge_asc.lab.report import sections, write
from edge_asc.lab.store import Store
from edge_asc.lab.tables import ENSEMBLE, TABLES, Table, lay_out
from edge_asc.lab.tasks import single_member
from edge_asc.spec import LABELS
from edge_asc.train.metrics import score
from edge_asc.train.recipes import load_recipe, override
from tests.data.tiny_tau import write_tables, write_tiny
from tests.lab import fakes

pytestmark = pytest.mark.train


def full(**others: object) -> Plan:
    return Plan(**{"base": single_member(load_recipe("paper-model1"), "V(2,2,3,3)"), "n_runs": 10,  # type: ignore[arg-type]
                   "dataset": Path("nowhere"), "data_sha256": "0" * 64, **others})


def keys(table: Table) -> set[str]:
    return {task.key for task in table.tasks}


@pytest.fixture(scope="module")
def tables() -> dict[str, Table]:
    return {name: lay_out(name, full()) for name in TABLES}


def test_the_paper_is_laid_out_in_full(tables: dict[str, Table]) -> None:
    assert {name: (len(table.rows), len(keys(table))) for name, table in tables.items()} == {
        "table1": (9, 90), "table2": (8, 80), "table3": (8, 240), "table4": (6, 60)}
    assert all(row.published is not None for table in tables.values() for row in table.rows)
    assert {task.recipe.training.epochs for task in tables["table1"].tasks} == {200}
    frames = {task.recipe.features.n_fft: task.recipe.features.n_frames for task in tables["table1"].tasks}
    assert frames == {1024: 936, 2048: 467, 4096: 233}
    others = [task for name in ("table2", "table3", "table4") for task in tables[name].tasks]
    assert {task.recipe.training.epochs for task in others} == {400}


def test_no_member_is_trained_twice(tables: dict[str, Table]) -> None:
    models = {row.name: row for row in tables["table3"].rows}
    for pruned in "pruned", "unpruned":
        ensemble = models[f"Model 3, {pruned}"].runs
        assert [run[0] for run in ensemble] == [run[0] for run in models[f"Model 1, {pruned}"].runs]
        assert [run[5] for run in ensemble] == [run[0] for run in models[f"Model 2, {pruned}"].runs]
        assert all(len({task.key for task in run}) == len(ENSEMBLE) for run in ensemble)
    assert len(keys(tables["table3"]) & keys(tables["table4"])) == 20
    assert len(keys(tables["table2"]) & keys(tables["table3"])) == 10, "Model 4's first V"
    assert len(set().union(*map(keys, tables.values()))) == 90 + 80 + 240 + 60 - 30


def test_figures_are_those_of_the_mean_of_the_members(tmp_path: Path) -> None:
    table, store = filled(tmp_path, "table3", n_runs=2)
    judged = judge(table, store)
    row = next(row for row in judged["rows"] if row["name"] == "Model 4, pruned")
    for number, run in enumerate(next(row for row in table.rows if row.name == "Model 4, pruned").runs):
        answers = np.mean([fakes.outcome(task).arrays["validation/last"] for task in run], axis=0, dtype=np.float64)
        scores = score(answers, fakes.TRUTH, labels=LABELS)
        assert row["last"]["macro_accuracy"]["runs"][number] == pytest.approx(scores.macro_accuracy)
        assert row["last"]["log_loss"]["runs"][number] == pytest.approx(scores.log_loss)
    for rule in "last", "best_on_validation":
        spread = row[rule]["micro_accuracy"]
        assert spread["mean"] == pytest.approx(np.mean(spread["runs"]))
        assert spread["sd"] == pytest.approx(np.std(spread["runs"], ddof=1))
    assert row["best_on_validation"]["log_loss"]["mean"] < row["last"]["log_loss"]["mean"]
    assert row["n_nonzero"]["mean"] == 6 * 17115
    assert row["published"]["n_nonzero"] == 119758


def test_the_tests_see_a_difference_that_is_there(tmp_path: Path) -> None:
    table, store = Table(name="", title="", rows=()), Store(tmp_path / "store.sqlite")
    table = lay_out("table2", full(n_runs=4))
    for row in table.rows:
        for (task,) in row.runs:
            store.add(task, fakes.outcome(task, skill=5.0 if row.factors["n_segments"] == 10 else 0.0))
    found = {(test["factor"], test["rule"]): test for test in judge(table, store)["friedman"]}
    assert found["n_segments", "last"]["p"] < 0.01
    assert found["n_segments", "last"]["kendall_w"] > 0.4
    assert found["match", "last"]["p"] > 0.05
    assert found["match", "last"]["published_p"] == published.TABLE2_FRIEDMAN["match"]


def test_contrasts_are_those_of_the_paper(tmp_path: Path) -> None:
    table, store = filled(tmp_path, "table4", n_runs=3)
    tests = judge(table, store)["rank_sum"]
    assert [(test["first"], test["second"]) for test in tests if test["rule"] == "last"] == [
        ("V(2,2,3,3)", "V(0,0,1,1)"), ("V(2,2,3,3)", "V(4,4,5,5)"), ("I(1,0,1)", "I(2,1,2)"), ("I(1,0,1)", "I(3,2,3)")]
    assert all((test["p"] >= 0.1 - 1e-9 or not test["is_exact"]) and test["p_holm"] >= test["p"] for test in tests)


def test_every_form_of_the_report_shows_both_and_the_stamp(tmp_path: Path) -> None:
    table, store = filled(tmp_path, "table3", n_runs=2)
    judged = [judge(dataclasses.replace(table, stamp="SCALED (smoke): 2 of 10 runs."), store)]
    write(tmp_path, "report", title="A title", tables=judged, about={"data": "none"})
    markdown, html = (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()
    for text in markdown, html:
        for part in ("SCALED (smoke)", "0.9090 ± 0.0020", "119758", "467.8", "Model 4, pruned", "Cliff", "optimistic",
                     "0.0025", "no p below 0.33"):
            assert part in text
    assert "data:image/png" in html
    assert json.loads((tmp_path / "report.json").read_text())["tables"] == json.loads(json.dumps(judged))
    for section in sections(judged[0]):
        assert section.table is None or {len(row) for row in section.table.rows} == {len(section.table.columns)}


def test_with_a_selection_split_all_three_rules_are_shown(tmp_path: Path) -> None:
    plan = full(n_runs=2)
    plan = dataclasses.replace(plan, base=override(plan.base, ["training.selection_fraction=0.2"]))
    table, store = lay_out("table4", plan), Store(tmp_path / "store.sqlite")
    older = Store(tmp_path / "older.sqlite")
    for place, task in enumerate(table.tasks):
        found = fakes.outcome(task)
        store.add(task, found)
        if place == 0:  # as a version made it that kept one best epoch alone
            figures = {rule: found.result["figures"][rule] for rule in ("last", "best_on_selection")}
            found = dataclasses.replace(found, result={**found.result, "figures": figures, "chosen_on": "selection"},
                                        arrays={name: found.arrays[name] for name in found.arrays
                                                if not name.endswith("best_on_validation")})
        older.add(task, found)
    judged = judge(table, store)
    assert judged["rules"] == ["last", "best_on_selection", "best_on_validation"]
    section = sections(judged)[0]
    for words in "the one to use", "optimistic":
        assert words in section.text
    assert section.table is not None
    assert [row[:2] for row in section.table.rows[:5]] == [
        ["V(0,0,1,1)", "published"], ["", "last"], ["", "best on selection"], ["", "best on validation"],
        ["V(2,2,3,3)", "published"]]
    judged = judge(table, older)
    assert judged["rules"] == ["last", "best_on_selection"]
    assert "of an earlier version" in sections(judged)[0].text


def test_a_table_without_its_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"table4 is not finished; found no result of V\(0,0,1,1\)"):
        judge(lay_out("table4", full(n_runs=1)), Store(tmp_path / "store.sqlite"))


@pytest.mark.parametrize(("name", "grid", "message"), [
    ("table1", {"n_mels": (48, 512)}, r"table1 has an impossible row \(512 bands, FFT 1024\).*too many"),
    ("table1", {"n_mels": (12,)}, r"\(12 bands, FFT 1024\).*halves its input"),
    ("table1", {"n_fft": (1 << 20,)}, r"\(32 bands, FFT 1048576\).*longer than a clip"),
    ("table2", {"n_segments": (2, 3)}, r"table2 has an impossible row \(3 segments, fine labels\).*2, 4, 5 or 10"),
    ("table4", {"architecture": ("I(1,0,1)", "W(1)")}, r"table4 has an impossible row \(W\(1\)\).*unknown arch")])
def test_impossible_rows_are_refused_by_name(name: str, grid: dict[str, tuple[object, ...]], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        lay_out(name, full(grid={**GRID, **grid}))


def test_the_paper_in_full_has_no_stamp(tmp_path: Path) -> None:
    rows = {split: [(clip_filename(next(scene for scene, of in LABEL_OF_SCENE.items() if of == label), "lyon",
                                   10 * number + LABELS.index(label), segment), label)
                    for label, n_clips in PUBLISHED[split].items() for segment in range(n_clips)]
            for number, split in enumerate(("train", "validation"))}
    write_tables(tmp_path, rows["train"], rows["validation"])
    (tmp_path / "audio").mkdir()
    for name, _ in rows["train"] + rows["validation"]:
        (tmp_path / name).touch()
    assert make_plan(tmp_path).stamp == ""


def test_plans(tmp_path: Path) -> None:
    write_tiny(tmp_path, clip_s=0.1)
    plan = make_plan(tmp_path)
    assert plan.stamp == ("SCALED (1.0): another data set (6 + 6 clips). These figures are not the paper's experiment.")
    assert (plan.n_runs, plan.base.training.epochs) == (10, 400)
    assert keys(lay_out("table4", plan)) == keys(lay_out("table4", full(data_sha256=plan.data_sha256)))
    plan = make_plan(tmp_path, scale=0.125, grid=["architecture=V(0,0,1,1), I(1,0,1)", "n_fft=2048"])
    assert (plan.n_runs, plan.base.training.epochs, plan.data_share, plan.n_tracks_per_label) == (5, 200, 0.5, 2000)
    assert plan.grid["architecture"] == ("V(0,0,1,1)", "I(1,0,1)")
    assert plan.stamp == ("SCALED (0.125): another data set (6 + 6 clips), 200 of 400 epochs, 5 of 10 runs, 50% of the "
                          "clips, 2000 of 4000 mixed tracks per label, another grid of n_fft and architecture. These "
                          "figures are not the paper's experiment.")
    assert make_plan(tmp_path, scale="smoke").base.training.epochs == 3
    assert make_plan(tmp_path, n_runs=2, settings=["training.l2=0.0"]).stamp.startswith(
        "SCALED (1.0): another data set (6 + 6 clips), 2 of 10 runs, training.l2=0.0.")
    mixed = make_plan(tmp_path, settings=["block_mixing.on_the_fly=true", "block_mixing.n_tracks_per_label=50"])
    assert mixed.stamp.startswith("SCALED (1.0): another data set")
    assert "50 of 4000 mixed tracks per label, block_mixing.on_the_fly=true" in mixed.stamp
    found = {task.recipe.block_mixing for name in ("table2", "table3") for task in lay_out(name, mixed).tasks}
    assert {(each.n_tracks_per_label, each.on_the_fly) for each in found} == {(0, False), (50, True)}
    with pytest.raises(RecipeError, match=r"int8's rounding; found quantization\.aware_epochs = 20"):
        make_plan(tmp_path, settings=["quantization.aware_epochs=20"])
    for bad in ("0", "1.5", "tiny"):
        with pytest.raises(InputError, match="impossible scale"):
            factor(bad)
    for bad in ("n_mels", "n_mels=", "n_mels=many", "mels=3"):
        with pytest.raises(InputError, match="grid"):
            make_plan(tmp_path, grid=[bad])


def filled(folder: Path, name: str, *, n_runs: int) -> tuple[Table, Store]:
    table, store = lay_out(name, full(n_runs=n_runs)), Store(folder / "store.sqlite")
    for task in table.tasks:
        store.add(task, fakes.outcome(task))
    return table, store
