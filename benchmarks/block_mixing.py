"""Block mixing, ours against the plain way: every file read whole with librosa and cut, segment by segment.

The plain way is restated from the paper's description, on the very segments that ours plans; first both must give the
same sound. The files are noise in the published format (10 s, two channels, 48 kHz, 24 bits), written for the purpose.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import librosa
import numpy as np

from benchmarks.sound_files import write_clip
from edge_asc.bench.serve import repeat
from edge_asc.bench.statistics import ratio
from edge_asc.data.block_mixing import MixedTrack, plan_tracks
from edge_asc.data.feature_cache import read_track
from edge_asc.data.tau_layout import LABEL_OF_SCENE, SAMPLE_RATE_HZ, Clip
from edge_asc.errors import VerificationError

NAME = "CPU of block mixing: whole files / segments only"
_SCENES, _CITIES = ("airport", "park", "tram"), ("lyon", "paris", "milan", "vienna")


def measure(*, n_rounds: int = 5, n_tracks: int = 3) -> dict[str, Any]:
    """Times of one track of ten segments, and the ratio of CPU times.

    Raises:
        VerificationError: The two give different sound.
    """
    with tempfile.TemporaryDirectory(prefix="edge-asc-mixing-") as folder:
        tracks = plan_tracks(write_scenes(Path(folder)), n_tracks_per_label=n_tracks, seed=0)
        for track in tracks:
            difference = float(np.abs(ours(track) - plain(track)).max())
            if not difference <= 1e-6:
                raise VerificationError("block mixing and its plain restatement differ", found=difference, wanted=1e-6)
        times: dict[str, list[list[float]]] = {"segments only": [], "whole files": []}
        for number in range(n_rounds):
            track = tracks[number % len(tracks)]
            for name, mix in (("segments only", ours), ("whole files", plain)):
                run = repeat(lambda mix=mix, track=track: mix(track), budget_s=0.2, n_least=2,  # type: ignore[misc]
                             n_warm_up=1)
                times[name].append(run["cpu_ms"])
    return {"cpu_ms": {name: float(np.median(np.concatenate(rounds))) for name, rounds in times.items()},
            "ratio": ratio(times["whole files"], times["segments only"]).to_json()}


def ours(track: MixedTrack) -> np.ndarray:
    """Only the segments are read."""
    return read_track(track.segments, SAMPLE_RATE_HZ)


def plain(track: MixedTrack) -> np.ndarray:
    """Each file whole, then its piece."""
    pieces = []
    for segment in track.segments:
        samples, rate_hz = librosa.load(segment.path, sr=None, mono=True)
        start = round(segment.start_s * rate_hz)
        pieces.append(samples[start:start + round(segment.duration_s * rate_hz)])
    return np.concatenate(pieces)


def write_scenes(folder: Path) -> list[Clip]:
    """A clip of each scene in each city."""
    clips = []
    for scene in _SCENES:
        for place, city in enumerate(_CITIES):
            name = f"{scene}-{city}-{place}-{place}-a.wav"
            clips.append(Clip(path=write_clip(folder / name, seed=len(clips)), filename=name,
                              label=LABEL_OF_SCENE[scene], scene=scene, city=city, location=str(place),
                              segment=str(place)))
    return clips
