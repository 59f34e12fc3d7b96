"""Each way in which a data set can be wrong is found, and the published numbers are known."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_asc.data.dataset_check import DatasetCheck, check_dataset
from edge_asc.data.tau_layout import LABEL_OF_SCENE, META, PUBLISHED, SETUP, clip_filename, write_table
from edge_asc.errors import DatasetError
from tests.data.tiny_tau import Rows, write_clip, write_tables, write_tiny

Tiny = Callable[[], tuple[Path, Rows, Rows]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rows, Rows]:
    root = tmp_path_factory.mktemp("tiny")
    return root, *write_tiny(root)


@pytest.fixture
def tiny(made: tuple[Path, Rows, Rows], tmp_path: Path) -> tuple[Path, Rows, Rows]:
    shutil.copytree(made[0], tmp_path / "d")
    return tmp_path / "d", list(made[1]), list(made[2])


def _whats(check: DatasetCheck) -> dict[str, tuple[str, ...]]:
    return {problem.what: problem.where for problem in check.problems}


def test_a_sound_data_set_has_no_problems(made: tuple[Path, Rows, Rows]) -> None:
    check = check_dataset(made[0], deep=True)
    assert check.ok
    assert not check.published
    assert check.problems == ()
    assert check.n_files == 12
    assert check.splits["train"].labels == {"indoor": 2, "outdoor": 2, "transportation": 2}
    assert check.splits["train"].n_recordings == 6
    assert check.splits["meta"].n_clips == 12
    assert check.to_json()["ok"] is True


def test_files_are_opened(tiny: tuple[Path, Rows, Rows]) -> None:
    root, train, _ = tiny
    names = [name for name, _ in train]
    (root / names[0]).unlink()
    write_clip(root / names[1], sample_rate_hz=44_100)
    write_clip(root / names[2], clip_s=9.0)
    (root / names[3]).write_bytes((root / names[3]).read_bytes()[:100_000])
    (root / names[4]).write_bytes(b"")
    soundfile.write(root / names[5], np.zeros(480_000), 48_000)
    found = _whats(check_dataset(root, deep=True))
    assert found["file is missing"] == (names[0],)
    assert found["wrong sample rate: 44100 Hz instead of 48000"] == (names[1],)
    assert found["wrong length, wanted 10 s"] == (f"{names[2]}: 9.000 s",)
    assert [text.split(":")[0] for text in found["file is not usable sound"]] == names[3:5]
    assert found["digital silence: every sample is zero"] == (names[5],)


def test_nan_is_found_by_decoding(tiny: tuple[Path, Rows, Rows]) -> None:
    root, train, _ = tiny
    samples = np.ones(480_000, np.float32)
    samples[1000] = np.nan
    soundfile.write(root / train[0][0], samples, 48_000, subtype="FLOAT")
    assert check_dataset(root).ok
    assert "NaN" in check_dataset(root, deep=True).problems[0].where[0]


def test_tables_are_held_against_each_other(tiny: tuple[Path, Rows, Rows]) -> None:
    root, train, validation = tiny
    stranger = clip_filename("park", "oslo", 99, 0)
    write_clip(root / stranger)
    write_table(root / SETUP["train"], ["filename", "scene_label"],
                [*train[1:], train[1], (train[0][0], "outdoor"), validation[0], (stranger, "outdoor")])
    write_table(root / SETUP["test"], ["filename"], [[name] for name, _ in validation[1:]])
    found = _whats(check_dataset(root))
    assert found["evaluation_setup/fold1_train.csv: listed more than once"] == (train[1][0],)
    assert found["evaluation_setup/fold1_train.csv: another label than in meta.csv"] == (train[0][0],)
    assert found["evaluation_setup/fold1_train.csv: not in meta.csv"] == (stranger,)
    assert found["the same clip is in the training and in the validation split"] == (validation[0][0],)
    assert found["the same location is in the training and in the validation split"] == ("oslo-1",)
    assert found["evaluation_setup/fold1_test.csv and evaluation_setup/fold1_evaluate.csv list different clips"] == (
        validation[0][0],)


def test_labels_and_names(tiny: tuple[Path, Rows, Rows]) -> None:
    root, train, validation = tiny
    write_clip(root / "audio/odd.wav")
    train = [row for row in train if row[1] != "indoor"]
    write_tables(root, [*train, ("audio/odd.wav", "outdoor"), (validation[0][0], "Indoor")], validation[1:])
    found = _whats(check_dataset(root))
    assert found["evaluation_setup/fold1_train.csv: 'Indoor' is not a label; did you mean 'indoor'?"] == (
        validation[0][0],)
    assert found["evaluation_setup/fold1_train.csv: file name is not <scene>-<city>-<location>-<segment>-<device>.wav"
                 ] == ("audio/odd.wav",)
    assert found["labels without any training clip"] == ("indoor",)


def test_missing_tables_are_problems_and_a_missing_folder_is_an_error(tiny: tuple[Path, Rows, Rows]) -> None:
    root = tiny[0]
    (root / META).unlink()
    assert any("no meta.csv" in problem.what for problem in check_dataset(root).problems)
    with pytest.raises(DatasetError, match="no such data set"):
        check_dataset(root / "none")


def _published_tables(root: Path) -> None:
    """Tables with exactly the published numbers of rows; no sound."""
    scenes = {label: [s for s, of in LABEL_OF_SCENE.items() if of == label] for label in PUBLISHED["meta"]}
    rows: dict[str, Rows] = {"train": [], "validation": [], "unused": []}
    place = 0
    for label, n_all in PUBLISHED["meta"].items():
        numbers = {split: PUBLISHED[split][label] for split in ("train", "validation")}
        numbers["unused"] = n_all - sum(numbers.values())
        for split, n in numbers.items():
            for i in range(n):
                rows[split].append((clip_filename(scenes[label][i % len(scenes[label])], "lyon", place, i), label))
            place += 1
    write_tables(root, rows["train"], rows["validation"], unused=rows["unused"])


def test_the_published_numbers(tmp_path: Path) -> None:
    _published_tables(tmp_path)
    check = check_dataset(tmp_path)
    assert check.published
    assert [problem.what for problem in check.problems] == ["file is missing"]
    assert [check.splits[name].n_clips for name in ("meta", "train", "validation", "test")] == [14400, 9185, 4185, 4185]


def test_other_numbers_than_published(tmp_path: Path) -> None:
    _published_tables(tmp_path)
    table = tmp_path / SETUP["train"]
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:-3], lines[-3].replace("transportation", "outdoor")]) + "\n")
    found = _whats(check_dataset(tmp_path))
    assert "evaluation_setup/fold1_train.csv: 9183 rows, published are 9185" in found
    assert found["evaluation_setup/fold1_train.csv: other numbers of clips than published"] == (
        "outdoor: 3758, published 3757", "transportation: 2721, published 2724")
    assert any("wrong label: the scene" in what and "not outdoor" in what for what in found)


@pytest.mark.parametrize(("published", "says_so"), [(None, False), (None, True), (True, False), (False, True)])
def test_what_claims_to_be_published_is_taken_at_its_word(tiny: tuple[Path, Rows, Rows], published: bool | None,
                                                          says_so: bool) -> None:
    root = tiny[0]
    if says_so:
        (root / "README.md").write_text("Title:  TAU Urban Acoustic Scenes 2020 3Class, Development dataset\n")
    check = check_dataset(root, published=published)
    assert check.published is (says_so if published is None else published)
    assert check.ok is not check.published


def test_evaluation_set(tmp_path: Path) -> None:
    write_clip(tmp_path / "audio/0.wav")
    write_table(tmp_path / SETUP["test"], ["filename"], [["audio/0.wav"]])
    assert check_dataset(tmp_path).ok
    found = _whats(check_dataset(tmp_path, published=True))
    assert list(found) == ["evaluation_setup/fold1_test.csv: 1 rows, published are 8640"]
