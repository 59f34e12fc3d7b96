"""Loading a data set in the published layout, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge_asc.data.dataset import IMPORT_STATE, TauDataset
from edge_asc.data.tau_layout import META, SETUP, write_table
from edge_asc.errors import DatasetError
from tests.data.tiny_tau import write_clip, write_tables, write_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny")
    write_tiny(root)
    return root


def test_clips_carry_what_their_names_say(tiny: Path) -> None:
    dataset = TauDataset.load(tiny)
    clip = dataset.train[0]
    assert (clip.label, clip.scene, clip.city, clip.location, clip.segment) == ("indoor", "airport", "oslo", "0", "0")
    assert clip.recording == "oslo-0"
    assert clip.path == tiny / clip.filename
    assert len(dataset.train) == len(dataset.validation) == 6
    assert dataset.test == []
    assert not {c.recording for c in dataset.train} & {c.recording for c in dataset.validation}


def test_evaluation_set_has_only_unlabelled_clips(tmp_path: Path) -> None:
    write_clip(tmp_path / "audio/17.wav", clip_s=1.0)
    write_table(tmp_path / SETUP["test"], ["filename"], [["audio/17.wav"]])
    dataset = TauDataset.load(tmp_path)
    assert dataset.train == dataset.validation == []
    assert [(clip.filename, clip.label, clip.scene) for clip in dataset.test] == [("audio/17.wav", None, "")]


def test_a_test_table_with_further_clips_gives_them_without_labels(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "d")
    write_clip(tmp_path / "d/audio/99.wav", clip_s=1.0)
    with (tmp_path / "d" / SETUP["test"]).open("a") as file:
        file.write("audio/99.wav\n")
    assert [clip.filename for clip in TauDataset.load(tmp_path / "d").test] == ["audio/99.wav"]


def test_missing_folder_tables_and_columns(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such data set"):
        TauDataset.load(tmp_path / "none")
    with pytest.raises(DatasetError, match=r"no fold1_train\.csv.*dataset import"):
        TauDataset.load(tmp_path)
    write_table(tmp_path / SETUP["train"], ["file", "label"], [])
    with pytest.raises(DatasetError, match="lacks the column filename"):
        TauDataset.load(tmp_path)
    (tmp_path / SETUP["train"]).write_text("filename\tscene_label\naudio/x.wav\n")
    with pytest.raises(DatasetError, match="row 2 is not complete"):
        TauDataset.load(tmp_path)
    (tmp_path / SETUP["train"]).write_bytes(b"\xff\xfe\x00filename")
    with pytest.raises(DatasetError, match="not a text file"):
        TauDataset.load(tmp_path)


def test_unfinished_import_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / IMPORT_STATE).write_text("{}")
    with pytest.raises(DatasetError, match=r"did not finish.*same"):
        TauDataset.load(tmp_path)


def test_wrong_rows_are_listed_together(tiny: Path, tmp_path: Path) -> None:
    write_tables(tmp_path, [("audio/park-oslo-1-0-a.wav", "outdor"), ("audio/nonsense.wav", "outdoor")], [])
    with pytest.raises(DatasetError) as caught:
        TauDataset.load(tmp_path)
    assert "2 rows" in str(caught.value)
    assert "did you mean 'outdoor'?" in str(caught.value)
    assert "audio/nonsense.wav: not named <scene>" in str(caught.value)


def test_missing_audio_is_listed_and_counted(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "d")
    gone = sorted((tmp_path / "d/audio").iterdir())[:2]
    for path in gone:
        path.unlink()
    with pytest.raises(DatasetError, match=r"2 of 12 audio files.*are missing") as caught:
        TauDataset.load(tmp_path / "d")
    assert all(path.name in str(caught.value) for path in gone)


def test_a_place_in_both_splits_is_refused(tmp_path: Path) -> None:
    names = ["audio/park-oslo-7-0-a.wav", "audio/park-oslo-7-1-a.wav"]
    for name in names:
        write_clip(tmp_path / name, clip_s=0.1)
    write_tables(tmp_path, [(names[0], "outdoor")], [(names[1], "outdoor")])
    with pytest.raises(DatasetError, match=r"in both splits.*\n  oslo-7"):
        TauDataset.load(tmp_path)


def test_meta_is_not_needed_to_load(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "d")
    (tmp_path / "d" / META).unlink()
    assert len(TauDataset.load(tmp_path / "d").train) == 6
