"""A run directory: `run.json` says what is trained on what, `members/<name>/` holds each member's files.

    run.json                        recipe, seeds, data fingerprint, versions, platform
    members/v1/state.json           written last: this member is finished
    members/v1/last.keras           the plain network after the last epoch, masked weights exactly zero
    members/v1/best_on_validation.keras     the epoch at final sparsity that did best on the validation split, and
    members/v1/best_on_selection.keras      on the selection split, where the recipe holds one out
    members/v1/validation.npz       the probabilities of all of them on that split; selection.npz where there is one
    members/v1/history.csv, curves.png, tensorboard/, checkpoint/
    members/v1/aware/               if the recipe has aware_epochs: last.keras fine-tuned, and the ranges for int8
    results.json                    members and ensemble on the validation split
"""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from edge_asc import __version__
from edge_asc.atomic import write_text
from edge_asc.errors import TrainingError
from edge_asc.train.recipes import Recipe, from_mapping

FORMAT = 1
LAST, BEST, AWARE = "last", "best", "aware"
"""Weights of a run: after the last epoch, the first of `BESTS` that it has, and fine-tuned with int8's rounding."""
BEST_ON_SELECTION, BEST_ON_VALIDATION = BESTS = "best_on_selection", "best_on_validation"
"""Of the best epoch at final sparsity. The second is the paper's rule, which flatters on the clips that chose."""
_HOW_TO_GET = {
    AWARE: "Train with --set quantization.aware_epochs=20.",
    BEST_ON_SELECTION: "Train with --set training.selection_fraction=0.2.",
    BEST_ON_VALIDATION: "The run is of an earlier version, which kept it only where nothing was held out; train anew."}
RANGES = "ranges.npz"
_PACKAGES = ("tensorflow", "tf-keras", "tensorflow-model-optimization", "numpy", "librosa", "soxr")


@dataclass(frozen=True, kw_only=True)
class Run:
    """An existing run directory."""

    path: Path
    recipe: Recipe
    about: Mapping[str, Any]
    """All of run.json."""

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """Reads `run.json`.

        Raises:
            TrainingError: There is none, it is damaged or of another version.
        """
        root = Path(path)
        try:
            about = json.loads((root / "run.json").read_text(encoding="utf-8"))
            if about["format"] != FORMAT:
                raise TrainingError(f"{root} was written by another version", found=f"format {about['format']}",
                                    wanted=FORMAT, fix="Train again with this version.")
            return cls(path=root, recipe=from_mapping(about["recipe"]), about=about)
        except (FileNotFoundError, NotADirectoryError):
            raise TrainingError(f"{root} is not a training run", wanted="a folder with run.json",
                                fix="Make one: edge-asc train DATASET --recipe demo -o RUN") from None
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise TrainingError(f"{root / 'run.json'} is damaged: {error!r}") from error

    def folder(self, member: str) -> Path:
        """Where a member's files are."""
        return self.path / "members" / member

    def state(self, member: str) -> dict[str, Any] | None:
        """What a finished member says of itself; None while it is unfinished."""
        path = self.folder(member) / "state.json"
        if not path.is_file():
            return None
        state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return state

    @property
    def finished(self) -> list[str]:
        """Names of finished members, in the recipe's order."""
        return [name for name, _ in self.recipe.members if self.state(name) is not None]

    def weights(self, member: str, which: str = LAST) -> str:
        """Which weights of a finished member are meant: `best` is the best epoch on the selection split if there is
        one, else on the validation split; all others are what they are called.

        Raises:
            TrainingError: The member is not finished, or has no such weights.
        """
        state = self.state(member)
        if state is None:
            raise TrainingError(f"member {member} of {self.path} is not finished",
                                fix="Run the same `edge-asc train` again: it goes on where it stopped.")
        found = kept(state)
        if which == BEST:
            return next(name for name in BESTS if name in found)
        if which not in found:
            raise TrainingError(f"member {member} of {self.path} has no weights {which}", found=", ".join(found),
                                fix=_HOW_TO_GET.get(which))
        return which

    def model_path(self, member: str, which: str = LAST) -> Path:
        """The .keras file of a finished member, with the weights that `weights` names.

        Raises:
            TrainingError: The member is not finished, or has no such weights.
        """
        which = self.weights(member, which)
        return self.folder(member) / (f"{AWARE}/{LAST}.keras" if which == AWARE else f"{which}.keras")

    @property
    def usual_weights(self) -> str:
        """Those that are converted unless others are asked for: `aware` where there are such."""
        return AWARE if self.recipe.quantization.enabled else LAST


def kept(state: Mapping[str, Any]) -> list[str]:
    """The weights that a finished member has, by its `state.json`."""
    return [name for name in (LAST, *BESTS, AWARE) if name in state]


def open_run(path: Path, recipe: Recipe, data: Mapping[str, Any], *,
             execution: Callable[[], Mapping[str, Any]] = dict) -> Run:
    """Starts a run in an empty folder, or takes one up again that has the same recipe and data.

    Args:
        execution: Asked, when a run starts, how its steps are to be computed; a run keeps to the answer.

    Raises:
        TrainingError: The folder holds something else.
    """
    if not (path / "run.json").exists():
        if any(not entry.name.startswith(".") for entry in path.iterdir()):
            raise TrainingError(f"{path} is not empty and not a training run", fix="Name another folder with -o.")
        members = {name: {"architecture": architecture, "seed": recipe.member_seed(name)}
                   for name, architecture in recipe.members}
        write_json(path / "run.json", {"format": FORMAT, "recipe": recipe.to_json(), "members": members,
                                       "features": recipe.features.to_json(), "data": data,
                                       "execution": execution(), "made_with": made_with()})
    run = Run.load(path)
    differences = _differences(run.recipe.to_json(), recipe.to_json())
    if differences:
        raise TrainingError(f"{path} was begun with another recipe", found=", ".join(differences),
                            fix="Give the same recipe and settings to go on, or name another folder with -o.")
    if run.about["data"]["sha256"] != data["sha256"]:
        raise TrainingError(f"{path} was begun with other data", found=f"sha256 {data['sha256'][:12]}...",
                            wanted=f"{run.about['data']['sha256'][:12]}...",
                            fix="Give the same data set to go on, or name another folder with -o.")
    return run


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """In one step, for people to read too."""
    write_text(path, json.dumps(values, indent=1) + "\n")


def made_with() -> dict[str, Any]:
    """Versions, machine and, in a checkout, the commit."""
    versions = {"edge-asc": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {"versions": versions, "platform": platform.platform(), "git": _git_state()}


def _git_state() -> str | None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".")
        return git("rev-parse", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [difference for key in {**old, **new}
                for difference in _differences(old.get(key), new.get(key), f"{name}.{key}".lstrip("."))]
    old, new = (list(value) if isinstance(value, tuple) else value for value in (old, new))
    return [] if old == new else [f"{name} = {new!r} (was {old!r})"]
