"""Block mixing as in the paper: labels match, cities rotate, starts are random, only segments are read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from edge_asc.audio import read_audio
from edge_asc.data import block_mixing
from edge_asc.data.block_mixing import MixedTrack, mix_blocks, mixed_features, plan_tracks
from edge_asc.data.tau_layout import LABEL_OF_SCENE, Clip, clip_filename, make_clip
from edge_asc.errors import DatasetError, InputError
from edge_asc.features import mel_db
from edge_asc.spec import FeatureSpec
from tests.data.tiny_tau import write_clip

_CITIES = tuple("abcdefghi")


def _clip(scene: str, city: str, place: int, segment: int, root: Path = Path("/data")) -> Clip:
    clip = make_clip(root, clip_filename(scene, city, place, segment), LABEL_OF_SCENE[scene])
    assert clip is not None
    return clip


def _clips(*, cities: tuple[str, ...] = _CITIES, n_places: int = 3, n_segments: int = 4) -> list[Clip]:
    return [_clip(scene, city, place, segment) for scene in LABEL_OF_SCENE for city in cities
            for place in range(n_places) for segment in range(n_segments)]


@pytest.fixture
def ten_seconds_each(monkeypatch: pytest.MonkeyPatch) -> None:
    info = SimpleNamespace(n_frames=480_000, sample_rate_hz=48_000)
    monkeypatch.setattr(block_mixing, "audio_info", lambda path: info)


def _parts(track: MixedTrack) -> list[Clip]:
    clips = [make_clip(Path("/"), segment.path.lstrip("/"), track.label) for segment in track.segments]
    return [clip for clip in clips if clip is not None]


@pytest.mark.usefixtures("ten_seconds_each")
@pytest.mark.parametrize("n_segments", [2, 4, 5, 10])
def test_tracks_as_in_the_paper(n_segments: int) -> None:
    tracks = plan_tracks(_clips(), n_tracks_per_label=90, n_segments=n_segments, seed=1)
    assert [track.label for track in tracks] == ["indoor"] * 90 + ["outdoor"] * 90 + ["transportation"] * 90
    cities: Counter[str] = Counter()
    for track in tracks:
        parts = _parts(track)
        assert len(parts) == n_segments
        assert {LABEL_OF_SCENE[clip.scene] for clip in parts} == {track.label}
        assert len({clip.city for clip in parts}) == min(n_segments, 9)
        assert len({(clip.scene, clip.recording) for clip in parts}) == n_segments
        for segment in track.segments:
            assert segment.duration_s == 10 / n_segments
            assert 0 <= segment.start_s <= 10 - 10 / n_segments
            assert abs(segment.start_s * 48_000 - round(segment.start_s * 48_000)) < 1e-6
        cities.update(clip.city for clip in parts)
    # Equally often, to within the unfinished round of each label.
    assert max(cities.values()) - min(cities.values()) <= 3


@pytest.mark.usefixtures("ten_seconds_each")
def test_scenes_match_and_take_turns() -> None:
    tracks = plan_tracks(_clips(), n_tracks_per_label=12, match="scene", seed=1)
    scenes = []
    for track in tracks:
        [scene] = {clip.scene for clip in _parts(track)}
        scenes.append(scene)
    assert Counter(scenes) == {scene: 3 if LABEL_OF_SCENE[scene] == "outdoor" else 4 for scene in LABEL_OF_SCENE}
    mixed = plan_tracks(_clips(), n_tracks_per_label=12, match="label", seed=1)
    assert any(len({clip.scene for clip in _parts(track)}) > 1 for track in mixed)


@pytest.mark.usefixtures("ten_seconds_each")
def test_seeded_and_independent_of_the_order_of_clips() -> None:
    clips = _clips()
    first = plan_tracks(clips, n_tracks_per_label=5, seed=7)
    assert plan_tracks(clips[::-1], n_tracks_per_label=5, seed=7) == first
    assert plan_tracks(clips, n_tracks_per_label=5, seed=8) != first
    only_outdoor = [clip for clip in clips if clip.label == "outdoor"]
    assert plan_tracks(only_outdoor, n_tracks_per_label=5, seed=7) == first[5:10]


@pytest.mark.usefixtures("ten_seconds_each")
def test_every_file_and_every_start_come_up() -> None:
    clips = _clips(cities=("a", "b"), n_places=2, n_segments=2)
    tracks = plan_tracks(clips, n_tracks_per_label=400, seed=3)
    paths = Counter(segment.path for track in tracks for segment in track.segments)
    assert len(paths) == len(clips)
    starts_s = np.array([segment.start_s for track in tracks for segment in track.segments])
    assert np.histogram(starts_s, bins=9, range=(0, 9))[0].min() > 0.9 * len(starts_s) / 9
    # Permuted: the rotation's first city is not always the track's first.
    assert len({_parts(track)[0].city for track in tracks[:50]}) == 2


@pytest.mark.usefixtures("ten_seconds_each")
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 12), st.integers(0, 99))
def test_as_many_cities_and_recordings_as_possible(n_cities: int, n_places: int, n_clips: int, n_segments: int,
                                                   seed: int) -> None:
    clips = [_clip("park", _CITIES[city], place, segment) for city in range(n_cities) for place in range(n_places)
             for segment in range(n_clips)]
    for track in plan_tracks(clips, n_tracks_per_label=5, n_segments=n_segments, seed=seed):
        by_city = Counter(clip.city for clip in _parts(track))
        assert len(by_city) == min(n_cities, n_segments)
        assert max(by_city.values()) - min(by_city.values()) <= (1 if len(by_city) == n_cities else 0)
        for city, n in by_city.items():
            own = [clip for clip in _parts(track) if clip.city == city]
            assert len({clip.recording for clip in own}) == min(n, n_places)
            assert len({clip.filename for clip in own}) == min(n, n_places * n_clips)


def test_impossible_arguments(tmp_path: Path) -> None:
    clip = _clip("park", "a", 0, 0, tmp_path)
    write_clip(clip.path, clip_s=1.5)
    for wrong in ({"n_tracks_per_label": -1}, {"n_segments": 0}, {"match": "city"}, {"seed": -1}):
        with pytest.raises(InputError, match="impossible block mixing"):
            plan_tracks([clip], **{"n_tracks_per_label": 1, "seed": 0} | wrong)  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match=r"shorter than a segment; found 1\.50 s; wanted 2 s"):
        plan_tracks([clip], n_tracks_per_label=1, n_segments=5, seed=0)
    unlabelled = make_clip(tmp_path, "audio/1.wav", None)
    assert unlabelled is not None
    with pytest.raises(DatasetError, match="needs a label for every clip"):
        plan_tracks([unlabelled], n_tracks_per_label=1, seed=0)


def _written(root: Path, n_cities: int = 3, *, clip_s: float = 10.0) -> list[Clip]:
    clips = [_clip(scene, _CITIES[city], 0, 0, root) for scene in ("airport", "park") for city in range(n_cities)]
    for number, clip in enumerate(clips):
        write_clip(clip.path, seed=number, clip_s=clip_s)
    return clips


def test_the_sound_is_that_of_the_segments(tmp_path: Path) -> None:
    clips = _written(tmp_path)
    plan = plan_tracks(clips, n_tracks_per_label=2, n_segments=4, seed=5)
    mixed = list(mix_blocks(clips, n_tracks_per_label=2, n_segments=4, seed=5))
    assert [label for _, label in mixed] == ["indoor", "indoor", "outdoor", "outdoor"]
    for (samples, _), track in zip(mixed, plan, strict=True):
        assert samples.shape == (480_000,)
        for number, segment in enumerate(track.segments):
            start = round(segment.start_s * 48_000)
            np.testing.assert_array_equal(samples[120_000 * number : 120_000 * (number + 1)],
                                          read_audio(segment.path)[start : start + 120_000])


def test_features_of_the_sound_through_the_cache(tmp_path: Path) -> None:
    clips, spec = _written(tmp_path), FeatureSpec()
    features, labels = mixed_features(clips, spec, tmp_path / "cache", n_tracks_per_label=3, seed=5, n_jobs=1)
    assert isinstance(features, np.memmap)
    assert labels == ["indoor"] * 3 + ["outdoor"] * 3
    for row, (samples, _) in zip(features, mix_blocks(clips, n_tracks_per_label=3, seed=5), strict=True):
        np.testing.assert_array_equal(row, mel_db(samples, spec)[:, :467])
    again, _ = mixed_features(clips, spec, tmp_path / "cache", n_tracks_per_label=3, seed=5)
    np.testing.assert_array_equal(again, features)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    for other in ({"seed": 6}, {"n_segments": 5}, {"n_tracks_per_label": 2}):
        mixed_features(clips, spec, tmp_path / "cache", **{"n_tracks_per_label": 3, "seed": 5} | other, n_jobs=1)
    assert len(list((tmp_path / "cache").iterdir())) == 4


def test_other_rates_are_resampled_to_the_exact_length(tmp_path: Path) -> None:
    clip = _clip("park", "a", 0, 0, tmp_path)
    write_clip(clip.path, sample_rate_hz=44_100)
    [(samples, label)] = mix_blocks([clip], n_tracks_per_label=1, n_segments=10, seed=0)
    assert (len(samples), label) == (480_000, "outdoor")


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts bytes with Linux's /proc/self/io")
def test_only_the_segments_are_read(tmp_path: Path) -> None:
    clips = []
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (480_000, 2))
    for city in _CITIES:
        clips.append(_clip("park", city, 0, 0, tmp_path))
        clips[-1].path.parent.mkdir(exist_ok=True)
        soundfile.write(clips[-1].path, samples, 48_000, subtype="PCM_24")
    tracks = plan_tracks(clips, n_tracks_per_label=5, seed=0)
    list(mix_blocks(clips, n_tracks_per_label=1, seed=0))
    before = _bytes_read()
    for track in tracks:
        block_mixing.read_track(track.segments, 48_000)
    n_read = _bytes_read() - before
    n_in_segments = 5 * 10 * 48_000 * 2 * 3
    assert n_in_segments <= n_read < 1.05 * n_in_segments


def _bytes_read() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("rchar")).split()[1])
