"""Evaluation of bundles and runs: the figures, the challenge's file, levels, floors, and what cannot be judged."""

from __future__ import annotations

import csv
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from edge_asc.bundle import Bundle
from edge_asc.classify import classify_file
from edge_asc.data.tau_layout import write_table
from edge_asc.errors import DatasetError, InputError, TrainingError
from edge_asc.runtime import load_ensemble
from edge_asc.spec import LABELS
from edge_asc.train.evaluate import evaluate, save
from edge_asc.train.metrics import score
from edge_asc.train.run import Run
from tests.program import BUNDLE, edge_asc, environment
from tests.train import tiny_sounds

pytestmark = pytest.mark.train


def test_a_bundle_is_judged_as_it_classifies(sounds: Path) -> None:
    found = evaluate(BUNDLE, sounds, n_jobs=1)
    ensemble = load_ensemble(Bundle.load(BUNDLE))
    one_by_one = [list(classify_file(clip.path, ensemble).probabilities.values()) for clip in found.clips]
    assert np.allclose(found.probabilities, one_by_one, atol=1e-6)
    truth = [LABELS.index(clip.label or "") for clip in found.clips]
    assert found.scores == score(found.probabilities, truth, labels=LABELS, scenes=[clip.scene for clip in found.clips])
    assert found.scores.macro_accuracy == 1.0
    assert [scene.scene for scene in found.scores.scenes] == ["airport", "park", "tram"]
    assert list(found.members) == ["v1", "v2", "i1"]
    assert found.interval.n_recordings == 6


def test_floors_stand_beside(sounds: Path) -> None:
    found = evaluate(BUNDLE, sounds, levels_db=[-20], n_jobs=1)
    names = ["chance", "most frequent label", "regression on band statistics"]
    assert [floor.name for floor in found.floors] == names
    assert [floor.name for floor in found.levels[0].floors] == names
    assert found.floors[1].macro_accuracy == pytest.approx(1 / 3)
    assert evaluate(BUNDLE, sounds, with_floors=False, n_jobs=1).floors == ()


def test_another_level_is_another_answer(sounds: Path) -> None:
    found = evaluate(BUNDLE, sounds, levels_db=[0, -60], with_floors=False, n_jobs=1)
    assert found.levels[0].scores.log_loss == pytest.approx(found.scores.log_loss)
    assert found.levels[1].gain_db == -60
    assert found.levels[1].scores.log_loss > found.scores.log_loss


def test_a_run_is_judged_as_it_judged_itself(sounds: Path, sounds_run: Path) -> None:
    results = json.loads((sounds_run / "results.json").read_text())
    found = evaluate(sounds_run, sounds, with_floors=False, n_jobs=1)
    for name, scores in [("ensemble", found.scores), *found.members.items()]:
        assert scores.macro_accuracy == results["last"][name]["macro_accuracy"]
        assert scores.log_loss == pytest.approx(results["last"][name]["log_loss"], abs=1e-6)
    best = evaluate(sounds_run, sounds, weights="best", with_floors=False, n_jobs=1)
    assert best.scores.log_loss == pytest.approx(results["best_on_validation"]["ensemble"]["log_loss"], abs=1e-6)
    assert "optimistic" in best.notes[0]


def test_the_training_split_is_named_for_what_it_is(sounds: Path) -> None:
    found = evaluate(BUNDLE, sounds, split="train", with_floors=False, n_jobs=1)
    assert len(found.clips) == 36
    assert "trained on this very split" in found.notes[0]


