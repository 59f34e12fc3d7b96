"""`edge-asc train` as a program: what it prints, how it is interrupted and goes on, one clear error for bad input."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.program import assert_one_error, command_line, edge_asc, environment
from tests.train import tiny_sounds

pytestmark = pytest.mark.train
# As on a user's terminal: tests make every warning an error, and tfmot warns when it is imported.
TERMINAL = {name: value for name, value in environment().items() if name != "PYTHONWARNINGS"}


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny recipe as TOML."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    values = tiny_sounds.recipe().to_json()
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if not isinstance(value, dict)]
    for section, items in values.items():
        if isinstance(items, dict):
            lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in items.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_ctrl_c_leaves_a_run_that_the_same_command_goes_on_with(sounds: Path, recipe_file: Path,
                                                               tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # to read the store here
    out = tmp_path / "run"
    # More epochs than it can finish between the second one and the signal.
    arguments = ("train", sounds, "--recipe", recipe_file, "-o", out, "--members", "v1", "--jobs", 1,
                 "--set", "training.epochs=20", "--mlflow", f"file:{tmp_path / 'store'}")
    # In the way that is quickest here, whatever it is: the trial must say nothing.
    program = subprocess.Popen(command_line(*arguments), stderr=subprocess.PIPE, text=True,
                               env={**TERMINAL, "EDGE_ASC_STEPS": "bfloat16"})
    table = out / "members/v1/history.csv"
    deadline_s = time.monotonic() + 200
    while not (table.is_file() and len(table.read_text().splitlines()) >= 3):
        assert program.poll() is None, program.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=60)
    assert program.returncode == 1
    lines = [line for line in said.splitlines() if line and not line.startswith("v1 epoch ")]
    assert lines == ["edge-asc: interrupted; what was finished before is kept"]
    assert not (out / "members/v1/state.json").exists()
    done = edge_asc(*arguments, env=TERMINAL)
    assert done.returncode == 0, done.stderr
    assert "v1: resumed after" in done.stderr
    assert done.stderr.splitlines()[0].startswith("v1"), "nothing of TensorFlow's before"
    assert "last (" in done.stdout
    assert "chosen on the very windows" in done.stdout
    assert f"Next: edge-asc convert {out}" in done.stdout
    client = MlflowClient(tracking_uri=f"file:{tmp_path / 'store'}")
    runs = client.search_runs([client.get_experiment_by_name("edge-asc").experiment_id])
    assert {run.info.run_name: run.info.status for run in runs} == {"run": "FINISHED", "v1": "FINISHED"}


def test_bad_input_is_one_line(sounds: Path, recipe_file: Path, tmp_path: Path) -> None:
    arguments = ["train", sounds, "-o", tmp_path / "out", "--recipe"]
    assert_one_error(edge_asc(*arguments, "none"), "no such recipe", "demo")
    assert_one_error(edge_asc(*arguments, recipe_file, "--set", "training.epoch=3"), "unknown key", "training.epoch")
    assert_one_error(edge_asc(*arguments, recipe_file, "--set", "training.epochs=3"), "--scale 0.1")
    assert_one_error(edge_asc(*arguments, recipe_file, "--scale", 0), "scale")
    assert not (tmp_path / "out").exists()
    assert_one_error(edge_asc("train", tmp_path / "none", "-o", tmp_path / "out", "--recipe", recipe_file,
                              env=TERMINAL), "no such data set")
    assert edge_asc("train", sounds, "--recipe", recipe_file).returncode == 2
    assert edge_asc(*arguments, recipe_file, "--folds", 2, "--mlflow", "file:x", env=TERMINAL).returncode == 2
