"""The user's list: what is read from it, and that everything wrong with it is said in one go."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_asc.data.recordings_csv import read_recordings
from edge_asc.errors import DatasetError
from tests.data.tiny_tau import write_clip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.wav", "b.wav", "sub/c.wav"):
        write_clip(tmp_path / name, clip_s=1.5)
    return tmp_path


def _list(folder: Path, text: str, *, encoding: str = "utf-8") -> Path:
    (folder / "list.csv").write_text(text, encoding=encoding)
    return folder / "list.csv"


def test_two_columns_are_enough(folder: Path) -> None:
    first, second = read_recordings(_list(folder, "file,label\na.wav,indoor\nsub/c.wav,outdoor\n"))
    assert (first.row, first.label, first.scene, first.source_id, first.city, first.use) == (
        2, "indoor", "indoor", "a", "a", None)
    assert second.source_id == "sub/c"
    assert second.path == folder / "sub/c.wav"
    assert second.usable_s == pytest.approx(1.5)
    assert second.credits == {}


def test_all_columns(folder: Path) -> None:
    text = ("label,file,scene,source_id,city,usable_seconds,use,author,licence,mood\n"
            "Indoor ,a.wav,Night bus,s1,Graz,0.9,Test,Ann,CC0,sad\n")
    [recording] = read_recordings(_list(folder, text))
    assert (recording.label, recording.scene, recording.source_id, recording.city, recording.use) == (
        "indoor", "Night bus", "s1", "Graz", "test")
    assert recording.usable_s == 0.9
    assert recording.credits == {"author": "Ann", "licence": "CC0"}


def test_usable_seconds_beyond_the_end_are_the_end(folder: Path) -> None:
    [recording] = read_recordings(_list(folder, "file,label,usable_seconds\na.wav,indoor,99\n"))
    assert recording.usable_s == pytest.approx(1.5)


@pytest.mark.parametrize("text", ["file;label;usable_seconds\na.wav;indoor;0,75\n", "file\tlabel\na.wav\tindoor\n",
                                  "\ufefffile,label\r\na.wav,indoor\r\n\r\n"])
def test_what_spreadsheets_write(folder: Path, text: str) -> None:
    [recording] = read_recordings(_list(folder, text))
    assert recording.label == "indoor"
    assert recording.usable_s == (0.75 if ";" in text else pytest.approx(1.5))


def test_only_rows_of_one_use(folder: Path) -> None:
    path = _list(folder, "file,label,use\na.wav,indoor,train\ngone.wav,indoor,test\nb.wav,outdoor,train\n")
    assert [recording.file for recording in read_recordings(path, use="train")] == ["a.wav", "b.wav"]
    with pytest.raises(DatasetError, match="no recordings with use=test"):
        read_recordings(_list(folder, "file,label,use\na.wav,indoor,train\n"), use="test")
    with pytest.raises(DatasetError, match="no column `use`"):
        read_recordings(_list(folder, "file,label\na.wav,indoor\n"), use="train")


def test_every_problem_is_named_with_its_line(folder: Path) -> None:
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("this is no sound at all, only text")
    (folder / "short.wav").write_bytes((folder / "a.wav").read_bytes()[:5000])
    path = _list(folder, "file,label,source_id,usable_seconds,use\n"
                         "gone.wav,indoor,1,,\n"
                         "a.wav,outdor,2,,\n"
                         "empty.wav,indoor,3,,\n"
                         "text.wav,indoor,4,,\n"
                         "short.wav,indoor,5,,\n"
                         "b.wav,indoor,6,much,\n"
                         "b.wav,,6,-1,validate\n"
                         ",indoor,7,,\n"
                         "sub/c.wav,indoor,8,,train\n"
                         "sub/../sub/c.wav,indoor,8,,test\n")
    with pytest.raises(DatasetError) as caught:
        read_recordings(path)
    text = str(caught.value)
    for part in ("line 2, gone.wav: no such file", "line 3, a.wav: 'outdor' is not a label; did you mean 'outdoor'?",
                 "line 4, empty.wav: ", "line 5, text.wav: ", "line 6, short.wav: ", "cut short",
                 "line 7, b.wav: usable_seconds is 'much'", "line 8, b.wav: '' is not a label",
                 "line 8, b.wav: usable_seconds is '-1'", "line 8, b.wav: use is 'validate'",
                 "line 9, no file: the column `file` is empty", "lines 10, 11: the same file, c.wav",
                 "lines 10, 11: source_id '8' is for training and for test", "Nothing was written"):
        assert part in text
    assert text.startswith("12 problems")


@pytest.mark.parametrize(("text", "message"), [
    ("", "no column `file`; found an empty file"),
    ("path,label\na.wav,indoor\n", "no column `file`; found path, label"),
    ("file,class\na.wav,indoor\n", "no column `label`"), ("file,label\n", "lists no recordings")])
def test_lists_that_are_none(folder: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_recordings(_list(folder, text))


def test_no_list(folder: Path) -> None:
    with pytest.raises(DatasetError, match="no such list"):
        read_recordings(folder / "none.csv")
    with pytest.raises(DatasetError, match="not UTF-8"):
        read_recordings(_list(folder, "file,label\nä.wav,indoor\n", encoding="latin-1"))
