"""Features of many clips, computed once and kept on disk: in parallel, resumable, never half-written.

What is kept are un-clamped dB, because augmentation adds to them before the clamp. An entry is named by the front
end and by every clip's path, size and date; it grows as shards that appear under their names only when complete, and
ends as one array that is opened memory-mapped. Deleting the folder is always safe.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_asc import atomic
from edge_asc.audio import read_audio, require_sound
from edge_asc.data.dataset import listed
from edge_asc.data.folder_lock import sole_writer, sweep
from edge_asc.data.progress_bar import progress_bar
from edge_asc.data.tau_layout import Clip
from edge_asc.data.worker_pool import default_n_jobs, worker_pool
from edge_asc.errors import AudioError, DatasetError, EdgeAscError
from edge_asc.features import mel_db
from edge_asc.spec import FeatureSpec

Float32 = npt.NDArray[np.float32]

SHARD_LENGTH = 64
"""Tracks per shard: 5.7 MB at the default front end, about half a second's work."""
_FEATURES, _SHARDS = "features.npy", "shards"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Segment:
    """A stretch of a sound file."""

    path: str
    start_s: float = 0.0
    duration_s: float | None = None
    """None: to the end."""


Track = tuple[Segment, ...]
"""Segments played one after the other: a clip is a track of one, a block-mixed track has several."""


def cached_features(clips: Sequence[Clip], spec: FeatureSpec, cache_dir: str | Path, *, n_jobs: int | None = None,
                    progress: bool = False) -> Float32:
    """The first window of every clip as un-clamped dB, from the cache if it is there.

    Args:
        clips: Any number of clips.
        spec: The front end. `top_db` plays no part, since nothing is clamped here.
        cache_dir: Folder of all entries; made if need be.
        n_jobs: Processes; None for one per core that this process may use.
        progress: Show a bar on stderr.

    Returns:
        float32 [n, n_mels, n_frames], memory-mapped and read-only, in the order of `clips`.

    Raises:
        DatasetError: Clips are missing, damaged, silent or shorter than a window (all are named), or the disk is
            full. Finished shards are kept.
    """
    tracks = [(Segment(str(clip.path.absolute())),) for clip in clips]
    return cached_track_features(tracks, spec, Path(cache_dir), n_jobs=n_jobs, progress=progress)


def cached_track_features(tracks: Sequence[Track], spec: FeatureSpec, cache_dir: Path, *, n_jobs: int | None = None,
                          progress: bool = False) -> Float32:
    """As `cached_features`, of tracks."""
    shape = (len(tracks), spec.n_mels, spec.n_frames)
    if not tracks:
        return np.empty(shape, np.float32)
    entry = cache_dir / f"{_spec_key(spec)}-{_tracks_key(tracks)}"
    if _is_whole(entry / _FEATURES, shape):
        return _mapped(entry / _FEATURES)
    try:
        with sole_writer(entry, wait=True):
            # Another process may have finished the entry while this one waited.
            if not _is_whole(entry / _FEATURES, shape):
                (entry / _SHARDS).mkdir(exist_ok=True)
                sweep(entry)
                sweep(entry / _SHARDS)
                atomic.write_text(entry / "about.json", json.dumps({"features": spec.to_json(), "n": len(tracks)}))
                shards = _compute(tracks, spec, entry, n_jobs=n_jobs or default_n_jobs(), progress=progress)
                _join(shards, entry / _FEATURES, shape)
                shutil.rmtree(entry / _SHARDS)
    except OSError as error:
        if error.errno in _FULL:
            raise DatasetError(f"no space left for features in {cache_dir}", found=error.strerror,
                               fix="Free some space and run the same command again; finished parts are kept."
                               ) from error
        raise
    return _mapped(entry / _FEATURES)


def read_track(track: Track, sample_rate_hz: int) -> Float32:
    """The samples of a track, each segment exactly as long as it says.

    Raises:
        AudioError: A file cannot be read, or ends before the segment does.
    """
    parts = [_read_segment(segment, sample_rate_hz) for segment in track]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def track_features(track: Track, spec: FeatureSpec) -> Float32:
    """The first window of a track, float32 [n_mels, n_frames], un-clamped dB.

    Raises:
        AudioError: See `read_track`; or the track is shorter than a window, or a silent clip.
    """
    name = track[0].path
    samples = read_track(track, spec.sample_rate_hz)[: spec.window_samples]
    if len(track) == 1:  # of segments that are silent by chance a track may well be made
        require_sound(samples, name)
    if len(samples) < spec.window_samples:
        raise AudioError(f"{name} is shorter than one window", found=f"{len(samples) / spec.sample_rate_hz:.3f} s",
                         wanted=f"{spec.window_s:.3f} s", fix="Use longer clips, or a window of fewer frames.")
    return mel_db(samples, spec)


