"""What an import is going to cut from which recording, decided before anything is written."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from edge_asc.data.dataset import listed
from edge_asc.data.recordings_csv import USES, Recording
from edge_asc.data.tau_layout import CLIP_S, SAMPLE_RATE_HZ, clip_filename
from edge_asc.errors import DatasetError, InputError

SHORT = ("skip", "error", "repeat")
TOLERANCE_S = 0.010
"""A recording that is this much short of a clip still gives one, filled up with zeros after its last frame."""


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """How recordings become clips."""

    test_fraction: float = 0.3
    """Part of each label to hold out, by recording, for rows without `use`."""
    seed: int = 2020
    clip_s: float = CLIP_S
    hop_s: float | None = None
    """From the start of one clip to the start of the next; None for clip_s."""
    bits: int = 24
    short: str = "skip"
    """What to do with a recording shorter than a clip: leave it out and say so, stop, or repeat it."""
    use: str | None = None
    """Take only rows whose `use` says this; they are then split by `test_fraction`."""

    def __post_init__(self) -> None:
        _require(0 <= self.test_fraction < 1, "test fraction", self.test_fraction, "from 0 to below 1")
        _require(self.seed >= 0, "seed", self.seed, "at least 0")
        _require(1 <= self.clip_s <= 600, "clip length", self.clip_s, "from 1 to 600 seconds")
        _require(self.hop_s is None or self.hop_s >= 0.1, "hop", self.hop_s, "at least 0.1 seconds")
        _require(self.bits in (16, 24), "bits", self.bits, "16 or 24")
        _require(self.short in SHORT, "short", self.short, " or ".join(SHORT))
        _require(self.use in (None, *USES), "use", self.use, "train or test")

    @property
    def clip_samples(self) -> int:
        """Samples of one clip at 48 kHz."""
        return round(self.clip_s * SAMPLE_RATE_HZ)

    @property
    def hop_samples(self) -> int:
        """Samples from one clip's start to the next's."""
        return round((self.hop_s or self.clip_s) * SAMPLE_RATE_HZ)


@dataclass(frozen=True, kw_only=True)
class ClipPlan:
    """One recording and the clips it is to give."""

    recording: Recording
    scene: str
    identifier: str
    names: tuple[str, ...]
    starts: tuple[int, ...]
    key: str
    """Of the sound in the clips: the file's path, size and date, and how it is cut."""


def plan_clips(recordings: Sequence[Recording], settings: ImportSettings) -> tuple[list[ClipPlan], list[Recording]]:
    """What to cut from where, and the recordings that are too short for that.

    Raises:
        DatasetError: A recording is too short and the settings say that this is an error, or all are.
    """
    plans, short = [], []
    # Numbered within its city, so that a row that comes or goes does not rename everybody else's clips.
    numbers: dict[str, dict[str, int]] = defaultdict(dict)
    n_segments: Counter[str] = Counter()
    for recording in recordings:
        starts = _starts(recording, settings)
        if not starts:
            short.append(recording)
            continue
        scene, city = _word(recording.scene), _word(recording.city)
        number = numbers[city].setdefault(recording.source_id, len(numbers[city]))
        identifier = f"{city}-{number}"
        first = n_segments[identifier]
        n_segments[identifier] += len(starts)
        names = tuple(clip_filename(scene, city, number, first + i) for i in range(len(starts)))
        plans.append(ClipPlan(recording=recording, scene=scene, identifier=identifier, names=names, starts=starts,
                              key=_key(recording, starts, settings)))
    if short and settings.short == "error":
        raise DatasetError(f"{len(short)} recordings are shorter than a clip of {settings.clip_s:g} s:"
                           + listed([f"{r.file} ({r.usable_s:.1f} s)" for r in short], all_of_them=True)
                           + "\nNothing was written. Leave them out with --short skip, or repeat them with "
                             "--short repeat.")
    if not plans:
        raise DatasetError(f"all {len(short)} recordings are shorter than a clip of {settings.clip_s:g} s",
                           fix="Record longer, or repeat them with --short repeat.")
    return plans, short


def _starts(recording: Recording, settings: ImportSettings) -> tuple[int, ...]:
    usable = int((recording.usable_s + TOLERANCE_S) * SAMPLE_RATE_HZ)
    if usable < settings.clip_samples:
        return (0,) if settings.short == "repeat" else ()
    return tuple(range(0, usable - settings.clip_samples + 1, settings.hop_samples))


def _key(recording: Recording, starts: Sequence[int], settings: ImportSettings) -> str:
    status = recording.path.stat()
    facts = [str(recording.path.resolve()), status.st_size, status.st_mtime_ns, recording.usable_s, list(starts),
             settings.clip_samples, settings.bits, settings.short == "repeat"]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _word(text: str) -> str:
    """Letters, digits and underscores: file names keep their parts apart with hyphens."""
    return re.sub(r"\W+", "_", text.lower(), flags=re.ASCII).strip("_") or "unnamed"


def _require(ok: bool, name: str, found: object, wanted: str) -> None:
    if not ok:
        raise InputError(f"impossible import setting: {name}", found=found, wanted=wanted)
