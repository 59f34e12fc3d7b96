"""Recordings become a data set: the right samples, no source on both sides, resumable, nothing half-made believed."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_asc.audio import read_audio
from edge_asc.data.dataset import TauDataset
from edge_asc.data.dataset_check import check_dataset
from edge_asc.data.folder_lock import sole_writer
from edge_asc.data.import_plan import ImportSettings
from edge_asc.data.import_recordings import import_recordings
from edge_asc.errors import DatasetError, InputError

_LABELS = ("indoor", "outdoor", "transportation")
_ONE_S = ImportSettings(clip_s=1.0)


def _record(path: Path, *, seconds: float, seed: int = 0, sample_rate_hz: int = 48_000, level: float = 0.1,
            subtype: str = "PCM_24") -> Path:
    samples = np.random.default_rng(seed).standard_normal((round(seconds * sample_rate_hz), 2)) * level
    soundfile.write(path, samples, sample_rate_hz, subtype=subtype)
    return path


def _sources(folder: Path, *, n: int = 4, seconds: float = 3.3, columns: str = "", values: str = "") -> Path:
    """`n` recordings of each label, one source each."""
    lines = ["file,label,source_id" + columns]
    for number, label in enumerate(_LABELS):
        for i in range(n):
            name = f"{label}{i}.wav"
            _record(folder / name, seconds=seconds, seed=10 * number + i)
            lines.append(f"{name},{label},Source-{label} {i}{values}")
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    return folder / "list.csv"


def _clips(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "audio").iterdir()}


def test_a_list_becomes_a_data_set_in_the_published_layout(tmp_path: Path) -> None:
    made = import_recordings(_sources(tmp_path), tmp_path / "d", settings=_ONE_S)
    dataset = TauDataset.load(tmp_path / "d")
    assert check_dataset(tmp_path / "d", deep=True).ok
    assert made.clips == {"train": dict.fromkeys(_LABELS, 9), "validation": dict.fromkeys(_LABELS, 3)}
    assert made.recordings == {"train": dict.fromkeys(_LABELS, 3), "validation": dict.fromkeys(_LABELS, 1)}
    assert (made.n_cut, made.n_kept, made.notes) == (36, 0, ())
    assert not {clip.recording for clip in dataset.train} & {clip.recording for clip in dataset.validation}
    clip = dataset.train[0]
    assert clip.scene == "indoor"
    assert clip.city.startswith("source_indoor_")
    assert clip.filename == f"audio/indoor-{clip.city}-{clip.location}-0-a.wav"


def test_clips_are_the_recording_cut_up(tmp_path: Path) -> None:
    path = _record(tmp_path / "r.flac", seconds=3.7, sample_rate_hz=44_100)
    (tmp_path / "list.csv").write_text("file,label\nr.flac,indoor\n")
    import_recordings(tmp_path / "list.csv", tmp_path / "d", settings=ImportSettings(clip_s=1.0, hop_s=0.5))
    whole = read_audio(path)
    dataset = TauDataset.load(tmp_path / "d")
    assert len(dataset.train) == 6
    for number, clip in enumerate(dataset.train):
        info = soundfile.info(clip.path)
        assert (info.samplerate, info.channels, info.subtype, info.frames) == (48_000, 1, "PCM_24", 48_000)
        expected = whole[24_000 * number : 24_000 * number + 48_000]
        np.testing.assert_allclose(read_audio(clip.path), expected, atol=2**-23)


def test_a_gap_between_clips_and_16_bits(tmp_path: Path) -> None:
    path = _record(tmp_path / "r.wav", seconds=12)
    (tmp_path / "list.csv").write_text("file,label\nr.wav,indoor\n")
    import_recordings(tmp_path / "list.csv", tmp_path / "d", settings=ImportSettings(clip_s=1, hop_s=5.5, bits=16))
    starts = json.loads((tmp_path / "d/import.json").read_text())["recordings"][0]["starts_s"]
    assert starts == [0, 5.5, 11]
    last = sorted((tmp_path / "d/audio").iterdir())[-1]
    np.testing.assert_allclose(read_audio(last), read_audio(path, start_s=11), atol=2**-15)


def test_usable_seconds_end_the_recording(tmp_path: Path) -> None:
    path = _sources(tmp_path, columns=",usable_seconds", values=",2.4")
    made = import_recordings(path, tmp_path / "d", settings=_ONE_S)
    assert made.n_cut == 3 * 4 * 2


def test_use_decides_the_split(tmp_path: Path) -> None:
    path = _sources(tmp_path, columns=",use", values=",train")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.replace(",train", ",test") if " 3," in line else line for line in lines))
    made = import_recordings(path, tmp_path / "d", settings=_ONE_S)
    assert made.recordings == {"train": dict.fromkeys(_LABELS, 3), "validation": dict.fromkeys(_LABELS, 1)}
    assert {clip.city[-1] for clip in TauDataset.load(tmp_path / "d").validation} == {"3"}
    only = import_recordings(path, tmp_path / "only", settings=ImportSettings(clip_s=1.0, use="train"))
    assert sum(only.recordings["train"].values()) + sum(only.recordings["validation"].values()) == 9
    assert only.recordings["validation"] == dict.fromkeys(_LABELS, 1)
    all_to_train = ImportSettings(clip_s=1, use="train", test_fraction=0)
    everything = import_recordings(path, tmp_path / "all", settings=all_to_train)
    assert sum(everything.clips["validation"].values()) == 0
    assert TauDataset.load(tmp_path / "all").validation == []


def test_files_of_one_source_stay_together(tmp_path: Path) -> None:
    path = _sources(tmp_path, n=6)
    path.write_text(path.read_text().replace(" 5", " 0").replace(" 4", " 1"))
    import_recordings(path, tmp_path / "d", settings=_ONE_S)
    dataset = TauDataset.load(tmp_path / "d")
    assert len({clip.filename for clip in (*dataset.train, *dataset.validation)}) == 54
    assert len({clip.recording for clip in (*dataset.train, *dataset.validation)}) == 12


def test_credits_are_kept(tmp_path: Path) -> None:
    path = _sources(tmp_path, n=1, columns=",author,licence,mood", values=',"Smith, Ann",CC0,sad')
    import_recordings(path, tmp_path / "d", settings=_ONE_S)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "d/CREDITS.csv").read_text())))
    assert rows[0] == {"identifier": "source_indoor_0-0", "file": "indoor0.wav", "source_id": "Source-indoor 0",
                       "author": "Smith, Ann", "licence": "CC0", "n_clips": "3"}
    import_recordings(_sources(tmp_path, n=1), tmp_path / "e", settings=_ONE_S)
    assert not (tmp_path / "e/CREDITS.csv").exists()


def test_short_recordings(tmp_path: Path) -> None:
    path = _sources(tmp_path)
    short = _record(tmp_path / "short.wav", seconds=0.4)
    path.write_text(path.read_text() + "short.wav,indoor,s\n")
    made = import_recordings(path, tmp_path / "skip", settings=_ONE_S)
    assert made.notes == ("left out, shorter than a clip: short.wav (0.4 s)",)
    assert made.n_cut == 36
    with pytest.raises(DatasetError, match=r"1 recordings are shorter.*\n  short\.wav \(0\.4 s\)"):
        import_recordings(path, tmp_path / "error", settings=ImportSettings(clip_s=1, short="error"))
    assert not (tmp_path / "error").exists()
    made = import_recordings(path, tmp_path / "repeat", settings=ImportSettings(clip_s=1, short="repeat"))
    assert made.n_cut == 37
    [clip] = (tmp_path / "repeat/audio").glob("indoor-s-*")
    samples = read_audio(short)
    np.testing.assert_allclose(read_audio(clip), np.tile(samples, 3)[:48_000], atol=2**-23)
    with pytest.raises(DatasetError, match="all 12 recordings are shorter"):
        import_recordings(_sources(tmp_path), tmp_path / "none", settings=ImportSettings(clip_s=5))


def test_a_few_missing_samples_do_not_cost_a_clip(tmp_path: Path) -> None:
    _record(tmp_path / "r.wav", seconds=2 - 0.009)
    (tmp_path / "list.csv").write_text("file,label\nr.wav,indoor\n")
    made = import_recordings(tmp_path / "list.csv", tmp_path / "d", settings=_ONE_S)
    assert made.clips["train"] == {"indoor": 2}
    last = read_audio(TauDataset.load(tmp_path / "d").train[-1].path)
    assert np.count_nonzero(last[-432:]) == 0
    assert last[-433] != 0


def test_the_seed_decides_and_recutting_is_not_needed_for_another(tmp_path: Path) -> None:
    path = _sources(tmp_path)
    held = set()
    for seed in range(6):
        made = import_recordings(path, tmp_path / "d", settings=ImportSettings(clip_s=1, seed=seed))
        assert made.n_kept == (36 if seed else 0)
        held.add(frozenset(clip.recording for clip in TauDataset.load(tmp_path / "d").validation))
    assert len(held) > 3


def test_labels_without_recordings_are_told(tmp_path: Path) -> None:
    path = _sources(tmp_path)
    lines = [line for line in path.read_text().splitlines() if "transportation" not in line]
    path.write_text("\n".join(line for line in lines if "outdoor1" not in line and "outdoor2" not in line
                              and "outdoor3" not in line))
    made = import_recordings(path, tmp_path / "d", settings=_ONE_S)
    assert len(made.notes) == 2
    assert made.notes[0].startswith("no recordings of transportation: training needs all")
    assert made.notes[1].startswith("nothing to test outdoor on")
    path.write_text("file,label,use\nindoor0.wav,indoor,train\noutdoor0.wav,outdoor,test\n")
    with pytest.raises(DatasetError, match="nothing to train outdoor on"):
        import_recordings(path, tmp_path / "e", settings=_ONE_S)
    assert not (tmp_path / "e").exists()


def test_changed_and_removed_recordings_lose_their_clips(tmp_path: Path) -> None:
    path = _sources(tmp_path)
    import_recordings(path, tmp_path / "d", settings=_ONE_S)
    before = _clips(tmp_path / "d")
    _record(tmp_path / "indoor1.wav", seconds=2.2, seed=99)
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "outdoor3" not in line))
    made = import_recordings(path, tmp_path / "d", settings=_ONE_S)
    assert (made.n_cut, made.n_kept) == (2, 30)
    after = _clips(tmp_path / "d")
    assert len(after) == 32
    assert {name for name in after if before.get(name) != after[name]} == {
        f"indoor-source_indoor_1-0-{i}-a.wav" for i in range(2)}
    assert check_dataset(tmp_path / "d").ok


def test_a_clip_cut_short_by_a_crash_is_made_again(tmp_path: Path) -> None:
    path = _sources(tmp_path)
    import_recordings(path, tmp_path / "d", settings=_ONE_S)
    before = _clips(tmp_path / "d")
    victim = sorted((tmp_path / "d/audio").iterdir())[5]
    victim.write_bytes(victim.read_bytes()[:1000])
    (tmp_path / "d/audio/.left-over.wav.4711.part").write_bytes(b"x")
    made = import_recordings(path, tmp_path / "d", settings=_ONE_S)
    assert (made.n_cut, made.n_kept) == (1, 35)
    assert _clips(tmp_path / "d") == before


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    path = _sources(tmp_path)
    (tmp_path / "d/audio").mkdir(parents=True)
    (tmp_path / "d/audio/precious.wav").touch()
    with pytest.raises(DatasetError, match=r"no import has made; found precious\.wav"):
        import_recordings(path, tmp_path / "d")
    with pytest.raises(DatasetError, match=r"list\.csv is not a folder"):
        import_recordings(path, path)
    with sole_writer(tmp_path / "e", wait=False), pytest.raises(InputError, match="another process"):
        import_recordings(path, tmp_path / "e", settings=_ONE_S)


def test_damage_in_the_middle_is_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    path = _sources(tmp_path)
    samples = np.full(3 * 48_000, 0.1, np.float32)
    samples[100_000] = np.nan
    soundfile.write(tmp_path / "indoor1.wav", samples, 48_000, subtype="FLOAT")
    soundfile.write(tmp_path / "outdoor2.wav", np.zeros(3 * 48_000), 48_000)
    with pytest.raises(DatasetError) as caught:
        import_recordings(path, tmp_path / "d", settings=_ONE_S)
    text = str(caught.value)
    assert text.startswith("2 of 12 recordings cannot be read to the end")
    assert "line 3, indoor1.wav" in text
    assert "NaN" in text
    assert "line 8, outdoor2.wav" in text
    assert "digital silence" in text
    with pytest.raises(DatasetError, match="did not finish"):
        TauDataset.load(tmp_path / "d")
    for name in ("indoor1.wav", "outdoor2.wav"):
        _record(tmp_path / name, seconds=3.3)
    made = import_recordings(path, tmp_path / "d", settings=_ONE_S)
    assert (made.n_cut, made.n_kept) == (6, 30)


def test_silent_clips_and_full_scale(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-1.4, 1.4, 3 * 48_000).astype(np.float32)
    samples[48_000:96_000] = 0
    soundfile.write(tmp_path / "r.wav", samples, 48_000, subtype="FLOAT")
    (tmp_path / "list.csv").write_text("file,label\nr.wav,indoor\n")
    made = import_recordings(tmp_path / "list.csv", tmp_path / "d", settings=_ONE_S)
    assert made.clips["train"] == {"indoor": 2}
    assert "digital silence left out: 1 of 3 clips of r.wav" in made.notes
    assert "peaks beyond full scale (+2.9 dBFS) were limited in r.wav" in made.notes
    assert [clip.segment for clip in TauDataset.load(tmp_path / "d").train] == ["0", "2"]
    assert np.abs(read_audio(TauDataset.load(tmp_path / "d").train[0].path)).max() <= 1


def test_full_disk_leaves_only_whole_clips(tmp_path: Path) -> None:
    path = _sources(tmp_path)
    script = ("import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
              "sys.argv = ['edge-asc', 'dataset', 'import', sys.argv[1], '-o', sys.argv[2], '--clip-s', '1'];"
              "from edge_asc.cli import main; main()")
    done = subprocess.run([sys.executable, "-c", script, path, tmp_path / "d"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "File too large" in done.stderr
    assert list((tmp_path / "d/audio").iterdir()) == []
    assert import_recordings(path, tmp_path / "d", settings=_ONE_S).n_cut == 36


def test_a_killed_import_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = _sources(tmp_path, n=3, seconds=30)
    command = [sys.executable, "-m", "edge_asc", "dataset", "import", path, "-o", tmp_path / "d", "--clip-s", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline_s = time.monotonic() + 60
    while len(list((tmp_path / "d/audio").glob("[!.]*"))) < 20 and time.monotonic() < deadline_s:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    n_there = len(list((tmp_path / "d/audio").glob("[!.]*")))
    assert 20 <= n_there < 270
    with pytest.raises(DatasetError, match="did not finish"):
        TauDataset.load(tmp_path / "d")
    made = import_recordings(path, tmp_path / "d", settings=_ONE_S)
    assert (made.n_cut, made.n_kept) == (270 - n_there, n_there)
    import_recordings(path, tmp_path / "fresh", settings=_ONE_S)
    assert _clips(tmp_path / "d") == _clips(tmp_path / "fresh")
    assert not list((tmp_path / "d/audio").glob(".*"))


def test_bad_state_and_bad_settings(tmp_path: Path) -> None:
    path = _sources(tmp_path, n=1)
    import_recordings(path, tmp_path / "d", settings=_ONE_S)
    (tmp_path / "d/import.json").write_text("[]")
    with pytest.raises(DatasetError, match=r"import\.json is damaged"):
        import_recordings(path, tmp_path / "d", settings=_ONE_S)
    for wrong in ({"test_fraction": 1.0}, {"seed": -1}, {"clip_s": 0.0}, {"hop_s": 0.0}, {"bits": 8}, {"short": "x"},
                  {"use": "x"}):
        with pytest.raises(InputError, match="impossible import setting"):
            ImportSettings(**wrong)  # type: ignore[arg-type]
