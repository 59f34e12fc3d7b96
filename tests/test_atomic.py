"""Atomic files: all or nothing."""

from pathlib import Path

import pytest

from edge_asc.atomic import replacing, write_text


def test_the_new_file_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    write_text(path, "nëw")
    assert path.read_text(encoding="utf-8") == "nëw"
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(type(failure)), replacing(path) as file:  # noqa: PT012  # the failure must come in mid-write
        file.write(b"half of the n")
        raise failure
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]
