"""Block mixing on the fly: tracks that are planned anew for every epoch, and made by other processes ahead of training.

A track is trained on once and kept nowhere. Its features are those of its sound, as for any clip: they cannot be put
together from cached ones, since a segment begins at any sample, between the frames of its clip.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice

import numpy as np

from edge_asc.data.block_mixing import Mixer
from edge_asc.data.feature_cache import Float32, Track, track_features
from edge_asc.data.tau_layout import CLIP_S, Clip
from edge_asc.data.worker_pool import default_n_jobs, results_ahead
from edge_asc.errors import AudioError, DatasetError
from edge_asc.spec import FeatureSpec

N_AHEAD = 512
"""Tracks made before they are asked for, at most: 46 MB at the default front end, seconds of one process's work."""
_CHUNK = 8
_MOST_JOBS = 8
"""Processes unless told otherwise: 1800 tracks a second where one makes 230, as on the machine of the README."""


class FreshTracks:
    """The tracks of every epoch of a run.

    All members of a run have the same tracks in an epoch, as in the paper, where they share their data: they differ by
    initial weights and order alone, and one fingerprint names the data of all.

    Args:
        clips: Those of the training split.
        spec: The front end.
        n_segments, match: As for `block_mixing.plan_tracks`.
        seed: The same seed and clips give the same tracks in the same epoch.
        n_jobs: Processes; with 1 a thread of this one. None for one per core, but not more than 8.

    Raises:
        DatasetError: A clip has no label, cannot be read, or is shorter than a segment.
    """

    def __init__(self, clips: Sequence[Clip], spec: FeatureSpec, *, n_segments: int, match: str, seed: int,
                 n_jobs: int | None = None) -> None:
        self._mixer = Mixer(clips, n_segments=n_segments, match=match, track_s=max(CLIP_S, spec.window_s))
        self._spec, self._seed, self._n_jobs = spec, seed, n_jobs or min(default_n_jobs(), _MOST_JOBS)
        self.fingerprint = self._mixer.fingerprint()
        """SHA-256 over what tracks are drawn from."""

    def plan(self, epoch: int, labels: Iterable[str]) -> Iterator[Track]:
        """The tracks of an epoch: for each label in turn, the next that it has."""
        tracks = {label: self._mixer.tracks(label, seed=[self._seed, epoch + 1]) for label in self._mixer.labels}
        return (next(tracks[label]) for label in labels)

    @contextmanager
    def made(self, epochs: Iterable[tuple[int, Sequence[str], int]]) -> Iterator[Iterator[Float32]]:
        """Gives the features of all tracks of some epochs, float32 [n_mels, n_frames] each, made ahead.

        Args:
            epochs: For each its number, the labels of its tracks, and how many of them are left out at its beginning.

        Raises:
            DatasetError: A recording cannot be read any more.
            EdgeAscError: A process died.
        """
        tracks = chain.from_iterable(islice(self.plan(epoch, labels), n_skipped, None)
                                     for epoch, labels, n_skipped in epochs)
        jobs = ((chunk, self._spec) for chunk in iter(lambda: list(islice(tracks, _CHUNK)), []))
        with results_ahead(make_tracks, jobs, n_jobs=self._n_jobs, n_ahead=N_AHEAD // _CHUNK) as chunks:
            yield _each(chunks)


def make_tracks(tracks: Sequence[Track], spec: FeatureSpec) -> Float32:
    """The features of some tracks, un-clamped dB, float32 [n, n_mels, n_frames]."""
    return np.stack([track_features(track, spec) for track in tracks])


def _each(chunks: Iterator[Float32]) -> Iterator[Float32]:
    try:
        for chunk in chunks:
            yield from chunk
    except AudioError as error:
        raise DatasetError(f"a recording cannot be mixed from any more: {error.what}", found=error.found,
                           wanted=error.wanted, fix="Put it back as it was and run the same command again: training "
                           "goes on where it stopped.") from error
