"""Everything that is wrong with a data set, as one list, and the counts of every split.

Unlike `TauDataset.load`, which stops at the first kind of trouble, this goes through all tables and opens every
file. The figures of the published data set are held against one that claims to be it.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_asc import audio
from edge_asc.data.dataset import IMPORT_STATE, audio_on_disk, require_dataset, unknown_label
from edge_asc.data.progress_bar import progress_bar
from edge_asc.data.tau_layout import (
    CITIES,
    CLIP_S,
    LABEL_OF_SCENE,
    META,
    PUBLISHED,
    PUBLISHED_N_EVALUATION,
    SAMPLE_RATE_HZ,
    SETUP,
    TITLE,
    Clip,
    make_clip,
    read_table,
)
from edge_asc.errors import AudioError, DatasetError
from edge_asc.spec import LABELS

_LENGTH_TOLERANCE_S = 0.010
"""Less than what a 10 s clip has left over after its last frame."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One kind of trouble."""

    what: str
    where: tuple[str, ...]
    """Every file or row that has it; empty if it is the data set as a whole."""


@dataclass(frozen=True, kw_only=True)
class SplitCounts:
    """What a table lists."""

    n_clips: int
    n_recordings: int
    labels: Mapping[str, int]
    scenes: Mapping[str, int]
    cities: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class DatasetCheck:
    """The findings."""

    root: str
    published: bool
    """Whether it was held against the published counts."""
    splits: Mapping[str, SplitCounts]
    n_files: int
    """Files in audio/."""
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.problems

    def to_json(self) -> dict[str, object]:
        """A plain mapping."""
        return {"ok": self.ok, **dataclasses.asdict(self)}


def check_dataset(directory: str | Path, *, published: bool | None = None, deep: bool = False,
                  progress: bool = False) -> DatasetCheck:
    """Goes through tables and files.

    Args:
        directory: The data set's folder.
        published: Hold it against the published counts; None does so if it looks like the published data set
            (its name or README says so, or all its scenes and cities are from there).
        deep: Also decode every clip: silent, NaN or unreadable ones are found.
        progress: Show a bar on stderr.

    Raises:
        DatasetError: There is no such folder.
    """
    root = Path(directory)
    require_dataset(root)
    findings = _Findings()
    tables = {"meta": META, **SETUP}
    if not any((root / name).exists() for name in (META, SETUP["train"], SETUP["validation"])):
        tables = {"test": SETUP["test"]}
    splits = {name: _read_split(root, table, findings) for name, table in tables.items()}
    if published is None:
        published = _claims_to_be_published(root, [clip for clips in splits.values() for clip in clips])
    _check_tables(splits, findings)
    if published:
        _check_against_published(splits, findings)
    present = audio_on_disk(root)
    clips = {clip.filename: clip for clips in splits.values() for clip in clips}
    _check_audio(root, list(clips.values()), present, findings, deep=deep, progress=progress)
    return DatasetCheck(root=str(root), published=published, n_files=len(present), problems=findings.problems(),
                        splits={name: _counts(clips) for name, clips in splits.items()})


class _Findings:
    """Trouble sorted by kind, in the order of its first occurrence."""

    def __init__(self) -> None:
        self._where: dict[str, list[str]] = defaultdict(list)

    def add(self, what: str, *where: str) -> None:
        self._where[what].extend(where)

    def problems(self) -> tuple[Problem, ...]:
        return tuple(Problem(what=what, where=tuple(where)) for what, where in self._where.items())


def _read_split(root: Path, table: str, findings: _Findings) -> list[Clip]:
    labelled = table != SETUP["test"]
    try:
        rows = read_table(root / table, ["filename", "scene_label"] if labelled else ["filename"])
    except DatasetError as error:
        findings.add(str(error))
        return []
    clips = []
    for row in rows:
        name, label = row["filename"], row["scene_label"] if labelled else None
        if label is not None and label not in LABELS:
            findings.add(f"{table}: {unknown_label(label)}", name)
        clip = make_clip(root, name, label)
        if clip is None:
            findings.add(f"{table}: file name is not <scene>-<city>-<location>-<segment>-<device>.wav", name)
        else:
            clips.append(clip)
    for name, n in Counter(clip.filename for clip in clips).items():
        if n > 1:
            findings.add(f"{table}: listed more than once", name)
    return clips


