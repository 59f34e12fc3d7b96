"""Modified block mixing (Ooi et al. 2020, section 2.2): new tracks from segments of different recordings of a label.

A track is planned first, as a list of file, start and length, and read afterwards: only the segments are read, never
the whole files, and the plan names the track in the feature cache.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from edge_asc.audio import audio_info
from edge_asc.data.feature_cache import Float32, Segment, Track, cached_track_features, read_track
from edge_asc.data.tau_layout import CLIP_S, Clip
from edge_asc.errors import DatasetError, InputError
from edge_asc.spec import LABELS, FeatureSpec

MATCHES = ("label", "scene")


@dataclass(frozen=True, kw_only=True)
class MixedTrack:
    """A track that has not been read yet."""

    label: str
    segments: Track


def plan_tracks(clips: Sequence[Clip], *, n_tracks_per_label: int, n_segments: int = 10, match: str = "label",
                seed: int, track_s: float = CLIP_S) -> list[MixedTrack]:
    """The segments of so many tracks of every label.

    Args:
        clips: Labelled clips; their order does not matter.
        n_tracks_per_label: For each label that occurs; the paper takes 4000.
        n_segments: Per track, all equally long; the paper tries 2, 4, 5 and 10.
        match: What the segments share: the coarse `label` or the fine `scene`. The scenes of a label take turns.
        seed: The same seed and clips give the same tracks.
        track_s: Length of a track.

    Returns:
        `n_tracks_per_label` tracks of the first label, then of the next, in the order of `spec.LABELS`.

    Raises:
        InputError: An impossible argument.
        DatasetError: A clip has no label, or is shorter than a segment.
    """
    if n_tracks_per_label < 0 or seed < 0:
        raise _impossible(n_tracks_per_label=n_tracks_per_label, seed=seed)
    mixer = Mixer(clips, n_segments=n_segments, match=match, track_s=track_s)
    return [MixedTrack(label=label, segments=track) for label in mixer.labels
            for track in islice(mixer.tracks(label, seed=[seed]), n_tracks_per_label)]


def mix_blocks(clips: Sequence[Clip], *, n_tracks_per_label: int, n_segments: int = 10, match: str = "label",
               seed: int, sample_rate_hz: int = 48_000) -> Iterator[tuple[Float32, str]]:
    """The sound of the tracks of `plan_tracks`, float32 [10 s], each with its label."""
    for track in plan_tracks(clips, n_tracks_per_label=n_tracks_per_label, n_segments=n_segments, match=match,
                             seed=seed):
        yield read_track(track.segments, sample_rate_hz), track.label


def mixed_features(clips: Sequence[Clip], spec: FeatureSpec, cache_dir: str | Path, *, n_tracks_per_label: int,
                   n_segments: int = 10, match: str = "label", seed: int, n_jobs: int | None = None,
                   progress: bool = False) -> tuple[Float32, list[str]]:
    """The features of the tracks of `plan_tracks`, through the feature cache.

    Returns:
        float32 [n, n_mels, n_frames], un-clamped dB, memory-mapped and read-only; and the n labels.

    Raises:
        DatasetError: As for `plan_tracks` and `feature_cache.cached_features`.
    """
    tracks = plan_tracks(clips, n_tracks_per_label=n_tracks_per_label, n_segments=n_segments, match=match, seed=seed,
                         track_s=max(CLIP_S, spec.window_s))
    features = cached_track_features([track.segments for track in tracks], spec, Path(cache_dir), n_jobs=n_jobs,
                                     progress=progress)
    return features, [track.label for track in tracks]


class Mixer:
    """Draws the segments of tracks, as many as are asked for.

    Cities are taken in rotation, so that as many as possible occur in a track and all occur equally often over the
    tracks; for each a random clip of that city, of a recording that the track does not have yet where there is one;
    the clips are permuted and each segment starts at a random sample.

    Args:
        clips, n_segments, match, track_s: As for `plan_tracks`.

    Raises:
        InputError: An impossible argument.
        DatasetError: A clip has no label.
    """

    def __init__(self, clips: Sequence[Clip], *, n_segments: int = 10, match: str = "label",
                 track_s: float = CLIP_S) -> None:
        if n_segments < 1 or match not in MATCHES:
            raise _impossible(n_segments=n_segments, match=match)
        pools: dict[str, dict[str, list[Clip]]] = defaultdict(lambda: defaultdict(list))
        for clip in sorted(clips, key=lambda clip: clip.filename):
            if clip.label not in LABELS:
                raise DatasetError(f"block mixing needs a label for every clip, {clip.filename} has none",
                                   wanted=" or ".join(LABELS))
            pools[clip.label][clip.scene if match == "scene" else ""].append(clip)
        self.labels = tuple(label for label in LABELS if label in pools)
        self._pools, self._n_segments, self._starts = pools, n_segments, _Starts(track_s / n_segments)

    def tracks(self, label: str, *, seed: Sequence[int]) -> Iterator[Track]:
        """Tracks of a label without end; the same numbers give the same tracks.

        Raises:
            DatasetError: A clip that was drawn is shorter than a segment.
        """
        rng = np.random.default_rng([seed[0], LABELS.index(label), *seed[1:]])
        rotations = [_Rotation(pool, rng) for _, pool in sorted(self._pools[label].items())]
        for rotation in cycle(rotations):
            chosen = rotation.take(self._n_segments)
            yield tuple(self._starts.segment(chosen[i], rng) for i in rng.permutation(self._n_segments))

    def fingerprint(self) -> str:
        """SHA-256 over what tracks are drawn from: every clip's name, labels, city and length.

        Raises:
            DatasetError: A clip is shorter than a segment.
        """
        digest = hashlib.sha256()
        for pools in self._pools.values():
            for clip in (clip for pool in pools.values() for clip in pool):
                about = clip.filename, clip.label, clip.scene, clip.city, clip.recording, *self._starts.length(clip)
                digest.update(repr(about).encode())
        return digest.hexdigest()


class _Rotation:
    """Clips of one label or scene, handed out city by city."""

    def __init__(self, clips: Sequence[Clip], rng: np.random.Generator) -> None:
        self._by_city: dict[str, list[Clip]] = defaultdict(list)
        for clip in clips:
            self._by_city[clip.city].append(clip)
        cities = list(self._by_city)
        self._cities = [cities[i] for i in rng.permutation(len(cities))]
        self._next, self._rng = 0, rng

    def take(self, n: int) -> list[Clip]:
        """Clips of the next `n` cities, going round as often as it takes."""
        taken: list[Clip] = []
        for _ in range(n):
            here = self._by_city[self._cities[self._next]]
            self._next = (self._next + 1) % len(self._cities)
            # Only a city that comes up again can repeat a recording.
            if len(taken) >= len(self._cities):
                used, used_recordings = set(taken), {clip.recording for clip in taken}
                here = ([clip for clip in here if clip.recording not in used_recordings]
                        or [clip for clip in here if clip not in used] or here)
            taken.append(here[self._rng.integers(len(here))])
        return taken


class _Starts:
    """Where in its file a segment begins; the length of each file is looked up once."""

    def __init__(self, segment_s: float) -> None:
        self._segment_s = segment_s
        self._lengths: dict[Path, tuple[int, int]] = {}

    def length(self, clip: Clip) -> tuple[int, int]:
        """Samples of the clip's file, and its rate; DatasetError if it is shorter than a segment."""
        if clip.path not in self._lengths:
            info = audio_info(clip.path)
            if info.n_frames < round(self._segment_s * info.sample_rate_hz):
                raise DatasetError(f"{clip.filename} is shorter than a segment", wanted=f"{self._segment_s:g} s",
                                   found=f"{info.n_frames / info.sample_rate_hz:.2f} s")
            self._lengths[clip.path] = info.n_frames, info.sample_rate_hz
        return self._lengths[clip.path]

    def segment(self, clip: Clip, rng: np.random.Generator) -> Segment:
        """A segment of the clip that starts at any sample, as likely as at any other."""
        n_frames, rate_hz = self.length(clip)
        last = n_frames - round(self._segment_s * rate_hz)
        return Segment(str(clip.path.absolute()), int(rng.integers(last + 1)) / rate_hz, self._segment_s)


def _impossible(**found: object) -> InputError:
    return InputError("impossible block mixing", wanted="match label or scene, at least one segment, no negatives",
                      found=", ".join(f"{name}={value!r}" for name, value in found.items()))
