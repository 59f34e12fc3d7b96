"""`edge-asc evaluate`: an ensemble's answers to a split of a data set, judged beside floors that need no network.

Computed here, printed by the command line. For a bundle nothing of TensorFlow is imported.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_asc.atomic import write_bytes, write_text
from edge_asc.data.dataset import TauDataset
from edge_asc.data.progress_bar import progress_bar
from edge_asc.data.tau_layout import Clip
from edge_asc.errors import DatasetError, MissingDependencyError
from edge_asc.train.batches import Windows, clamped_chunks
from edge_asc.train.floors import BandRegression, Float64, Floor, Frequencies, chance, judged
from edge_asc.train.metrics import Interval, Scores, bootstrap_interval, score
from edge_asc.train.predictors import Predictor, load_predictor
from edge_asc.train.run import LAST
from edge_asc.train.training_data import load_windows, number_recordings

SPLITS = ("train", "validation", "test")
OUTPUT, FIGURES = "output.csv", "evaluation.json"


@dataclass(frozen=True, kw_only=True)
class Level:
    """The figures when every window is louder or softer by `gain_db`."""

    gain_db: float
    scores: Scores
    floors: tuple[Floor, ...]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Answers and figures. Without labels there are answers only, and `scores` is None."""

    subject: str
    """What was judged, in words."""
    data: str
    """On what, in words."""
    clips: tuple[Clip, ...]
    labels: tuple[str, ...]
    probabilities: npt.NDArray[np.float64]
    """[n, n_labels], the mean over the members."""
    scores: Scores | None = None
    interval: Interval | None = None
    """Of the macro accuracy, over recordings."""
    members: Mapping[str, Scores] = field(default_factory=dict)
    floors: tuple[Floor, ...] = ()
    levels: tuple[Level, ...] = ()
    notes: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else belongs into the JSON."""

    def to_json(self) -> dict[str, Any]:
        """All figures, without the single answers."""
        return {"subject": self.subject, "data": self.data, "n_windows": len(self.clips),
                "n_recordings": len({clip.recording for clip in self.clips}), "labels": self.labels,
                "ensemble": self.scores and self.scores.to_json(), "interval": self.interval and vars(self.interval),
                "members": {name: scores.to_json() for name, scores in self.members.items()},
                "floors": [floor.to_json() for floor in self.floors],
                "levels": [{"gain_db": level.gain_db, "ensemble": level.scores.to_json(),
                            "floors": [floor.to_json() for floor in level.floors]} for level in self.levels],
                "notes": self.notes, **self.about}


def evaluate(path: str | Path, dataset_dir: str | Path, *, split: str = "validation", variant: str | None = None,
             weights: str = LAST, levels_db: Sequence[float] = (), with_floors: bool = True, engine: str = "auto",
             n_jobs: int | None = None, shown: bool = False,
             notify: Callable[[str], None] | None = None) -> Evaluation:
    """Asks the ensemble at `path` about every clip of a split and judges its answers.

    Args:
        path: A bundle or a training run.
        split: "train", "validation", or "test" (clips whose labels are not published).
        variant: Of a bundle; its default if None.
        weights: Of a run, as for `Run.weights`.
        levels_db: Gains at which to judge once more.
        with_floors: Also judge what needs no network; the regression is trained on the training split.
        engine: What computes a bundle, see `load_ensemble`.
        n_jobs: Processes for features that are not cached yet; None for one per core.
        shown: Show progress bars.
        notify: Told when a member does not run as asked for.

    Raises:
        InputError: `path` is neither bundle nor run.
        BundleError, TrainingError: It is damaged.
        DatasetError: The data set is damaged, or the split is empty.
    """
    predictor = load_predictor(path, variant=variant, weights=weights, engine=engine, notify=notify)
    dataset = TauDataset.load(dataset_dir)
    clips: list[Clip] = getattr(dataset, split)
    if not clips:
        raise DatasetError(f"{dataset.root} has no clips in its {split} split",
                           fix="The test split holds only clips without a published label; take --split validation."
                           if split == "test" else None)
    recordings = number_recordings([*dataset.train, *clips])

    def load(clips: Sequence[Clip]) -> Windows:
        return load_windows(clips, predictor.features, dataset.cache_dir, recordings=recordings, n_jobs=n_jobs,
                            shown=shown)

    windows = load(clips)
    by_member = ask(predictor, windows, shown=shown)
    notes = list(predictor.notes)
    if split == "train":
        notes.append("networks have usually been trained on this very split")
    labelled = bool((windows.labels >= 0).all())
    floors: list[Frequencies | BandRegression] = []
    if labelled and with_floors:
        floors, missing = train_floors(load(dataset.train), predictor)
        notes += missing
    evaluation = judge(by_member, windows, clips, subject=predictor.name, data=f"the {split} split of {dataset.root}",
                       members=predictor.members, labels=predictor.labels, notes=notes,
                       floors={floor.name: floor.probabilities(windows) for floor in floors})
    if not labelled:
        return evaluation
    levels = tuple(_level(predictor, windows, floors, gain_db, shown=shown) for gain_db in levels_db)
    return Evaluation(**{**vars(evaluation), "levels": levels})


def train_floors(train: Windows, predictor: Predictor) -> tuple[list[Frequencies | BandRegression], list[str]]:
    """What can be had without a network, and what could not be made because a package is missing."""
    n_labels = len(predictor.labels)
    frequencies = Frequencies(train, n_labels=n_labels)
    try:
        return [frequencies, BandRegression(train, predictor.features, n_labels=n_labels)], []
    except MissingDependencyError as error:
        return [frequencies], [str(error)]


def ask(predictor: Predictor, windows: Windows, *, gain_db: float = 0.0, shown: bool = False) -> Float64:
    """Probabilities [n_members, n, n_labels]."""
    found = []
    with progress_bar("answers", total=len(windows), shown=shown) as advance:
        for chunk in clamped_chunks(windows, predictor.features, gain_db=gain_db):
            found.append(predictor.predict(chunk))
            advance(len(chunk))
    return np.concatenate(found, axis=1).astype(np.float64)


def judge(by_member: Float64, windows: Windows, clips: Sequence[Clip], *, subject: str, data: str,
          members: Sequence[str], labels: tuple[str, ...], floors: Mapping[str, Float64], notes: Sequence[str] = (),
          about: Mapping[str, Any] | None = None) -> Evaluation:
    """Figures of answers that are there already.

    Args:
        by_member: [n_members, n, n_labels].
        floors: Name -> the answers [n, n_labels] of what is no network; chance is added.
    """
    mean = by_member.mean(axis=0)
    found = Evaluation(subject=subject, data=data, clips=tuple(clips), labels=labels, probabilities=mean,
                       notes=tuple(notes), about=about or {})
    truth = windows.labels
    if (truth < 0).any():
        return found
    scenes = [clip.scene for clip in clips]
    figures = {
        "scores": score(mean, truth, labels=labels, scenes=scenes),
        "interval": bootstrap_interval(mean, truth, windows.recordings),
        "members": {name: score(answers, truth, labels=labels)
                    for name, answers in zip(members, by_member, strict=True)},
        "floors": _floors(floors, truth, labels)}
    return Evaluation(**{**vars(found), **figures})


def save(evaluation: Evaluation, out_dir: str | Path) -> list[Path]:
    """Writes evaluation.json, output.csv and, where matplotlib is installed, pictures; returns what was written."""
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / FIGURES, json.dumps(evaluation.to_json(), indent=1) + "\n")
    write_text(folder / OUTPUT, challenge_output(evaluation))
    written = [folder / FIGURES, folder / OUTPUT]
    for name, png in _pictures(evaluation).items():
        write_bytes(folder / name, png)
        written.append(folder / name)
    return written


def challenge_output(evaluation: Evaluation) -> str:
    """The file that DCASE 2020 Task 1B asks for: tab-separated, a header, a row per clip with its probabilities."""
    text = io.StringIO()
    text.write("\t".join(["filename", "scene_label", *evaluation.labels]) + "\n")
    for clip, row in zip(evaluation.clips, evaluation.probabilities, strict=True):
        label = evaluation.labels[int(row.argmax())]
        text.write("\t".join([clip.filename, label, *(f"{value:.6f}" for value in row)]) + "\n")
    return text.getvalue()


def _pictures(evaluation: Evaluation) -> dict[str, bytes]:
    if evaluation.scores is None:
        return {}
    try:
        from edge_asc.train import plots
    except ImportError:
        return {}
    found = {"confusion.png": plots.confusion(evaluation.scores), "scenes.png": plots.scenes(evaluation.scores)}
    if evaluation.levels:
        points = {0.0: (evaluation.scores, evaluation.floors)}
        points |= {level.gain_db: (level.scores, level.floors) for level in evaluation.levels}
        found["levels.png"] = plots.levels(points)
    return found


def _level(predictor: Predictor, windows: Windows, floors: Sequence[Frequencies | BandRegression], gain_db: float, *,
           shown: bool) -> Level:
    answers = ask(predictor, windows, gain_db=gain_db, shown=shown).mean(axis=0)
    by_floor = {floor.name: floor.probabilities(windows, gain_db=gain_db) for floor in floors}
    return Level(gain_db=gain_db, scores=score(answers, windows.labels, labels=predictor.labels),
                 floors=_floors(by_floor, windows.labels, predictor.labels))


def _floors(answers: Mapping[str, Float64], truth: npt.NDArray[np.int64], labels: tuple[str, ...]) -> tuple[Floor, ...]:
    if not answers:
        return ()
    return (chance(len(labels)), *(judged(name, found, truth, labels=labels) for name, found in answers.items()))
