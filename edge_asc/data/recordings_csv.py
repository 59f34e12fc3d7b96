"""A user's list of labelled recordings: read it, and say everything that is wrong with it in one go.

Columns `file` and `label` are required; `scene`, `source_id`, `city`, `usable_seconds`, `use` and the credit columns
are taken if they are there; any other column is ignored. Paths are relative to the list.
"""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_asc.audio import AudioInfo, audio_info
from edge_asc.data.dataset import listed, unknown_label
from edge_asc.errors import AudioError, DatasetError
from edge_asc.spec import LABELS

USES = ("train", "test")
CREDIT_COLUMNS = ("title", "author", "licence", "license", "origin", "url")


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One row: a long piece of sound of one place."""

    row: int
    """Line in the list, counted from 1, the header being the first."""
    file: str
    """As the list has it."""
    path: Path
    label: str
    scene: str
    source_id: str
    """Recordings that share it never end up on two sides of a split."""
    city: str
    use: str | None
    usable_s: float
    """How much of it to use, from its start: its length, or less where the list says so."""
    credits: Mapping[str, str]


def read_recordings(list_path: str | Path, *, use: str | None = None) -> list[Recording]:
    """Reads a list and opens every file's header.

    Args:
        list_path: A CSV file separated by commas, semicolons or tabs, in UTF-8.
        use: Take only rows whose column `use` says this, `train` or `test`.

    Raises:
        DatasetError: The list is missing or lacks a column, or any row is unusable: all of them are named.
    """
    list_path = Path(list_path)
    rows, columns = _read_rows(list_path)
    if use is not None and "use" not in columns:
        raise DatasetError(f"{list_path} has no column `use`", found=", ".join(columns),
                           wanted=f"it, since only rows for {use} are asked for")
    problems: list[str] = []
    recordings = []
    for number, row in rows:
        if use is None or row.get("use", "").lower() == use:
            recording, wrong = _parse(list_path.parent, number, row)
            problems += [f"line {number}, {row.get('file') or 'no file'}: {text}" for text in wrong]
            recordings += [recording] if recording else []
    problems += _contradictions(recordings)
    if problems:
        raise DatasetError(f"{len(problems)} problems in {list_path}:{listed(problems, all_of_them=True)}\n"
                           "Nothing was written. Correct or remove these rows.")
    if not recordings:
        raise DatasetError(f"{list_path} lists no recordings" + (f" with use={use}" if use else ""),
                           wanted="a row for each recording")
    return recordings


def _read_rows(list_path: Path) -> tuple[list[tuple[int, dict[str, str]]], list[str]]:
    """Line numbers with rows, and the columns; names in lower case, all values without surrounding blanks."""
    wanted = "columns file and label, for example: file,label,scene"
    try:
        text = list_path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DatasetError(f"no such list of recordings: {list_path}", wanted=f"a CSV file with {wanted}") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{list_path} is not UTF-8 text", wanted=f"a CSV file with {wanted}",
                           fix="Save it again as CSV (UTF-8).") from None
    header = text.partition("\n")[0]
    # A spreadsheet writes semicolons where the comma is the decimal sign.
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = [name.strip().lower() for name in next(reader, [])]
    for name in ("file", "label"):
        if name not in columns:
            raise DatasetError(f"{list_path} has no column `{name}`", found=", ".join(columns) or "an empty file",
                               wanted=wanted)
    rows = []
    for values in reader:
        if any(value.strip() for value in values):
            rows.append((reader.line_num, dict(zip(columns, (value.strip() for value in values), strict=False))))
    return rows, columns


def _parse(folder: Path, number: int, row: Mapping[str, str]) -> tuple[Recording | None, list[str]]:
    file, label = row.get("file", ""), row.get("label", "").lower()
    wrong = []
    if label not in LABELS:
        wrong.append(unknown_label(row.get("label", "")))
    use = row.get("use", "").lower() or None
    if use not in (None, *USES):
        wrong.append(f"use is {row['use']!r}, not train, test or empty")
    info: AudioInfo | None = None
    if not file:
        wrong.append("the column `file` is empty")
    else:
        try:
            info = audio_info(folder / file)
        except AudioError as error:
            wrong.append(str(error))
    usable_s = _usable_s(row.get("usable_seconds", ""), info.duration_s if info else 0.0)
    if usable_s is None:
        wrong.append(f"usable_seconds is {row['usable_seconds']!r}, not a number above 0")
    if wrong or usable_s is None:
        return None, wrong
    source_id = row.get("source_id") or Path(file).with_suffix("").as_posix()
    credits = {name: row[name] for name in CREDIT_COLUMNS if name in row}
    return Recording(row=number, file=file, path=folder / file, label=label, scene=row.get("scene") or label,
                     source_id=source_id, city=row.get("city") or source_id, use=use, usable_s=usable_s,
                     credits=credits), []


def _usable_s(text: str, duration_s: float) -> float | None:
    if not text:
        return duration_s
    try:
        seconds = float(text.replace(",", "."))
    except ValueError:
        return None
    return min(seconds, duration_s) if math.isfinite(seconds) and seconds > 0 else None


def _contradictions(recordings: Sequence[Recording]) -> list[str]:
    """What no row shows alone: a file listed twice, a source used for both training and test."""
    problems = []
    rows_of_file: dict[Path, list[int]] = defaultdict(list)
    uses_of_source: dict[str, dict[str, int]] = defaultdict(dict)
    for recording in recordings:
        rows_of_file[recording.path.resolve()].append(recording.row)
        if recording.use:
            uses_of_source[recording.source_id].setdefault(recording.use, recording.row)
    for path, rows in rows_of_file.items():
        if len(rows) > 1:
            problems.append(f"lines {', '.join(map(str, rows))}: the same file, {path.name}")
    for source_id, uses in uses_of_source.items():
        if len(uses) > 1:
            problems.append(f"lines {uses['train']}, {uses['test']}: source_id {source_id!r} is for training and for "
                            "test; one recording must not be in both")
    return problems
