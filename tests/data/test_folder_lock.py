"""One writer per folder, and leftovers swept without touching anything else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge_asc import atomic, audio
from edge_asc.data.folder_lock import sole_writer, sweep
from edge_asc.errors import InputError
from tests.conftest import noise
from tests.data.tiny_tau import write_tiny
from tests.program import environment


def test_the_folder_is_made_and_a_second_writer_refused(tmp_path: Path) -> None:
    with (sole_writer(tmp_path / "a/b", wait=False), pytest.raises(InputError, match=r"another process is writing"),
          sole_writer(tmp_path / "a/b", wait=False)):
        pass
    with sole_writer(tmp_path / "a/b", wait=False):
        pass


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    script = ("import os, sys; from pathlib import Path; from edge_asc.data.folder_lock import sole_writer\n"
              "with sole_writer(Path(sys.argv[1]), wait=False): os.kill(os.getpid(), 9)")
    assert subprocess.run([sys.executable, "-c", script, tmp_path], check=False).returncode == -9
    with sole_writer(tmp_path, wait=False):
        pass


def test_leftovers_of_both_writers_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (".lock", ".hidden", "clip.wav", "x.abcdefgh", ".notes.txt"):
        (tmp_path / name).touch()
    keep = set(tmp_path.iterdir())
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
    monkeypatch.setattr(Path, "replace", lambda self, target: 1 / 0)
    for write in (lambda: atomic.write_bytes(tmp_path / "a.npy", b"x"),
                  lambda: audio.write_wav(tmp_path / "a.wav", noise(100), sample_rate_hz=48_000)):
        with pytest.raises(ZeroDivisionError):
            write()
    assert len(set(tmp_path.iterdir()) - keep) == 2
    monkeypatch.undo()
    sweep(tmp_path)
    assert set(tmp_path.iterdir()) == keep


def test_a_script_without_a_main_guard_ends_instead_of_waiting_for_itself(tmp_path: Path) -> None:
    write_tiny(tmp_path / "data", n_train=70, scenes=["park"], cities=["oslo"], clip_s=0.3)
    script = tmp_path / "script.py"
    script.write_text("import sys\nfrom edge_asc.data.dataset import TauDataset\n"
                      "from edge_asc.data.feature_cache import cached_features\nfrom edge_asc.spec import FeatureSpec\n"
                      "data = TauDataset.load(sys.argv[1])\n"
                      "cached_features(data.train, FeatureSpec(n_frames=8), data.cache_dir, n_jobs=2)\n")
    done = subprocess.run([sys.executable, script, tmp_path / "data"], capture_output=True, text=True, check=False,
                          env=environment(), timeout=120)
    assert done.returncode == 1
    assert 'below `if __name__ == "__main__":`' in done.stderr
