"""`edge-asc lab` as a program: killed and gone on with, one process or several, the same figures; one-line errors."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.lab import tiny_sweep
from tests.program import assert_one_error, command_line, edge_asc

pytestmark = pytest.mark.train


def test_a_sweep_that_is_killed_goes_on_and_ends_with_the_same_table(sounds: Path, swept: Path, tmp_path: Path) -> None:
    arguments = [*tiny_sweep.arguments(sounds, tmp_path), "--workers", 2]
    program = subprocess.Popen(command_line(*arguments), stderr=subprocess.PIPE, text=True, env=tiny_sweep.TERMINAL)
    deadline_s = time.monotonic() + 200
    while not ((tmp_path / "store.jsonl").exists() and tiny_sweep.unfinished(tmp_path, at_least=2)):
        assert program.poll() is None, program.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    program.send_signal(signal.SIGKILL)
    program.communicate()
    n_finished = len((tmp_path / "store.jsonl").read_text().splitlines())
    done = edge_asc(*arguments, env=tiny_sweep.TERMINAL, timeout_s=280)
    assert done.returncode == 0, done.stderr
    assert f"6 members, {6 - n_finished} of them not yet in the store" in done.stderr
    assert tiny_sweep.table(tmp_path) == tiny_sweep.table(swept)


def test_the_table_is_there_in_three_forms_and_on_the_terminal_and_says_that_it_is_scaled(sounds: Path,
                                                                                          swept: Path) -> None:
    done = edge_asc(*tiny_sweep.arguments(sounds, swept), "--workers", 1, env=tiny_sweep.TERMINAL, timeout_s=280)
    assert done.returncode == 0, done.stderr
    assert "6 members, 0 of them not yet in the store: nothing to train" in done.stderr
    found = json.loads((swept / "table4.json").read_text())
    for text in (done.stdout, found["stamp"], *((swept / f"table4.{ending}").read_text() for ending in ("md", "html"))):
        assert (f"SCALED (1.0): another data set (36 + 18 clips), {tiny_sweep.N_EPOCHS} of 400 epochs, "
                "3 of 10 runs") in text
    rows = found["tables"][0]["rows"]
    assert [row["name"] for row in rows] == ["V(0,0,0,1)", "I(0,0,1)"]
    for row in rows:
        assert len(set(row["last"]["log_loss"]["runs"])) == 3, "three seeds, three networks"
        assert row["last"]["macro_accuracy"]["mean"] > 0.6, "easy sounds"
    assert found["made_with"]["versions"]["tensorflow"]
    listed = edge_asc("lab", "results", swept)
    results = [json.loads(line) for line in listed.stdout.splitlines()]
    assert len(results) == 6
    assert {result["result"]["figures"]["last"]["validation"]["log_loss"] for result in results} == {
        value for row in rows for value in row["last"]["log_loss"]["runs"]}


def test_stores_are_merged(swept: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert_one_error(edge_asc("lab", "merge", out, swept), "no results in", "--new")
    assert not out.exists(), "a name that was mistyped leaves nothing behind"
    assert edge_asc("lab", "merge", out, swept, "--new").stdout == f"{swept}: 6 results taken in\n"
    assert edge_asc("lab", "merge", out, swept).stdout == f"{swept}: 0 results taken in\n"
    assert_one_error(edge_asc("lab", "merge", out, swept, "--new"), "has results already", "Leave out --new")


def test_a_folder_without_results_is_refused_and_left_alone(swept: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name in "empty", "missing", "file":
        assert_one_error(edge_asc("lab", "results", tmp_path / name), "no results in", "store.sqlite")
        assert_one_error(edge_asc("lab", "merge", tmp_path / "new", swept, tmp_path / name, "--new"), "no results in")
        assert_one_error(edge_asc("lab", "pick", tmp_path / name, "-o", tmp_path / "bundle", env=tiny_sweep.TERMINAL),
                         "holds no members to pick from", "edge-asc lab pareto")
    assert sorted(path.name for path in tmp_path.glob("**/*")) == ["empty", "file"]


def test_a_store_damaged_beyond_mending_is_refused_with_the_row(swept: Path, tmp_path: Path) -> None:
    for name in "store.sqlite", "store.jsonl":
        shutil.copy(swept / name, tmp_path / name)
    with sqlite3.connect(tmp_path / "store.sqlite") as connection:
        key = connection.execute("SELECT key FROM results ORDER BY key").fetchone()[0]
        connection.execute("UPDATE results SET result = '{}' WHERE key = ?", [key])
    connection.close()
    mended = edge_asc("lab", "results", tmp_path)
    assert "the store was mended: store.sqlite was damaged" in mended.stderr
    assert mended.stdout == edge_asc("lab", "results", swept).stdout
    with sqlite3.connect(tmp_path / "store.sqlite") as connection:
        connection.execute("UPDATE results SET result = '{}' WHERE key = ?", [key])
    connection.close()
    journal = (tmp_path / "store.jsonl").read_text().splitlines()
    (tmp_path / "store.jsonl").write_text("".join(f"{line[:-9] if key in line else line}\n" for line in journal))
    assert_one_error(edge_asc("lab", "results", tmp_path), f"row {key} of", "DELETE FROM results")


@pytest.mark.parametrize(("arguments", "words"), [
    (["table1", "--grid", "n_mels=512"], ["impossible row (512 bands, FFT 1024)", "too many for n_fft = 1024"]),
    (["table3", "--set", "features.fmax_hz=100"], ["impossible row (Model 1, unpruned)", "no FFT bin in 40 band(s)"]),
    (["table4", "--set", "features.n_frames=10"], ["impossible row (V(0,0,1,1))", "nothing is left"]),
    (["pareto", "--set", "features.n_mels=512"], ["n_mels = 512 is too many"]),
    (["pareto", "--set", "features.n_frames=10", "--search", 3], ["V(0,0,1,1)x0.5 halves its input four times"])])
def test_what_could_never_train_is_refused_before_anything_does(sounds: Path, tmp_path: Path, arguments: list[object],
                                                               words: list[str]) -> None:
    done = edge_asc("lab", arguments[0], sounds, "-o", tmp_path, *arguments[1:], env=tiny_sweep.TERMINAL)
    assert_one_error(done, *words)
    assert not (tmp_path / "tasks").exists()


def test_bad_input_is_one_line_and_nothing_is_trained(sounds: Path, tmp_path: Path) -> None:
    arguments = ["lab", "table1", sounds, "-o", tmp_path / "out"]
    assert_one_error(edge_asc(*arguments, "--grid", "n_mels=8", env=tiny_sweep.TERMINAL),
                     "table1 has an impossible row (8 bands, FFT 1024)", "halves its input four times")
    assert_one_error(edge_asc(*arguments, "--scale", 2, env=tiny_sweep.TERMINAL), "impossible scale", "smoke")
    dry = edge_asc(*arguments, "--dry-run", env=tiny_sweep.TERMINAL)
    assert "90 members, 90 of them not yet in the store: 648,000 windows to train V on" in dry.stderr
    assert not (tmp_path / "out").exists()
    assert edge_asc("lab", "table1", sounds).returncode == 2
