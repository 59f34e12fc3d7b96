"""`edge-asc lab` as a program: killed and gone on with, one process or several, the same figures; one-line errors."""

from __future__ import annotations

import json
import signal
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
    assert edge_asc("lab", "merge", tmp_path, swept).stdout == f"{swept}: 6 results taken in\n"
    assert edge_asc("lab", "merge", tmp_path, swept).stdout == f"{swept}: 0 results taken in\n"


def test_a_folder_without_results_is_refused_and_left_alone(swept: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong").mkdir()
    (tmp_path / "new").mkdir()
    assert_one_error(edge_asc("lab", "results", tmp_path / "wrong"), "no results in", "store.sqlite")
    assert_one_error(edge_asc("lab", "merge", tmp_path / "new", swept, tmp_path / "wrong"), "no results in")
    assert [path.name for path in tmp_path.glob("**/*")] in (["wrong", "new"], ["new", "wrong"])


def test_bad_input_is_one_line_and_nothing_is_trained(sounds: Path, tmp_path: Path) -> None:
    arguments = ["lab", "table1", sounds, "-o", tmp_path / "out"]
    assert_one_error(edge_asc(*arguments, "--grid", "n_mels=8", env=tiny_sweep.TERMINAL),
                     "table1 has an impossible row (8 bands, FFT 1024)", "halves its input four times")
    assert_one_error(edge_asc(*arguments, "--scale", 2, env=tiny_sweep.TERMINAL), "impossible scale", "smoke")
    dry = edge_asc(*arguments, "--dry-run", env=tiny_sweep.TERMINAL)
    assert "90 members, 90 of them not yet in the store: 648,000 windows to train V on" in dry.stderr
    assert not (tmp_path / "out" / "tasks").exists()
    assert edge_asc("lab", "table1", sounds).returncode == 2
