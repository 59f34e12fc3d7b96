"""How much of the paper is run: recipe, runs, clips and grid, in full or scaled down and stamped so.

`Plan` is what the tables are laid out from. A scaled plan says what it left out in every output.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_asc.data.dataset import TauDataset
from edge_asc.data.tau_layout import PUBLISHED
from edge_asc.errors import InputError, RecipeError
from edge_asc.lab.data import data_fingerprint
from edge_asc.lab.published import N_RUNS, TABLE4
from edge_asc.lab.tasks import Task, fixed_execution, single_member
from edge_asc.train.recipe_parts import BlockMixing, Pruning
from edge_asc.train.recipes import Recipe, load_recipe, override, scaled

SMOKE = "smoke"
GRID: Mapping[str, tuple[Any, ...]] = {
    "n_mels": (32, 48, 64), "n_fft": (1024, 2048, 4096),
    "n_segments": (2, 4, 5, 10), "match": ("scene", "label"),
    "architecture": tuple(TABLE4)}
"""What each of the paper's tables varies."""
N_TRACKS_PER_LABEL = 4000
_PAPERS_CLIPS = sum(PUBLISHED["train"].values()), sum(PUBLISHED["validation"].values())
UNPRUNED = Pruning(initial_sparsity=0.0, final_sparsity=0.0)
_WITH_SMOKE = ("training.batch_size=8", "training.learning_rate=1e-3", "training.final_learning_rate=1e-3",
               "training.norm_momentum=0.9", "training.windows_per_epoch=24", "training.balance=label")
_SMOKE_EPOCHS, _SMOKE_RUNS, _SMOKE_TRACKS = 3, 3, 6
_LEAST_RUNS = 2


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the tables are made of."""

    base: Recipe
    """The paper's training of one pruned member, without block mixing."""
    n_runs: int
    dataset: Path
    data_sha256: str
    data_share: float = 1.0
    n_tracks_per_label: int = N_TRACKS_PER_LABEL
    grid: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=lambda: dict(GRID))
    stamp: str = ""
    """What was left out; empty for the full experiment."""

    @property
    def mixing(self) -> BlockMixing:
        """What is added to the training clips where there is block mixing."""
        return dataclasses.replace(self.base.block_mixing, n_tracks_per_label=self.n_tracks_per_label)

    def task(self, architecture: str, *, seed: int, pruned: bool, mixing: BlockMixing | None = None,
             **changes: Any) -> Task:
        """One member.

        Args:
            seed: Its place among all members of all runs.
            mixing: Block-mixed tracks to add to the training clips.
            changes: Parts of the recipe to replace.
        """
        recipe = dataclasses.replace(self.base, pruning=self.base.pruning if pruned else UNPRUNED,
                                     block_mixing=mixing or BlockMixing(), **changes)
        return Task(recipe=single_member(recipe, architecture), seed=recipe.seed + 1 + seed, dataset=str(self.dataset),
                    data_sha256=self.data_sha256, data_share=self.data_share, execution=fixed_execution(architecture))


