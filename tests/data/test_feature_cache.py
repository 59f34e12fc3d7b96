"""The cache gives what the front end gives, once; what a kill, a crash or a full disk left behind is never believed."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from edge_asc.audio import read_audio
from edge_asc.data import feature_cache
from edge_asc.data.feature_cache import Segment, cached_features, cached_track_features, read_track
from edge_asc.data.tau_layout import Clip, make_clip
from edge_asc.errors import AudioError, DatasetError
from edge_asc.features import mel_db
from edge_asc.spec import FeatureSpec
from tests.data.tiny_tau import write_clip

_SPEC = FeatureSpec(n_fft=1024, hop_length=512, n_mels=16, n_frames=92)
"""Windows of just under 1 s."""


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    return _clips(tmp_path, 5)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, "SHARD_LENGTH", 2)


def _clips(root: Path, n: int) -> list[Clip]:
    clips = []
    for number in range(n):
        clip = make_clip(root, f"audio/park-oslo-{number}-0-a.wav", "outdoor")
        assert clip is not None
        write_clip(clip.path, seed=number, clip_s=1.0)
        clips.append(clip)
    return clips


def _expected(clips: list[Clip], spec: FeatureSpec = _SPEC) -> np.ndarray:
    return np.stack([mel_db(read_audio(clip.path), spec)[:, : spec.n_frames] for clip in clips])


def _entries(cache: Path) -> list[Path]:
    return sorted(cache.iterdir())


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_features_are_those_of_the_front_end(clips: list[Clip], tmp_path: Path, n_jobs: int) -> None:
    features = cached_features(clips, _SPEC, tmp_path / "cache", n_jobs=n_jobs)
    assert features.shape == (5, 16, 92)
    assert features.dtype == np.float32
    assert isinstance(features, np.memmap)
    assert not features.flags.writeable
    np.testing.assert_array_equal(features, _expected(clips))
    [entry] = _entries(tmp_path / "cache")
    assert sorted(path.name for path in entry.iterdir()) == [".lock", "about.json", "features.npy"]


def test_the_second_time_nothing_is_read(clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached_features(clips, _SPEC, tmp_path / "cache", n_jobs=1)
    monkeypatch.setattr(feature_cache, "read_audio", None)
    np.testing.assert_array_equal(cached_features(clips, _SPEC, tmp_path / "cache"), _expected(clips))


def test_values_are_not_clamped_and_top_db_does_not_matter(clips: list[Clip], tmp_path: Path) -> None:
    samples = read_audio(clips[0].path)
    samples[24_000:] = 0
    soundfile.write(clips[0].path, samples, 48_000)
    features = cached_features(clips, _SPEC, tmp_path / "cache", n_jobs=1)
    assert features[0].min() == -100
    cached_features(clips, dataclasses.replace(_SPEC, top_db=None), tmp_path / "cache", n_jobs=1)
    assert len(_entries(tmp_path / "cache")) == 1


def test_another_front_end_clip_list_or_file_is_another_entry(clips: list[Clip], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cached_features(clips, _SPEC, cache, n_jobs=1)
    cached_features(clips, dataclasses.replace(_SPEC, n_mels=8), cache, n_jobs=1)
    backwards = cached_features(clips[::-1], _SPEC, cache, n_jobs=1)
    np.testing.assert_array_equal(backwards, _expected(clips[::-1]))
    write_clip(clips[0].path, seed=77, clip_s=1.0)
    changed = cached_features(clips, _SPEC, cache, n_jobs=1)
    np.testing.assert_array_equal(changed, _expected(clips))
    assert len(_entries(cache)) == 4


def test_a_changed_front_end_implementation_does_not_find_old_features(clips: list[Clip], tmp_path: Path,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    cached_features(clips, _SPEC, tmp_path / "cache", n_jobs=1)
    monkeypatch.setattr(feature_cache, "mel_db", lambda samples, spec: mel_db(samples, spec) + 1)
    features = cached_features(clips, _SPEC, tmp_path / "cache", n_jobs=1)
    np.testing.assert_array_equal(features, _expected(clips) + 1)


def test_no_clips(tmp_path: Path) -> None:
    assert cached_features([], _SPEC, tmp_path / "cache").shape == (0, 16, 92)
    assert not (tmp_path / "cache").exists()


def test_bad_clips_are_listed_and_the_rest_is_kept(clips: list[Clip], tmp_path: Path) -> None:
    write_clip(clips[0].path, clip_s=0.5)
    soundfile.write(clips[1].path, np.zeros(48_000), 48_000)
    samples = np.full(48_000, np.nan, np.float32)
    soundfile.write(clips[4].path, samples, 48_000, subtype="FLOAT")
    with pytest.raises(DatasetError) as caught:
        cached_features(clips, _SPEC, tmp_path / "cache", n_jobs=2)
    text = str(caught.value)
    assert text.startswith("3 of 5 clips cannot be used")
    assert "park-oslo-0-0-a.wav is shorter than one window; found 0.500 s; wanted 0.992 s" in text
    assert "park-oslo-1-0-a.wav is digital silence" in text
    assert "park-oslo-4-0-a.wav has samples that are no numbers" in text
    [entry] = _entries(tmp_path / "cache")
    assert [path.name for path in (entry / "shards").iterdir()] == ["00001.npy"]
    clips[2].path.unlink()
    with pytest.raises(DatasetError, match=r"1 audio files cannot be read:\n.*park-oslo-2.*No such file"):
        cached_features(clips, _SPEC, tmp_path / "cache")


def _interrupted(clips: list[Clip], cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An entry with two of three shards, as a killed run leaves it."""
    with monkeypatch.context() as patch:
        def stop(track: feature_cache.Track, spec: FeatureSpec) -> None:
            if "oslo-4" in track[0].path:
                raise KeyboardInterrupt
            return original(track, spec)

        original = feature_cache.track_features
        patch.setattr(feature_cache, "track_features", stop)
        with pytest.raises(KeyboardInterrupt):
            cached_features(clips, _SPEC, cache, n_jobs=1)
    [entry] = _entries(cache)
    assert sorted(path.name for path in (entry / "shards").iterdir()) == ["00000.npy", "00001.npy"]
    return entry


