"""What a data set is made of: clips by split, city and scene, how long and how loud they are. Every clip is decoded."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_asc.audio import audio_info, read_audio
from edge_asc.data.dataset import TauDataset, listed
from edge_asc.data.progress_bar import progress_bar
from edge_asc.data.tau_layout import Clip
from edge_asc.data.worker_pool import default_n_jobs, worker_pool
from edge_asc.errors import AudioError, DatasetError

FLOOR_DB = -200.0
"""What digital silence is said to have."""
_PART = 32
"""Clips that a worker measures at a time."""
_PERCENTILES = (0, 5, 25, 50, 75, 95, 100)


@dataclass(frozen=True, kw_only=True)
class ClipFigures:
    """One clip."""

    filename: str
    split: str
    label: str
    """Empty where none is published."""
    scene: str
    city: str
    length_s: float
    level_db: float
    """Of the mean of the channels: root mean square, re full scale 1.0."""
    peak_db: float


@dataclass(frozen=True, kw_only=True)
class DatasetStats:
    """Figures of every clip, and what they come to."""

    root: str
    clips: tuple[ClipFigures, ...]

    @property
    def splits(self) -> dict[str, list[ClipFigures]]:
        """The clips of every split that has any."""
        found: dict[str, list[ClipFigures]] = {}
        for clip in self.clips:
            found.setdefault(clip.split, []).append(clip)
        return found

    def counts(self, split: str) -> dict[str, dict[str, int]]:
        """Scene -> city -> clips."""
        counted = Counter((clip.scene, clip.city) for clip in self.splits[split])
        found: dict[str, dict[str, int]] = {}
        for (scene, city), n in sorted(counted.items()):
            found.setdefault(scene, {})[city] = n
        return found

    def to_json(self) -> dict[str, object]:
        """A plain mapping: sums and percentiles for each split and scene, then every clip."""
        return {"root": self.root, "splits": {split: self._summary(split, clips)
                                              for split, clips in self.splits.items()},
                "clips": [dataclasses.asdict(clip) for clip in self.clips]}

    def _summary(self, split: str, clips: Sequence[ClipFigures]) -> dict[str, object]:
        by_scene: dict[str, list[ClipFigures]] = {}
        for clip in sorted(clips, key=lambda clip: clip.scene):
            by_scene.setdefault(clip.scene, []).append(clip)
        return {"n_clips": len(clips), "hours": sum(clip.length_s for clip in clips) / 3600,
                "labels": dict(Counter(clip.label for clip in clips)), "scene_city": self.counts(split),
                "length_s": percentiles([clip.length_s for clip in clips]),
                "level_db": percentiles([clip.level_db for clip in clips]),
                "scenes": {scene: {"n_clips": len(own), "level_db": percentiles([clip.level_db for clip in own]),
                                   "peak_db": percentiles([clip.peak_db for clip in own])}
                           for scene, own in by_scene.items()}}


def dataset_stats(directory: str | Path, *, n_jobs: int | None = None, progress: bool = False) -> DatasetStats:
    """Decodes every clip of the three splits.

    Args:
        directory: The data set's folder.
        n_jobs: Processes; None for one per core that this process may use.
        progress: Show a bar on stderr.

    Raises:
        DatasetError: See `TauDataset.load`; or clips cannot be decoded (they are named), or there are none.
    """
    dataset = TauDataset.load(directory)
    clips = [(split, clip) for split in ("train", "validation", "test") for clip in getattr(dataset, split)]
    if not clips:
        raise DatasetError(f"{dataset.root} has no clips", wanted="rows in the tables of evaluation_setup")
    parts = [clips[start:start + _PART] for start in range(0, len(clips), _PART)]
    found: dict[str, ClipFigures] = {}
    failures: list[str] = []
    with (progress_bar("measuring", total=len(clips), shown=progress) as advance,
          worker_pool(min(n_jobs or default_n_jobs(), len(parts))) as run):
        for (part,), (figures, failed) in run(_measure_all, [(part,) for part in parts]):
            found |= {each.filename: each for each in figures}
            failures += failed
            advance(len(part))
    if failures:
        raise DatasetError(f"{len(failures)} clips cannot be decoded:{listed(failures)}\n"
                           "`edge-asc dataset check --deep` lists everything that is wrong.")
    return DatasetStats(root=str(dataset.root), clips=tuple(found[clip.filename] for _, clip in clips))


def percentiles(values: Sequence[float]) -> Mapping[str, float]:
    """p0 (the smallest) to p100, rounded to hundredths."""
    return {f"p{q}": round(float(value), 2) for q, value in zip(_PERCENTILES, np.percentile(values, _PERCENTILES),
                                                                strict=True)}


def _measure_all(part: Sequence[tuple[str, Clip]]) -> tuple[list[ClipFigures], list[str]]:
    found, failures = [], []
    for split, clip in part:
        try:
            found.append(_measure(split, clip))
        except AudioError as error:
            failures.append(str(error))
    return found, failures


def _measure(split: str, clip: Clip) -> ClipFigures:
    info = audio_info(clip.path)
    samples = read_audio(clip.path, sample_rate_hz=info.sample_rate_hz).astype(np.float64)
    return ClipFigures(filename=clip.filename, split=split, label=clip.label or "", scene=clip.scene, city=clip.city,
                       length_s=len(samples) / info.sample_rate_hz, level_db=_db(np.mean(np.square(samples))),
                       peak_db=_db(np.max(np.square(samples))))


def _db(power: np.floating) -> float:
    return round(max(FLOOR_DB, 10 * float(np.log10(max(float(power), 1e-30)))), 2)