def _read_segment(segment: Segment, sample_rate_hz: int) -> Float32:
    samples = read_audio(segment.path, sample_rate_hz=sample_rate_hz, start_s=segment.start_s,
                         duration_s=segment.duration_s)
    if segment.duration_s is None:
        return samples
    wanted = round(segment.duration_s * sample_rate_hz)
    if len(samples) < wanted:
        raise AudioError(f"{segment.path} ends too early",
                         found=f"{len(samples)} samples from {segment.start_s:g} s on", wanted=wanted)
    return samples


def _compute(tracks: Sequence[Track], spec: FeatureSpec, entry: Path, *, n_jobs: int, progress: bool) -> list[Path]:
    """Makes every shard that is not there yet and returns all of them in order."""
    parts = [tracks[start : start + SHARD_LENGTH] for start in range(0, len(tracks), SHARD_LENGTH)]
    shards = [entry / _SHARDS / f"{number:05}.npy" for number in range(len(parts))]
    missing = [(part, shard) for part, shard in zip(parts, shards, strict=True)
               if not _is_whole(shard, (len(part), spec.n_mels, spec.n_frames))]
    n_missing = sum(len(part) for part, _ in missing)
    _require_space(entry, (n_missing + len(tracks)) * spec.n_mels * spec.n_frames * 4)
    failures: list[str] = []
    with (progress_bar("features", total=len(tracks), done=len(tracks) - n_missing, shown=progress) as advance,
          worker_pool(min(n_jobs, len(missing))) as run):
        for (part, *_), failed in run(_compute_shard, [(part, spec, shard) for part, shard in missing]):
            failures += failed
            advance(len(part))
    if failures:
        raise DatasetError(f"{len(failures)} of {len(tracks)} clips cannot be used:{listed(failures)}\n"
                           "What is finished is kept. `edge-asc dataset check --deep` lists everything that is wrong.")
    return shards


def _compute_shard(part: Sequence[Track], spec: FeatureSpec, shard: Path) -> list[str]:
    """Writes one shard, or returns what is wrong with its tracks."""
    failures: list[str] = []
    features = np.empty((len(part), spec.n_mels, spec.n_frames), np.float32)
    for number, track in enumerate(part):
        try:
            features[number] = track_features(track, spec)
        except EdgeAscError as error:
            failures.append(str(error))
    if not failures:
        _write(shard, [features], features.shape)
    return failures


def _join(shards: Sequence[Path], path: Path, shape: tuple[int, ...]) -> None:
    _write(path, (np.load(shard, mmap_mode="r") for shard in shards), shape)


def _write(path: Path, parts: Iterable[Float32], shape: tuple[int, ...]) -> None:
    """An .npy file from parts of its first axis, in one step."""
    # Not np.save: its message for a full disk carries no error number.
    with atomic.replacing(path) as file:
        file.write(_header(shape))
        for part in parts:
            file.write(np.ascontiguousarray(part, "<f4").data.cast("B"))


def _header(shape: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return header.getvalue()


def _is_whole(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether the file has exactly the header and the length of such an array."""
    header = _header(shape)
    try:
        with path.open("rb") as file:
            return file.read(len(header)) == header and path.stat().st_size == len(header) + 4 * math.prod(shape)
    except OSError:
        return False


def _mapped(path: Path) -> Float32:
    features: Float32 = np.load(path, mmap_mode="r")
    return features


def _require_space(folder: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise DatasetError(f"not enough space for features in {folder.parent}", found=f"{free_bytes / 1e6:.1f} MB free",
                           wanted=f"{needed_bytes / 1e6:.1f} MB",
                           fix="Free some space, or keep the features elsewhere (--cache-dir).")


def _spec_key(spec: FeatureSpec) -> str:
    """Names the front end: its parameters, and what its code makes of a test signal, so that a changed
    implementation does not find old features."""
    spec = dataclasses.replace(spec, top_db=None)
    n = np.arange(spec.n_fft)
    signal = (0.1 * np.sin(0.002 * n * n) + 1e-4 * np.cos(2.9 * n)).astype(np.float32)
    probe = np.round(mel_db(signal, spec), 1).tobytes()
    return hashlib.sha256(spec.key().encode() + probe).hexdigest()[:12]


def _tracks_key(tracks: Sequence[Track]) -> str:
    """Names the tracks: every segment, and size and date of every file.

    Raises:
        DatasetError: Files are missing.
    """
    digest = hashlib.sha256()
    missing = []
    for path in dict.fromkeys(segment.path for track in tracks for segment in track):
        try:
            status = Path(path).stat()
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        except OSError as error:
            missing.append(f"{path}: {error.strerror}")
    if missing:
        raise DatasetError(f"{len(missing)} audio files cannot be read:{listed(missing)}\n"
                           "Put them back, or import or unpack the data set again.")
    for track in tracks:
        digest.update(repr([(segment.path, segment.start_s, segment.duration_s) for segment in track]).encode())
    return digest.hexdigest()[:16]