def make_plan(dataset: str | Path, *, scale: str | float = 1.0, n_runs: int | None = None,
              settings: Sequence[str] = (), grid: Sequence[str] = ()) -> Plan:
    """The paper's experiments on a data set.

    Args:
        scale: `smoke`, for a run through everything in minutes that says nothing about scenes; or a factor of the
            whole work: epochs, runs and clips each shrink by its cube root.
        n_runs: Instead of the paper's 10, or what the scale makes of them.
        settings: Changes of the recipe, as for `edge-asc train --set`.
        grid: Changes of what a table varies, such as `n_mels=32,48`.

    Raises:
        DatasetError: No data set in the published layout.
        InputError: An impossible scale or grid.
        RecipeError: An impossible setting, or one that the laboratory does not train by.
    """
    root = Path(dataset).resolve()
    recipe = load_recipe("paper-model1")
    varied = {**GRID, **dict(_varied(text) for text in grid)}
    data_share, n_tracks = 1.0, N_TRACKS_PER_LABEL
    if scale == SMOKE:
        recipe = override(scaled(recipe, _SMOKE_EPOCHS / recipe.training.epochs), _WITH_SMOKE)
        n_planned, n_tracks = _SMOKE_RUNS, _SMOKE_TRACKS
    else:
        root_of_scale = factor(scale) ** (1 / 3)
        recipe = scaled(recipe, root_of_scale) if root_of_scale != 1 else recipe
        n_planned, data_share = max(_LEAST_RUNS, round(N_RUNS * root_of_scale)), root_of_scale
        n_tracks = max(1, round(n_tracks * root_of_scale))
    recipe = override(recipe, settings)
    if recipe.quantization.enabled:
        raise RecipeError("the laboratory does not train with int8's rounding",
                          found=f"quantization.aware_epochs = {recipe.quantization.aware_epochs}", wanted="0",
                          fix="Leave it out; `edge-asc train` can do it.")
    clips = TauDataset.load(root)
    plan = Plan(base=single_member(recipe, dict(recipe.members).popitem()[1]), n_runs=n_runs or n_planned, dataset=root,
                data_sha256=data_fingerprint(clips), data_share=data_share, grid=varied,
                n_tracks_per_label=recipe.block_mixing.n_tracks_per_label or n_tracks)
    return dataclasses.replace(plan, stamp=_stamp(plan, scale, settings, (len(clips.train), len(clips.validation))))


def _stamp(plan: Plan, scale: str | float, settings: Sequence[str], n_clips: tuple[int, int]) -> str:
    """What differs from the paper, as one sentence; empty if nothing does.

    Args:
        n_clips: In the training and in the validation split.
    """
    paper, training = load_recipe("paper-model1").training, plan.base.training
    other_grids = [name for name in GRID if plan.grid[name] != GRID[name]]
    differences = {
        f"another data set ({n_clips[0]} + {n_clips[1]} clips)": n_clips != _PAPERS_CLIPS,
        f"{training.epochs} of {paper.epochs} epochs": training.epochs != paper.epochs,
        f"{plan.n_runs} of {N_RUNS} runs": plan.n_runs != N_RUNS,
        f"{plan.data_share:.0%} of the clips": plan.data_share != 1,
        f"{plan.n_tracks_per_label} of {N_TRACKS_PER_LABEL} mixed tracks per label":
            plan.n_tracks_per_label != N_TRACKS_PER_LABEL,
        f"{training.windows_per_epoch} windows per epoch": training.windows_per_epoch > 0,
        f"another grid of {' and '.join(other_grids)}": bool(other_grids)}
    found = [text for text, differs in differences.items() if differs] + list(settings)
    return f"SCALED ({scale}): {', '.join(found)}. These figures are not the paper's experiment." if found else ""


def factor(scale: str | float) -> float:
    """The number that is meant.

    Raises:
        InputError: It is none, or not above 0 and up to 1.
    """
    try:
        number = float(scale)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1:
        raise InputError("impossible scale", found=scale, wanted=f"{SMOKE}, or a number above 0 and up to 1")
    return number


def _varied(text: str) -> tuple[str, tuple[Any, ...]]:
    """`n_mels=32,48` or `architecture=V(0,0,1,1),I(1,0,1)`: a comma within brackets belongs to the value."""
    name, _, values = text.partition("=")
    name = name.strip()
    found = dict.fromkeys(value.strip() for value in re.split(r",(?![^(]*\))", values) if value.strip())
    if name not in GRID or not found:
        raise InputError("a grid that cannot be read", found=repr(text),
                         wanted=f"NAME=VALUE,VALUE,... with one of {', '.join(GRID)}")
    try:
        return name, tuple(type(GRID[name][0])(value) for value in found)
    except ValueError:
        raise InputError(f"impossible value in the grid of {name}", found=repr(values),
                         wanted="whole numbers") from None