def test_an_interrupted_run_goes_on(clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _interrupted(clips, tmp_path / "cache", monkeypatch)
    seen = []
    original = feature_cache.read_audio
    monkeypatch.setattr(feature_cache, "read_audio", lambda path, **kw: (seen.append(Path(path).name),
                                                                          original(path, **kw))[1])
    features = cached_features(clips, _SPEC, tmp_path / "cache", n_jobs=1)
    np.testing.assert_array_equal(features, _expected(clips))
    assert seen == [clips[4].path.name]


@pytest.mark.parametrize("damage", ["truncated", "longer", "other shape", "empty"])
def test_a_damaged_shard_is_made_again(clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                       damage: str) -> None:
    entry = _interrupted(clips, tmp_path / "cache", monkeypatch)
    shard = entry / "shards/00000.npy"
    data = shard.read_bytes()
    if damage == "other shape":
        np.save(shard, np.zeros((2, 92, 16), np.float32))
    else:
        shard.write_bytes({"truncated": data[:-4], "longer": data + b"\0", "empty": b""}[damage])
    (entry / "shards/.00002.npy.abcdefgh").write_bytes(b"half")
    features = cached_features(clips, _SPEC, tmp_path / "cache", n_jobs=1)
    np.testing.assert_array_equal(features, _expected(clips))


def test_a_truncated_result_is_made_again(clips: list[Clip], tmp_path: Path) -> None:
    cached_features(clips, _SPEC, tmp_path / "cache", n_jobs=1)
    result = _entries(tmp_path / "cache")[0] / "features.npy"
    result.write_bytes(result.read_bytes()[:-1])
    np.testing.assert_array_equal(cached_features(clips, _SPEC, tmp_path / "cache", n_jobs=1), _expected(clips))


_RUN = """
import sys
from pathlib import Path
from edge_asc.spec import FeatureSpec
from edge_asc.data import feature_cache
from edge_asc.data.tau_layout import make_clip
if __name__ == "__main__":
    root = Path(sys.argv[1])
    feature_cache.SHARD_LENGTH = 2
    clips = [make_clip(root, f"audio/{path.name}", "outdoor") for path in sorted((root / "audio").iterdir())]
    feature_cache.cached_features(clips, FeatureSpec(n_fft=1024, hop_length=512, n_mels=16, n_frames=92),
                                  root / "cache", n_jobs=int(sys.argv[2]))
"""


def test_a_killed_run_leaves_whole_shards_and_no_processes(tmp_path: Path) -> None:
    first = _clips(tmp_path, 1)[0]
    for number in range(1, 600):
        os.link(first.path, first.path.with_name(f"park-oslo-{number}-0-a.wav"))
    (tmp_path / "run.py").write_text(_RUN)
    process = subprocess.Popen([sys.executable, tmp_path / "run.py", tmp_path, "2"], start_new_session=True)
    deadline_s = time.monotonic() + 60
    shards: list[Path] = []
    while len(shards) < 3 and time.monotonic() < deadline_s:
        time.sleep(0.001)
        shards = list((tmp_path / "cache").glob("*/shards/[!.]*"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    _wait_until_gone(process.pid)
    [entry] = _entries(tmp_path / "cache")
    assert not (entry / "features.npy").exists()
    shards = sorted((entry / "shards").glob("[!.]*"))
    assert 3 <= len(shards) < 300
    dates = {shard.name: shard.stat().st_mtime_ns for shard in shards}
    for shard in shards:
        np.testing.assert_array_equal(np.load(shard), np.concatenate([_expected([first])] * 2))
    # What it finished is not made again: the dates survive the next run, which Ctrl-C ends.
    process = subprocess.Popen([sys.executable, tmp_path / "run.py", tmp_path, "1"], start_new_session=True)
    while len(list((entry / "shards").glob("[!.]*"))) < len(shards) + 2:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    assert process.wait() != 0
    assert {name: (entry / "shards" / name).stat().st_mtime_ns for name in dates} == dates
    subprocess.run([sys.executable, tmp_path / "run.py", tmp_path, "1"], check=True)
    features = np.load(entry / "features.npy", mmap_mode="r")
    np.testing.assert_array_equal(features, np.broadcast_to(_expected([first]), (600, 16, 92)))
    assert not (entry / "shards").exists()


def _wait_until_gone(group: int) -> None:
    """The workers of a killed parent end by themselves."""
    for _ in range(1000):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    pytest.fail("worker processes outlive their parent")


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_full_disk_is_one_clear_error_and_leaves_no_halves(clips: list[Clip], tmp_path: Path, n_jobs: int) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
    (tmp_path / "run.py").write_text(limit + _RUN)
    done = subprocess.run([sys.executable, tmp_path / "run.py", tmp_path, str(n_jobs)], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 1
    assert "DatasetError: no space left for features" in done.stderr
    assert "Free some space" in done.stderr
    [entry] = _entries(tmp_path / "cache")
    assert list((entry / "shards").iterdir()) == []


def test_space_is_looked_at_before_the_work(clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache.shutil, "disk_usage", lambda path: SimpleNamespace(free=45_000))
    with pytest.raises(DatasetError, match=r"not enough space.*0\.0 MB free; wanted 0\.1 MB"):
        cached_features(clips, _SPEC, tmp_path / "cache", n_jobs=1)


def test_two_runs_at_once_wait_for_each_other(clips: list[Clip], tmp_path: Path) -> None:
    found: list[np.ndarray] = []

    def run() -> None:
        found.append(cached_features(clips, _SPEC, tmp_path / "cache", n_jobs=1))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for features in found:
        np.testing.assert_array_equal(features, _expected(clips))


def test_a_track_is_its_segments_one_after_the_other(clips: list[Clip], tmp_path: Path) -> None:
    parts = [(0, 0.25, 0.5), (1, 0.0, 0.25), (2, 0.75, 0.25)]
    track = tuple(Segment(str(clips[i].path), start_s, duration_s) for i, start_s, duration_s in parts)
    expected = np.concatenate([read_audio(clips[i].path)[round(a * 48_000) : round((a + b) * 48_000)]
                               for i, a, b in parts])
    np.testing.assert_array_equal(read_track(track, 48_000), expected)
    features = cached_track_features([track], _SPEC, tmp_path / "cache", n_jobs=1)
    np.testing.assert_array_equal(features[0], mel_db(expected, _SPEC)[:, :92])
    with pytest.raises(AudioError, match=r"ends too early; found 12000 samples from 0\.75 s on; wanted 14400"):
        read_track((Segment(str(clips[0].path), 0.75, 0.3),), 48_000)
