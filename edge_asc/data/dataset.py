"""A data set in the layout of TAU Urban Acoustic Scenes 2020 3Class: load it.

The published one and a user's own recordings after `edge-asc dataset import` are the same to everything that
trains or evaluates. `check_dataset` (dataset_check.py) says what is wrong with one; `load` stops at what would make
training fail or lie.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_asc.data.tau_layout import SETUP, TITLE, Clip, make_clip, read_table
from edge_asc.errors import DatasetError
from edge_asc.spec import LABELS

IMPORT_STATE = "import.json"
"""What `edge-asc dataset import` keeps beside the tables; the published data set has no such file."""
_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Clips in three splits."""

    root: Path
    train: list[Clip]
    """fold1_train.csv."""
    validation: list[Clip]
    """fold1_evaluate.csv: the labelled clips that the paper reports its figures on."""
    test: list[Clip]
    """Those of fold1_test.csv that have no label, as in the separate evaluation set; otherwise empty."""

    @property
    def cache_dir(self) -> Path:
        """Where features of these clips are kept unless another place is named."""
        return self.root / "features"


class TauDataset(Dataset):
    """A data set on disk in the published layout."""

    @classmethod
    def load(cls, directory: str | Path) -> TauDataset:
        """Reads the tables, not the sound.

        Args:
            directory: The folder that holds `meta.csv`, `audio/` and `evaluation_setup/`. One that holds
                `fold1_test.csv` alone (the evaluation set) has only unlabelled clips.

        Raises:
            DatasetError: A table is missing or malformed, a label is unknown, a file name is not of the published
                form, an audio file is missing, or one recording is in both labelled splits.
        """
        root = Path(directory)
        require_dataset(root)
        tables = {split: root / name for split, name in SETUP.items()}
        train: list[Clip] = []
        validation: list[Clip] = []
        if tables["train"].exists() or tables["validation"].exists() or not tables["test"].exists():
            train, validation = (_labelled(root, tables[split]) for split in ("train", "validation"))
        known = {clip.filename for clip in (*train, *validation)}
        test: list[Clip] = []
        if tables["test"].exists():
            names = [row["filename"] for row in read_table(tables["test"], ["filename"])]
            test = [clip for name in names if name not in known and (clip := make_clip(root, name, None))]
        _require_audio(root, [*train, *validation, *test])
        _require_apart(root, train, validation)
        return cls(root=root, train=train, validation=validation, test=test)


def require_dataset(root: Path) -> None:
    """Raises DatasetError if this cannot be a data set at all, saying why."""
    if not root.is_dir():
        raise DatasetError(f"no such data set: {root}", wanted=f"a folder in the layout of {TITLE}",
                           fix="Make one from your own recordings: edge-asc dataset import recordings.csv -o DIR")
    if (root / IMPORT_STATE).exists() and not (root / SETUP["train"]).exists():
        raise DatasetError(f"the import into {root} did not finish",
                           fix="Run the same `edge-asc dataset import` again; finished clips are kept.")


def unknown_label(label: str) -> str:
    """What to say of a label that is none, with the nearest one."""
    near = difflib.get_close_matches(label.lower(), LABELS, n=1)
    return f"{label!r} is not a label" + (f"; did you mean {near[0]!r}?" if near else f" ({', '.join(LABELS)})")


def listed(lines: Sequence[str], *, all_of_them: bool = False) -> str:
    """The first few, or all, one below the other, and how many more there are."""
    more = 0 if all_of_them else len(lines) - _SHOWN
    shown = [*lines[:_SHOWN], f"... and {more} more"] if more > 0 else lines
    return "".join(f"\n  {line}" for line in shown)


def audio_on_disk(root: Path) -> set[str]:
    """Names of all files in `audio/`, as the tables spell them; one directory scan instead of a call per file."""
    try:
        with os.scandir(root / "audio") as entries:
            return {f"audio/{entry.name}" for entry in entries if not entry.name.startswith(".")}
    except FileNotFoundError:
        return set()


def _labelled(root: Path, table: Path) -> list[Clip]:
    clips, wrong = [], []
    for row in read_table(table, ["filename", "scene_label"]):
        name, label = row["filename"], row["scene_label"]
        clip = make_clip(root, name, label)
        if label not in LABELS:
            wrong.append(f"{name}: {unknown_label(label)}")
        elif clip is None:
            wrong.append(f"{name}: not named <scene>-<city>-<location>-<segment>-<device>.wav")
        else:
            clips.append(clip)
    if wrong:
        raise DatasetError(f"{len(wrong)} rows of {table} cannot be used:{listed(wrong)}\n"
                           "`edge-asc dataset check` lists everything that is wrong.")
    return clips


def _require_audio(root: Path, clips: Sequence[Clip]) -> None:
    present = audio_on_disk(root)
    missing = [clip.filename for clip in clips
               if clip.filename not in present and not (not clip.filename.startswith("audio/") and clip.path.exists())]
    if missing:
        raise DatasetError(f"{len(missing)} of {len(clips)} audio files of {root} are missing:{listed(missing)}\n"
                           "Unpack every audio archive of the data set into this folder.")


def _require_apart(root: Path, train: Sequence[Clip], validation: Sequence[Clip]) -> None:
    both = sorted({clip.recording for clip in train} & {clip.recording for clip in validation})
    if both:
        raise DatasetError(f"{len(both)} recording places of {root} are in both splits, so that figures on the "
                           f"validation split would be too good:{listed(both)}\n"
                           "Move all files of a place to one split.")
