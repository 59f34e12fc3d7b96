"""The published layout of TAU Urban Acoustic Scenes 2020 3Class: file names, tables and counts.

Facts from the README and the tables of Zenodo record 3670185. Whatever reads or writes a data set does it through
this file, so a user's own recordings end up in the very same layout.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_asc import atomic
from edge_asc.errors import DatasetError

TITLE = "TAU Urban Acoustic Scenes 2020 3Class"
SAMPLE_RATE_HZ = 48_000
CLIP_S = 10.0
DEVICE = "a"
"""The last part of every file name: the one device that this data set was recorded with."""

LABEL_OF_SCENE: Mapping[str, str] = {
    "airport": "indoor", "shopping_mall": "indoor", "metro_station": "indoor",
    "street_pedestrian": "outdoor", "public_square": "outdoor", "street_traffic": "outdoor", "park": "outdoor",
    "tram": "transportation", "bus": "transportation", "metro": "transportation",
}
CITIES = frozenset({"amsterdam", "barcelona", "helsinki", "lisbon", "london", "lyon", "madrid", "milan", "paris",
                    "prague", "stockholm", "vienna"})

META = "meta.csv"
SETUP: Mapping[str, str] = {
    "train": "evaluation_setup/fold1_train.csv",
    "validation": "evaluation_setup/fold1_evaluate.csv",
    "test": "evaluation_setup/fold1_test.csv",
}
# Clips of each label: in all (1030 clips of Milan are in no split), and in the two labelled splits.
PUBLISHED: Mapping[str, Mapping[str, int]] = {
    "meta": {"indoor": 4320, "outdoor": 5760, "transportation": 4320},
    "train": {"indoor": 2704, "outdoor": 3757, "transportation": 2724},
    "validation": {"indoor": 1297, "outdoor": 1604, "transportation": 1284},
}
PUBLISHED_N_EVALUATION = 8640
"""Unlabelled clips of the separate evaluation set."""

_NAME = re.compile(r"([^-/]+)-([^-/]+)-([^-/]+)-([^-/]+)-([^-/]+)\.wav")


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One file of 10 s."""

    path: Path
    filename: str
    """As the tables have it: relative to the data set's folder, with forward slashes."""
    label: str | None
    """Coarse label; None for a clip whose label is not published."""
    scene: str
    """Fine label; empty, like the next three, if the file name does not tell."""
    city: str
    location: str
    segment: str

    @property
    def recording(self) -> str:
        """What must not be in two splits: city and location, the `identifier` of meta.csv."""
        return f"{self.city}-{self.location}" if self.city else self.filename


def make_clip(root: Path, filename: str, label: str | None) -> Clip | None:
    """The clip of that name, or None if a labelled clip's name is not
    `<scene>-<city>-<location>-<segment>-<device>.wav`. Unlabelled clips may have any name."""
    match = _NAME.fullmatch(filename.rpartition("/")[2])
    if match is None and label is not None:
        return None
    scene, city, location, segment = match.groups()[:4] if match else ("", "", "", "")
    return Clip(path=root / filename, filename=filename, label=label, scene=scene, city=city, location=location,
                segment=segment)


def clip_filename(scene: str, city: str, location: int, segment: int) -> str:
    """A name in the published form; scene and city must not contain a hyphen."""
    return f"audio/{scene}-{city}-{location}-{segment}-{DEVICE}.wav"


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a tab-separated table with a header.

    Raises:
        DatasetError: The file is missing, not text, or lacks one of `columns` in its header or in a row.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DatasetError(f"the data set has no {path.name}", found=f"no file {path}",
                           wanted=f"the layout of {TITLE}",
                           fix="Give the folder that contains meta.csv, or make one: edge-asc dataset import") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{path} is not a text file", wanted="a tab-separated table") from None
    reader = csv.DictReader(io.StringIO(text), delimiter="\t")
    missing = [name for name in columns if name not in (reader.fieldnames or [])]
    if missing:
        raise DatasetError(f"{path} lacks the column {missing[0]}", found=f"header {reader.fieldnames}",
                           wanted="a tab-separated header with " + ", ".join(columns))
    rows = []
    for number, row in enumerate(reader, start=2):
        if any(not row[name] for name in columns):
            raise DatasetError(f"{path}, row {number} is not complete", found=list(row.values()),
                               wanted=", ".join(columns), fix="Unpack the published meta.zip again.")
        rows.append(row)
    return rows


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], *, delimiter: str = "\t") -> None:
    """Writes a table with a header in one step."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, text.getvalue())
