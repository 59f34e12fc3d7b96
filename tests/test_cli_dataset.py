"""`edge-asc dataset` as a program: what it prints where, its exit status, one line for bad input, and no TensorFlow."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.data.tiny_tau import write_tiny
from tests.program import environment

Done = subprocess.CompletedProcess[str]


def _run(*arguments: str | Path, cwd: Path | None = None) -> Done:
    return subprocess.run([sys.executable, "-m", "edge_asc", "dataset", *map(str, arguments)], capture_output=True,
                          text=True, check=False, cwd=cwd, env=environment())


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    lines = ["file,label,author"]
    for label in ("indoor", "outdoor", "transportation"):
        for i in range(2):
            samples = np.random.default_rng(i).standard_normal(25 * 16_000) * 0.05
            soundfile.write(tmp_path / f"{label}{i}.wav", samples, 16_000)
            lines.append(f"{label}{i}.wav,{label},me")
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "list.csv"


def test_import_cache_check(recordings: Path, tmp_path: Path) -> None:
    done = _run("import", recordings, "-o", tmp_path / "d", "--test-fraction", "0.5")
    assert done.returncode == 0, done.stderr
    assert "12 clips cut" in done.stdout
    assert done.stderr == ""
    done = _run("cache", tmp_path / "d", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert "train: 6 windows of 48 x 467, 0.5 MB" in done.stdout
    assert len(list((tmp_path / "d/features").iterdir())) == 2
    done = _run("check", tmp_path / "d", "--deep")
    assert done.returncode == 0, done.stdout
    assert "in order" in done.stdout
    assert "train: 6 clips of 3 recording places in 3 cities, 3 scenes" in done.stdout


def test_check_says_no(tmp_path: Path) -> None:
    write_tiny(tmp_path / "d", clip_s=0.5)
    done = _run("check", tmp_path / "d")
    assert done.returncode == 1
    assert "wrong: wrong length, wanted 10 s (12)" in done.stdout
    assert "... and 7 more; --json lists all" in done.stdout
    done = _run("check", tmp_path / "d", "--json", "--published")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["ok"] is False
    assert found["published"] is True
    assert found["splits"]["train"]["labels"] == {"indoor": 2, "outdoor": 2, "transportation": 2}
    assert len(found["problems"][-1]["where"]) == 12
    assert "evaluation_setup/fold1_train.csv: 6 rows, published are 9185" in [p["what"] for p in found["problems"]]


@pytest.mark.parametrize(("arguments", "message"), [
    (["check", "none"], "no such data set: none"), (["cache", "none"], "no such data set: none"),
    (["import", "none.csv", "-o", "out"], "no such list of recordings: none.csv")])
def test_bad_input_is_one_line_and_no_traceback(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = _run(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"edge-asc: {message}")
    assert done.stderr.count("\n") == 1


def test_notes_go_to_stderr_and_a_second_import_keeps_clips(recordings: Path, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "indoor0.wav", tmp_path / "x.wav")
    with recordings.open("a") as file:
        file.write("x.wav,indoor,me\n")
    arguments = ("import", recordings, "-o", tmp_path / "d", "--clip-s", "25")
    assert _run(*arguments).returncode == 0
    done = _run(*arguments)
    assert "0 clips cut, 7 kept from before" in done.stdout
    done = _run(*arguments[:-1], "25.5", "--short", "error")
    assert done.returncode == 1
    assert "7 recordings are shorter than a clip of 25.5 s" in done.stderr


def test_data_sets_need_no_tensorflow(recordings: Path, tmp_path: Path) -> None:
    script = ("import sys\nfrom edge_asc.cli import group\n"
              "group.main(['dataset', 'import', sys.argv[1], '-o', sys.argv[2]], standalone_mode=False)\n"
              "group.main(['dataset', 'cache', sys.argv[2], '--jobs', '1'], standalone_mode=False)\n"
              "group.main(['dataset', 'check', sys.argv[2]], standalone_mode=False)\n"
              "print(sorted({name.partition('.')[0] for name in sys.modules} &"
              " {'tensorflow', 'tf_keras', 'librosa', 'tensorflow_model_optimization', 'sklearn', 'matplotlib'}))")
    done = subprocess.run([sys.executable, "-c", script, recordings, tmp_path / "d"], capture_output=True, text=True,
                          check=True)
    assert done.stdout.splitlines()[-1] == "[]"
