"""A user's own long recordings, cut into the layout of TAU Urban Acoustic Scenes 2020 3Class.

Everything is planned first, what is not there yet is cut, and the tables come last: a folder whose import was killed
is not a data set, and running the import again goes on where it stopped. `import.json` says which clip came from
where; it tells a finished clip from an outdated one.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_asc import atomic
from edge_asc.data.clip_cutting import cut, is_complete
from edge_asc.data.dataset import IMPORT_STATE, TauDataset, listed
from edge_asc.data.folder_lock import sole_writer, sweep
from edge_asc.data.import_plan import ClipPlan, ImportSettings, plan_clips
from edge_asc.data.progress_bar import progress_bar
from edge_asc.data.recordings_csv import read_recordings
from edge_asc.data.splitting import held_out_recordings
from edge_asc.data.tau_layout import DEVICE, META, SAMPLE_RATE_HZ, SETUP, write_table
from edge_asc.errors import AudioError, DatasetError
from edge_asc.spec import LABELS

CREDITS = "CREDITS.csv"
_STATE_VERSION = 1
_SPLITS = ("train", "validation")

Made = Sequence[tuple[ClipPlan, Sequence[str]]]
"""Each plan with the clips that came of it."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import made."""

    root: Path
    clips: Mapping[str, Mapping[str, int]]
    """Split (train, validation) -> label -> clips."""
    recordings: Mapping[str, Mapping[str, int]]
    n_cut: int
    n_kept: int
    """Clips that an earlier, unfinished or equal import had made."""
    notes: tuple[str, ...]
    """What the user should know: recordings left out, clips limited, labels that cannot be tested."""


def import_recordings(list_path: str | Path, out_dir: str | Path, *, settings: ImportSettings | None = None,
                      progress: bool = False) -> Imported:
    """Cuts the recordings of a list into clips and writes the tables of a data set around them.

    Args:
        list_path: CSV, see recordings_csv.py.
        out_dir: A new or empty folder, or one that an earlier import made: finished clips of unchanged recordings
            are kept, those of recordings no longer listed are removed.
        settings: Defaults to 10 s clips end to end, 24 bits, 30 % of each label held out.
        progress: Show a bar on stderr.

    Raises:
        DatasetError: The list or a recording cannot be used (all are named), the folder holds something else, or
            a label would have clips to test but none to train on.
        OSError: The disk is full; what is finished is kept.
    """
    settings, out_dir = settings or ImportSettings(), Path(out_dir)
    _require_own(out_dir)
    plans, short = plan_clips(read_recordings(list_path, use=settings.use), settings)
    splits = _split(plans, settings)
    notes = [f"left out, shorter than a clip: {recording.file} ({recording.usable_s:.1f} s)" for recording in short]
    notes += _notes_on_split(plans, splits)
    with sole_writer(out_dir, wait=False):
        (out_dir / "audio").mkdir(exist_ok=True)
        sweep(out_dir / "audio")
        _retire(out_dir, plans)
        _write_state(out_dir, plans, settings)
        n_kept = sum(is_complete(out_dir / name, settings) for plan in plans for name in plan.names)
        notes += _cut_all(out_dir, plans, settings, progress=progress)
        made = [(plan, [name for name in plan.names if is_complete(out_dir / name, settings)]) for plan in plans]
        _write_tables(out_dir, made, splits)
    TauDataset.load(out_dir)
    n_clips = sum(len(names) for _, names in made)
    return Imported(root=out_dir, n_cut=n_clips - n_kept, n_kept=n_kept, notes=tuple(notes),
                    clips=_tally([(splits[plan.recording.source_id], plan, len(names)) for plan, names in made]),
                    recordings=_tally([(splits[plan.recording.source_id], plan, 1) for plan in plans]))


def _require_own(out_dir: Path) -> None:
    """The folder is new, empty, or from an earlier import."""
    if out_dir.exists() and not out_dir.is_dir():
        raise DatasetError(f"{out_dir} is not a folder", fix="Name a new one with -o.")
    if out_dir.is_dir() and not (out_dir / IMPORT_STATE).exists():
        strangers = [path.name for path in out_dir.iterdir() if path.name not in (".lock", "audio")]
        strangers += [path.name for path in (out_dir / "audio").glob("[!.]*")]
        if strangers:
            raise DatasetError(f"{out_dir} holds something that no import has made",
                               found=", ".join(sorted(strangers)[:5]), wanted="a new or empty folder",
                               fix="Name another folder with -o.")


def _split(plans: Sequence[ClipPlan], settings: ImportSettings) -> dict[str, str]:
    """Source -> train or validation: as its rows say, or drawn by label."""
    splits: dict[str, str] = {}
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for plan in plans:
        source, use = plan.recording.source_id, plan.recording.use
        if use and not settings.use:
            splits[source] = "validation" if use == "test" else "train"
        labels[source][plan.recording.label] += len(plan.names)
    undecided = {source: (counts.most_common(1)[0][0], float(counts.total())) for source, counts in labels.items()
                 if source not in splits}
    held = held_out_recordings(undecided, fraction=settings.test_fraction, seed=settings.seed)
    return splits | {source: "validation" if source in held else "train" for source in undecided}