def test_what_is_saved(sounds: Path, tmp_path: Path) -> None:
    found = evaluate(BUNDLE, sounds, levels_db=[-20, 10], n_jobs=1)
    written = save(found, tmp_path / "new" / "folder")
    assert {path.name for path in written} == {"evaluation.json", "output.csv", "confusion.png", "scenes.png",
                                               "levels.png"}
    for path in written:
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG")
            assert min(struct.unpack(">II", path.read_bytes()[16:24])) > 100
    assert json.loads(written[0].read_text()) == json.loads(json.dumps(found.to_json()))
    with written[1].open(newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    assert rows[0] == ["filename", "scene_label", "indoor", "outdoor", "transportation"]
    assert [row[0] for row in rows[1:]] == [clip.filename for clip in found.clips]
    for row, probabilities in zip(rows[1:], found.probabilities, strict=True):
        assert row[1] == LABELS[int(np.argmax(probabilities))]
        assert [float(value) for value in row[2:]] == pytest.approx(list(probabilities), abs=1e-6)


def test_clips_without_labels_get_answers_only(tmp_path: Path) -> None:
    root = tiny_sounds.write_sounds(tmp_path / "data", n_train=1, n_validation=1, n_segments=1)
    names = []
    for number, path in enumerate(sorted((root / "audio").glob("*"))):
        path.rename(path.with_name(f"{number}.wav"))
        names.append([f"audio/{number}.wav"])
    for table in (root / "evaluation_setup").glob("*"):
        table.unlink()
    write_table(root / "evaluation_setup/fold1_test.csv", ["filename"], names)
    found = evaluate(BUNDLE, root, split="test", levels_db=[-20], n_jobs=1)
    assert (found.scores, found.interval, found.levels, found.floors) == (None, None, (), ())
    assert {path.name for path in save(found, tmp_path / "out")} == {"evaluation.json", "output.csv"}
    done = edge_asc("evaluate", BUNDLE, root, "--split", "test")
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing to judge" in done.stdout


def test_the_program_prints_tables_or_json_and_no_tensorflow(sounds: Path, tmp_path: Path) -> None:
    done = edge_asc("evaluate", BUNDLE, sounds, "--level-db", -20, "-o", tmp_path / "out", "--no-floors",
                    "--variant", "int8-dense", "--jobs", 1, env=environment(PYTHONPROFILEIMPORTTIME="1"))
    assert done.returncode == 0, done.stderr
    assert "int8-dense" in done.stdout
    assert "18 windows of 6 recordings" in done.stdout
    for text in ("ensemble", "95% interval", "truth \\ answer", "airport", "-20 dB"):
        assert text in done.stdout
    names = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "edge_asc.train.evaluate" in names
    assert not {name.split(".")[0] for name in names} & {"tensorflow", "tf_keras", "librosa", "sklearn"}
    done = edge_asc("evaluate", BUNDLE, sounds, "--json")
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["ensemble"]["macro_accuracy"] == 1
    assert found["floors"][0]["name"] == "chance"


def test_what_cannot_be_judged_is_an_error(sounds: Path, sounds_run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a bundle nor a training run"):
        evaluate(tmp_path, sounds)
    with pytest.raises(DatasetError, match="no clips in its test split"):
        evaluate(BUNDLE, sounds, split="test")
    with pytest.raises(InputError, match="no variant"):
        evaluate(BUNDLE, sounds, variant="float64")
    with pytest.raises(InputError, match="has no variants"):
        evaluate(sounds_run, sounds, variant="int8-dense")
    with pytest.raises(DatasetError, match="no such data set"):
        evaluate(BUNDLE, tmp_path / "none")


def test_only_finished_members_vote_and_that_is_said(sounds: Path, sounds_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "members" / "v1").mkdir(parents=True)
    (run / "run.json").write_bytes((sounds_run / "run.json").read_bytes())
    with pytest.raises(TrainingError, match="no member of"):
        evaluate(run, sounds)
    for path in Run.load(sounds_run).folder("v1").glob("*.*"):
        (run / "members" / "v1" / path.name).write_bytes(path.read_bytes())
    found = evaluate(run, sounds, with_floors=False, n_jobs=1)
    assert list(found.members) == ["v1"]
    assert found.notes == ("not finished, and not voting: i1",)