def _check_tables(splits: Mapping[str, Sequence[Clip]], findings: _Findings) -> None:
    if "meta" not in splits:
        return
    names = {split: {clip.filename for clip in clips} for split, clips in splits.items()}
    labels = {clip.filename: clip.label for clip in splits["meta"]}
    for split in ("train", "validation"):
        for clip in splits[split]:
            if clip.filename not in labels:
                findings.add(f"{SETUP[split]}: not in {META}", clip.filename)
            elif clip.label != labels[clip.filename]:
                findings.add(f"{SETUP[split]}: another label than in {META}", clip.filename)
    for name in sorted(names["train"] & names["validation"]):
        findings.add("the same clip is in the training and in the validation split", name)
    places = {split: {clip.recording for clip in splits[split]} for split in ("train", "validation")}
    for place in sorted(places["train"] & places["validation"]):
        findings.add("the same location is in the training and in the validation split", place)
    if names["test"] and names["test"] != names["validation"]:
        findings.add(f"{SETUP['test']} and {SETUP['validation']} list different clips",
                     *sorted(names["test"] ^ names["validation"]))
    present = {clip.label for clip in splits["train"]}
    if missing := [label for label in LABELS if label not in present]:
        findings.add("labels without any training clip", *missing)


def _check_against_published(splits: Mapping[str, Sequence[Clip]], findings: _Findings) -> None:
    """Holds scenes and their labels, and the number of rows in all and of each label, against the published ones."""
    for split, clips in splits.items():
        for clip in clips:
            wanted = LABEL_OF_SCENE.get(clip.scene)
            if clip.label and wanted is None:
                findings.add(f"{_table(split)}: {clip.scene!r} is none of the published scenes", clip.filename)
            elif clip.label in LABELS and clip.label != wanted:
                findings.add(f"{_table(split)}: wrong label: the scene {clip.scene} is {wanted}, not {clip.label}",
                             clip.filename)
    if "meta" not in splits and len(splits["test"]) != PUBLISHED_N_EVALUATION:
        findings.add(f"{SETUP['test']}: {len(splits['test'])} rows, published are {PUBLISHED_N_EVALUATION}")
    for split, labels in PUBLISHED.items():
        if split not in splits:
            continue
        table = _table(split)
        found = Counter(clip.label for clip in splits[split])
        if len(splits[split]) != sum(labels.values()):
            findings.add(f"{table}: {len(splits[split])} rows, published are {sum(labels.values())}")
        wrong = [f"{label}: {found[label]}, published {n}" for label, n in labels.items() if found[label] != n]
        if wrong:
            findings.add(f"{table}: other numbers of clips than published", *wrong)


def _table(split: str) -> str:
    return META if split == "meta" else SETUP[split]


def _check_audio(root: Path, clips: Sequence[Clip], present: set[str], findings: _Findings, *, deep: bool,
                 progress: bool) -> None:
    clip_s = _clip_s(root)
    with progress_bar("checking", total=len(clips), shown=progress) as advance:
        for clip in clips:
            if clip.filename not in present and not clip.path.exists():
                findings.add("file is missing", clip.filename)
            else:
                _check_file(clip, clip_s, findings, deep=deep)
            advance(1)


def _check_file(clip: Clip, clip_s: float, findings: _Findings, *, deep: bool) -> None:
    try:
        info = audio.audio_info(clip.path)
        if info.sample_rate_hz != SAMPLE_RATE_HZ:
            findings.add(f"wrong sample rate: {info.sample_rate_hz} Hz instead of {SAMPLE_RATE_HZ}", clip.filename)
        if abs(info.duration_s - clip_s) > _LENGTH_TOLERANCE_S:
            findings.add(f"wrong length, wanted {clip_s:g} s", f"{clip.filename}: {info.duration_s:.3f} s")
        if deep and not audio.read_audio(clip.path, sample_rate_hz=info.sample_rate_hz).any():
            findings.add("digital silence: every sample is zero", clip.filename)
    except AudioError as error:
        findings.add("file is not usable sound", f"{clip.filename}: {error}")


def _clip_s(root: Path) -> float:
    """10 s, unless an import was told to cut another length."""
    try:
        return float(json.loads((root / IMPORT_STATE).read_text(encoding="utf-8"))["settings"]["clip_s"])
    except (OSError, ValueError, KeyError, TypeError):
        return CLIP_S


def _claims_to_be_published(root: Path, clips: Sequence[Clip]) -> bool:
    if (root / IMPORT_STATE).exists():
        return False
    if root.resolve().name.lower().startswith("tau-urban-acoustic-scenes-2020-3class"):
        return True
    readme = root / "README.md"
    if readme.is_file() and TITLE in readme.read_text(encoding="utf-8", errors="replace"):
        return True
    return bool(clips) and all(clip.scene in LABEL_OF_SCENE and clip.city in CITIES for clip in clips)


def _counts(clips: Sequence[Clip]) -> SplitCounts:
    def count(values: Sequence[str]) -> dict[str, int]:
        return dict(sorted(Counter(values).items()))

    return SplitCounts(n_clips=len(clips), n_recordings=len({clip.recording for clip in clips}),
                       labels=count([clip.label or "" for clip in clips]),
                       scenes=count([clip.scene for clip in clips]), cities=count([clip.city for clip in clips]))