def _notes_on_split(plans: Sequence[ClipPlan], splits: Mapping[str, str]) -> list[str]:
    labels: dict[str, set[str]] = {split: set() for split in _SPLITS}
    for plan in plans:
        labels[splits[plan.recording.source_id]].add(plan.recording.label)
    if untrained := sorted(labels["validation"] - labels["train"]):
        raise DatasetError(f"nothing to train {' and '.join(untrained)} on", found="recordings to test on only",
                           wanted="recordings of each label in both parts",
                           fix="Change the column `use`, or add recordings. Nothing was written.")
    notes = []
    if absent := [label for label in LABELS if label not in labels["train"]]:
        notes.append(f"no recordings of {' and '.join(absent)}: training needs all of {', '.join(LABELS)}")
    if labels["validation"] and (untested := sorted(labels["train"] - labels["validation"])):
        notes.append(f"nothing to test {' and '.join(untested)} on: that takes a second recording (another source_id)")
    return notes


def _retire(out_dir: Path, plans: Sequence[ClipPlan]) -> None:
    """Removes the tables of an earlier import, and its clips that came from other sound or were cut another way."""
    try:
        state = json.loads((out_dir / IMPORT_STATE).read_text(encoding="utf-8"))
        earlier = {name: entry["key"] for entry in state["recordings"] for name in entry["clips"]}
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DatasetError(f"{out_dir / IMPORT_STATE} is damaged", fix="Remove the folder and import again.") from None
    wanted = {name: plan.key for plan in plans for name in plan.names}
    for name in (SETUP["train"], SETUP["validation"], SETUP["test"], META, CREDITS):
        (out_dir / name).unlink(missing_ok=True)
    for name, key in earlier.items():
        if wanted.get(name) != key and re.fullmatch(rf"audio/[\w-]+-{DEVICE}\.wav", name):
            (out_dir / name).unlink(missing_ok=True)


def _write_state(out_dir: Path, plans: Sequence[ClipPlan], settings: ImportSettings) -> None:
    entries = [{"file": plan.recording.file, "source_id": plan.recording.source_id, "identifier": plan.identifier,
                "label": plan.recording.label, "scene": plan.scene, "key": plan.key, "clips": list(plan.names),
                "starts_s": [start / SAMPLE_RATE_HZ for start in plan.starts]} for plan in plans]
    state = {"made_by": "edge-asc dataset import", "version": _STATE_VERSION,
             "settings": dataclasses.asdict(settings), "recordings": entries}
    atomic.write_text(out_dir / IMPORT_STATE, json.dumps(state, indent=1))


def _cut_all(out_dir: Path, plans: Sequence[ClipPlan], settings: ImportSettings, *, progress: bool) -> list[str]:
    """Cuts what is missing and returns what is worth saying about it; one bad recording does not stop the others."""
    notes, failures = [], []
    todo = [plan for plan in plans if not all(is_complete(out_dir / name, settings) for name in plan.names)]
    total = sum(len(plan.names) for plan in plans)
    done = total - sum(len(plan.names) for plan in todo)
    with progress_bar("importing", total=total, done=done, shown=progress) as advance:
        for plan in todo:
            try:
                notes += cut(out_dir, plan, settings)
            except AudioError as error:
                failures.append(f"line {plan.recording.row}, {plan.recording.file}: {error}")
            advance(len(plan.names))
    if failures:
        raise DatasetError(f"{len(failures)} of {len(plans)} recordings cannot be read to the end:"
                           + listed(failures, all_of_them=True)
                           + "\nThe other clips are finished and kept. Repair or remove these rows, or end before the "
                             "bad place with usable_seconds, and run the same command again.")
    return notes


def _write_tables(out_dir: Path, made: Made, splits: Mapping[str, str]) -> None:
    """The published tables and the credits; fold1_train.csv last, since `load` takes its absence for a half import."""
    rows: dict[str, list[tuple[str, str]]] = {split: [] for split in _SPLITS}
    for plan, names in made:
        rows[splits[plan.recording.source_id]] += [(name, plan.recording.label) for name in names]
    columns = list(dict.fromkeys(name for plan, _ in made for name in plan.recording.credits))
    if columns:
        write_table(out_dir / CREDITS, ["identifier", "file", "source_id", *columns, "n_clips"],
                    [[plan.identifier, plan.recording.file, plan.recording.source_id,
                      *(plan.recording.credits.get(name, "") for name in columns), len(names)]
                     for plan, names in made], delimiter=",")
    write_table(out_dir / META, ["filename", "scene_label", "identifier", "source_label"],
                [[name, plan.recording.label, plan.identifier, DEVICE] for plan, names in made for name in names])
    write_table(out_dir / SETUP["test"], ["filename"], [[name] for name, _ in rows["validation"]])
    write_table(out_dir / SETUP["validation"], ["filename", "scene_label"], rows["validation"])
    write_table(out_dir / SETUP["train"], ["filename", "scene_label"], rows["train"])


def _tally(items: Sequence[tuple[str, ClipPlan, int]]) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {split: Counter() for split in _SPLITS}
    for split, plan, n in items:
        counts[split][plan.recording.label] += n
    return counts
