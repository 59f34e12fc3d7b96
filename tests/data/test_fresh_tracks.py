"""Tracks mixed on the fly: those of their sound, new in every epoch, made ahead within bounds; no process is left."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from edge_asc.data import fresh_tracks
from edge_asc.data.feature_cache import read_track
from edge_asc.data.fresh_tracks import FreshTracks
from edge_asc.data.tau_layout import Clip, clip_filename, make_clip
from edge_asc.errors import DatasetError, EdgeAscError
from edge_asc.features import mel_db
from edge_asc.spec import FeatureSpec
from tests.data.tiny_tau import write_clip

SPEC = FeatureSpec(n_fft=1024, hop_length=512, n_mels=16, n_frames=900)
LABELS = ["outdoor", "indoor", "indoor", "outdoor", "indoor"] * 4


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    return _written(tmp_path_factory.mktemp("clips"))


def _written(root: Path) -> list[Clip]:
    """A clip of 2 s in each of three cities, indoors and outdoors."""
    found = []
    for scene, label in (("airport", "indoor"), ("park", "outdoor")):
        for number, city in enumerate(("oslo", "rome", "bonn")):
            clip = make_clip(root, clip_filename(scene, city, 0, 0), label)
            assert clip is not None
            write_clip(clip.path, seed=number, clip_s=2)
            found.append(clip)
    return found


def _fresh(clips: list[Clip], *, seed: int = 3, n_jobs: int = 1) -> FreshTracks:
    return FreshTracks(clips, SPEC, n_segments=10, match="label", seed=seed, n_jobs=n_jobs)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_features_are_those_of_the_sound_wherever_they_are_begun(clips: list[Clip], n_jobs: int) -> None:
    fresh = _fresh(clips, n_jobs=n_jobs)
    plan = [*fresh.plan(0, LABELS), *islice(fresh.plan(1, LABELS), 13, None)]
    with fresh.made(iter([(0, LABELS, 0), (1, LABELS, 13)])) as made:
        found = list(made)
    assert len(found) == 20 + 7
    for features, track in zip(found, plan, strict=True):
        np.testing.assert_array_equal(features, mel_db(read_track(track, 48_000), SPEC)[:, :900])
    for label, track in zip(LABELS, plan[:20], strict=True):
        assert all(("airport" in segment.path) == (label == "indoor") for segment in track)


def test_no_track_comes_again_and_the_same_seed_and_epoch_give_the_same(clips: list[Clip]) -> None:
    epochs = [list(_fresh(clips).plan(epoch, LABELS)) for epoch in range(40)]
    assert len({track for tracks in epochs for track in tracks}) == 40 * len(LABELS)
    assert list(_fresh(clips[::-1]).plan(17, LABELS)) == epochs[17]
    assert not {*_fresh(clips, seed=4).plan(17, LABELS)} & {*epochs[17]}
    # In another order, as another member has it, the tracks of a label are the same ones.
    assert {*_fresh(clips).plan(17, LABELS[::-1])} == {*epochs[17]}


def test_no_more_is_made_ahead_than_is_kept(clips: list[Clip], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh_tracks, "N_AHEAD", 24)
    drawn = 0

    def epochs() -> Iterator[tuple[int, list[str], int]]:
        nonlocal drawn
        for epoch in range(1000):
            drawn += 8
            yield epoch, LABELS[:8], 0

    with _fresh(clips).made(epochs()) as made:
        assert drawn == 24
        for _ in range(80):
            next(made)
        assert 80 <= drawn <= 80 + 24


def test_a_recording_that_goes_away_is_named(tmp_path: Path) -> None:
    clips = _written(tmp_path)
    for n_jobs in (1, 2):
        fresh, kept = _fresh(clips, n_jobs=n_jobs), clips[0].path.read_bytes()
        clips[0].path.unlink()
        with (pytest.raises(DatasetError, match=r"mixed from any more: no such file: .*airport-oslo.*Put it back"),
              fresh.made(iter([(0, LABELS, 0)])) as made):
            list(made)
        clips[0].path.write_bytes(kept[:len(kept) // 2])
        with (pytest.raises(DatasetError, match=r"mixed from any more: .*airport-oslo.* is cut short"),
              fresh.made(iter([(0, LABELS, 0)])) as made):
            list(made)
        clips[0].path.write_bytes(kept)
    assert not multiprocessing.active_children()


def _kill() -> None:
    os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)


def _interrupt() -> None:
    assert multiprocessing.active_children()
    raise KeyboardInterrupt


@pytest.mark.parametrize(("act", "error", "message"), [
    (_kill, EdgeAscError, r"a worker process died.*--jobs 1"), (_interrupt, KeyboardInterrupt, "^$")])
def test_what_ends_it_in_the_middle_leaves_no_process(clips: list[Clip], act: Callable[[], None],
                                                      error: type[BaseException], message: str) -> None:
    def use() -> None:
        with _fresh(clips, n_jobs=2).made((epoch, LABELS, 0) for epoch in range(1000)) as made:
            next(made)
            act()
            for _ in made:
                pass

    with pytest.raises(error, match=message):
        use()
    assert not multiprocessing.active_children()


def test_silence_by_chance_is_sound(tmp_path: Path) -> None:
    clips = _written(tmp_path)
    for clip in clips:
        data = clip.path.read_bytes()
        clip.path.write_bytes(data[:44] + bytes(len(data) - 44))
    with _fresh(clips).made(iter([(0, LABELS[:1], 0)])) as made:
        assert (next(made) == -100).all()


def test_what_tracks_are_drawn_from_has_a_name_and_is_long_enough(tmp_path: Path, clips: list[Clip]) -> None:
    first = _fresh(clips).fingerprint
    assert _fresh(_written(tmp_path)[::-1]).fingerprint == first
    assert _fresh(clips[1:]).fingerprint != first
    longer = _written(tmp_path)
    write_clip(longer[0].path, clip_s=2.5)
    assert _fresh(longer).fingerprint != first
    write_clip(longer[0].path, clip_s=0.5)
    with pytest.raises(DatasetError, match=r"airport-oslo.* is shorter than a segment"):
        _fresh(longer)
