"""The store only ever grows, survives kills and damage, or says which row is gone."""

from __future__ import annotations

import dataclasses
import multiprocessing
import sqlite3
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asc.errors import StoreError
from edge_asc.lab.store import Store
from tests.lab import fakes

SEEDS = st.lists(st.integers(0, 6), max_size=6)


def filled(path: Path, seeds: list[int], *, skill: float = 1.0) -> Store:
    store = Store(path)
    for seed in seeds:
        store.add(fakes.task(seed), fakes.outcome(fakes.task(seed), skill=skill))
    return store


def same(one: fakes.Outcome | None, other: fakes.Outcome) -> bool:
    return (one is not None and one.result == other.result and one.provenance == other.provenance
            and one.arrays.keys() == other.arrays.keys()
            and all(np.array_equal(one.arrays[name], other.arrays[name]) for name in one.arrays))


@settings(max_examples=25)
@given(SEEDS, SEEDS)
def test_what_was_added_or_merged_first_stays(mine: list[int], others: list[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        one, other = filled(Path(name) / "one.sqlite", mine), filled(Path(name) / "other.sqlite", others, skill=2.0)
        n_added, n_different = one.merge(other)
        assert n_added == len(set(others) - set(mine))
        assert n_different == len(set(others) & set(mine))
        assert len(one) == len(set(mine) | set(others))
        one.close()
        again = Store(Path(name) / "one.sqlite")
        assert again.repaired == []
        found = dict(again)
        assert set(found) == {fakes.task(seed) for seed in mine + others}
        for task, outcome in found.items():
            assert same(outcome, fakes.outcome(task, skill=1.0 if task.seed in mine else 2.0))
            assert same(again.get(task), outcome)
        again.close()
        other.close()


def test_other_seconds_are_no_other_answers(tmp_path: Path) -> None:
    one, other = filled(tmp_path / "one.sqlite", [1, 2]), Store(tmp_path / "other.sqlite")
    for seed, skill in ((1, 1.0), (2, 2.0)):
        found = fakes.outcome(fakes.task(seed), skill=skill)
        other.add(fakes.task(seed), dataclasses.replace(found, result=found.result | {"seconds": 99.0}))
    assert one.merge(other) == (0, 1)


def test_a_store_of_an_older_version_leaves_its_write_ahead_log(tmp_path: Path) -> None:
    store = filled(tmp_path / "store.sqlite", [1])
    store.close()
    with sqlite3.connect(store.path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    assert len(Store(store.path)) == 1
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()


@settings(max_examples=40)
@given(st.data())
def test_any_damage_to_the_database_is_mended_from_the_journal(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "store.sqlite"
        filled(path, [1, 2, 3]).close()
        damaged = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 30))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(damaged[:data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))])
        store = Store(path)
        assert {task.seed for task, outcome in store if same(outcome, fakes.outcome(task))} == {1, 2, 3}
        store.close()
        again = Store(path)
        assert again.repaired == []
        again.close()


def test_a_lost_or_lagging_database_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    filled(path, [1]).close()
    old = path.read_bytes()
    filled(path, [2]).close()
    path.write_bytes(old)  # as after a kill between journal and database
    assert len(Store(path)) == 2
    for file in tmp_path.glob("store.sqlite*"):
        file.unlink()
    assert len(Store(path)) == 2


def add_alone(path: Path, first: int) -> None:
    """Opens the store anew for every result, which mends what looks torn."""
    for seed in range(first, first + 15):
        store = Store(path)
        store.add(fakes.task(seed), fakes.outcome(fakes.task(seed)))
        store.close()


def test_several_programs_may_add_at_once(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    context = multiprocessing.get_context("spawn")
    programs = [context.Process(target=add_alone, args=(path, first)) for first in (0, 5, 20)]
    for program in programs:
        program.start()
    for program in programs:
        program.join()
        assert program.exitcode == 0
    store = Store(path)
    assert store.repaired == []
    assert {task.seed for task, _ in store} == set(range(35))
    assert len(store.journal.read_text().splitlines()) == 35


def test_a_torn_last_line_is_cut_off_and_the_result_made_again(tmp_path: Path) -> None:
    store = filled(tmp_path / "store.sqlite", [1])
    size = store.journal.stat().st_size
    with store.journal.open("a") as file:
        file.write('{"key": "half')
    store.close()
    again = Store(tmp_path / "store.sqlite")
    assert again.repaired == ["cut off the unfinished last line of store.jsonl"]
    assert again.journal.stat().st_size == size
    assert len(again) == 1


def test_a_damaged_journal_is_written_anew_from_the_database(tmp_path: Path) -> None:
    store = filled(tmp_path / "store.sqlite", [1, 2])
    store.close()
    lines = store.journal.read_bytes().splitlines(keepends=True)
    store.journal.write_bytes(lines[0].replace(b"0", b"1") + lines[1])
    assert Store(store.path).repaired == ["wrote store.jsonl anew from the database"]
    store.journal.unlink()
    Store(store.path).close()
    assert sorted(store.journal.read_bytes().splitlines(keepends=True)) == sorted(lines)


def test_a_row_that_is_bad_in_both_is_refused_by_name(tmp_path: Path) -> None:
    store = filled(tmp_path / "store.sqlite", [1, 2])
    store.close()
    key = fakes.task(2).key
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE results SET result = '{}' WHERE key = ?", [key])
    connection.close()
    lines = store.journal.read_bytes().splitlines(keepends=True)
    store.journal.write_bytes(b"".join(line for line in lines if key.encode() not in line))
    with pytest.raises(StoreError, match=f"row {key} of .*store.sqlite is damaged.*DELETE FROM results"):
        Store(store.path)
    with sqlite3.connect(store.path) as connection:
        connection.execute("DELETE FROM results WHERE key = ?", [key])
    connection.close()
    assert len(Store(store.path)) == 1


def test_without_database_a_damaged_line_is_refused_by_number(tmp_path: Path) -> None:
    store = filled(tmp_path / "store.sqlite", [1, 2])
    store.close()
    lines = store.journal.read_bytes().splitlines(keepends=True)
    store.journal.write_bytes(lines[0] + lines[1].replace(b"0", b"1"))
    for file in tmp_path.glob("store.sqlite*"):
        file.unlink()
    with pytest.raises(StoreError, match=r"line 2 of .*store.jsonl is damaged"):
        Store(store.path)


def test_another_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("not a database, " * 100)
    with pytest.raises(StoreError, match="no store of results"):
        Store(path)
    assert path.read_text().startswith("not a database")
    assert not path.with_suffix(".damaged").exists()
