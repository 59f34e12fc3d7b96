"""Training recipes: TOML files read into frozen dataclasses whose defaults are the paper's values.

A recipe holds every number of a run: nothing that shapes a model is hidden in code. Unknown keys and impossible
values are errors; single values are changed with `override(recipe, ["training.epochs=5"])`.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from edge_asc.errors import InputError, RecipeError
from edge_asc.spec import FeatureSpec

RECIPES_DIR = Path(__file__).parent / "recipes"
BALANCES = ("none", "label", "label_and_recording")


@dataclass(frozen=True, kw_only=True)
class Training:
    """Optimiser, length and sampling."""

    epochs: int = 400
    batch_size: int = 128
    learning_rate: float = 1e-4
    final_learning_rate: float = 1e-4
    """Reached at the end by half a cosine; equal to `learning_rate` for a constant rate."""
    l2: float = 1e-3
    dropout: float = 0.5
    norm_momentum: float = 0.99
    """Of BatchNorm's moving statistics; a run of few steps needs less."""
    balance: str = "none"
    """What an epoch draws evenly: `none` (each window once), `label`, or `label_and_recording`."""
    windows_per_epoch: int = 0
    """Windows drawn for one epoch; 0 for as many as there are."""
    validate_every_epochs: int = 1
    selection_fraction: float = 0.0
    """Part of the training recordings held out to choose the best epoch; 0 chooses on the reported split."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "validate_every_epochs"):
            _require(getattr(self, name) >= 1, f"training.{name}", getattr(self, name), "at least 1")
        for name in ("learning_rate", "final_learning_rate"):
            _require(getattr(self, name) > 0, f"training.{name}", getattr(self, name), "above 0")
        for name in ("dropout", "norm_momentum", "selection_fraction"):
            _require(0 <= getattr(self, name) < 1, f"training.{name}", getattr(self, name), "from 0 to below 1")
        _require(self.l2 >= 0, "training.l2", self.l2, "at least 0")
        _require(self.windows_per_epoch >= 0, "training.windows_per_epoch", self.windows_per_epoch, "at least 0")
        _require(self.balance in BALANCES, "training.balance", self.balance, " or ".join(BALANCES))


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """The paper's schedule (section 2.4): sparsity grows with the third power, a step every few epochs."""

    initial_sparsity: float = 0.1
    final_sparsity: float = 0.8
    """0 trains without pruning."""
    begin_epoch: int = 100
    """Epochs finished when the first weights are zeroed."""
    end_epoch: int = 300
    """Epochs finished when the final sparsity is reached."""
    every_epochs: int = 10

    def __post_init__(self) -> None:
        for name in ("initial_sparsity", "final_sparsity"):
            _require(0 <= getattr(self, name) < 1, f"pruning.{name}", getattr(self, name), "from 0 to below 1")
        if not self.enabled:
            return
        _require(self.initial_sparsity <= self.final_sparsity, "pruning.initial_sparsity", self.initial_sparsity,
                 f"at most final_sparsity ({self.final_sparsity:g})")
        _require(self.every_epochs >= 1, "pruning.every_epochs", self.every_epochs, "at least 1")
        _require(self.begin_epoch >= 0, "pruning.begin_epoch", self.begin_epoch, "at least 0")
        span = self.end_epoch - self.begin_epoch
        _require(span > 0 and span % self.every_epochs == 0, "pruning.end_epoch", self.end_epoch,
                 f"begin_epoch ({self.begin_epoch}) and a whole number of steps of {self.every_epochs} epochs")

    @property
    def enabled(self) -> bool:
        """Whether anything is pruned at all."""
        return self.final_sparsity > 0

    def is_due(self, epoch: int) -> bool:
        """Whether masks are made anew at the start of `epoch`, counted from 0."""
        return (self.enabled and self.begin_epoch <= epoch <= self.end_epoch
                and (epoch - self.begin_epoch) % self.every_epochs == 0)

    def sparsity(self, epoch: int) -> float:
        """s_f + (s_i - s_f) * (1 - (t - t0) / (n dt))^3 at the last update t up to `epoch`; 0 before the first."""
        if not self.enabled or epoch < self.begin_epoch:
            return 0.0
        last = min(epoch, self.end_epoch) - self.begin_epoch
        done = last // self.every_epochs * self.every_epochs / (self.end_epoch - self.begin_epoch)
        return self.final_sparsity + (self.initial_sparsity - self.final_sparsity) * (1 - done) ** 3


@dataclass(frozen=True, kw_only=True)
class BlockMixing:
    """Extra training clips put together from segments of clips with the same label (section 2.2)."""

    n_tracks_per_label: int = 0
    """0 for none; the paper takes 4000."""
    n_segments: int = 10
    match: str = "label"
    """What the segments of a track share: the coarse `label` or the fine `scene`."""
    share: float = 0.5
    """Part of an epoch drawn from mixed tracks; only where `training.balance` draws."""

    def __post_init__(self) -> None:
        _require(self.n_tracks_per_label >= 0, "block_mixing.n_tracks_per_label", self.n_tracks_per_label, "at least 0")
        _require(self.n_segments in (2, 4, 5, 10), "block_mixing.n_segments", self.n_segments, "2, 4, 5 or 10")
        _require(self.match in ("label", "scene"), "block_mixing.match", self.match, "label or scene")
        _require(0 <= self.share <= 1, "block_mixing.share", self.share, "from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Changes of level and colour, drawn anew for every window of every epoch and added in dB before the clamp."""

    gain_db: tuple[float, ...] = ()
    """Lowest and highest gain; empty for none."""
    low_pass_hz: tuple[float, ...] = ()
    """Lowest and highest corner frequency; empty for none."""
    low_pass_probability: float = 0.5
    equaliser_db: float = 0.0
    """Largest deviation of a smooth random curve over the bands; 0 for none."""

    def __post_init__(self) -> None:
        for name in ("gain_db", "low_pass_hz"):
            value = getattr(self, name)
            _require(not value or (len(value) == 2 and value[0] <= value[1]), f"augmentation.{name}", list(value),
                     "two numbers, the lower first, or an empty list")
        _require(0 <= self.low_pass_probability <= 1, "augmentation.low_pass_probability",
                 self.low_pass_probability, "from 0 to 1")
        _require(self.equaliser_db >= 0, "augmentation.equaliser_db", self.equaliser_db, "at least 0")

    @property
    def enabled(self) -> bool:
        """Whether any window is changed."""
        return bool(self.gain_db or self.low_pass_hz or self.equaliser_db)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All numbers of a training run."""

    name: str
    description: str = ""
    seed: int = 2020
    """Data order, block mixing and, with a member's place in the list, its initial weights come from it."""
    members: tuple[tuple[str, str], ...]
    """Pairs of name and architecture, such as ("v1", "V(2,2,3,3)")."""
    features: FeatureSpec = field(default_factory=FeatureSpec)
    training: Training = field(default_factory=Training)
    pruning: Pruning = field(default_factory=Pruning)
    block_mixing: BlockMixing = field(default_factory=BlockMixing)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        _require(bool(self.members), "members", "none", "at least one, such as v1 = \"V(2,2,3,3)\"")
        _require(self.seed >= 0, "seed", self.seed, "at least 0")
        if self.pruning.enabled:
            _require(self.pruning.end_epoch < self.training.epochs, "pruning.end_epoch", self.pruning.end_epoch,
                     f"less than training.epochs ({self.training.epochs}), so that pruned weights are trained")

    def member_seed(self, name: str) -> int:
        """The seed of one member: distinct, and the same whichever members are trained along."""
        return self.seed + 1 + [member for member, _ in self.members].index(name)

    def to_json(self) -> dict[str, Any]:
        """A plain mapping that `from_mapping` reads back."""
        values: dict[str, Any] = dataclasses.asdict(self)
        values["members"] = dict(self.members)
        return values


_SECTIONS = {"training": Training, "pruning": Pruning, "block_mixing": BlockMixing, "augmentation": Augmentation}


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(path.stem for path in RECIPES_DIR.glob("*.toml"))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Reads a recipe that comes with the package, by name, or a TOML file.

    Raises:
        RecipeError: No such recipe, not TOML, an unknown key or an impossible value.
    """
    shipped = RECIPES_DIR / f"{name_or_path}.toml"
    path = shipped if shipped.is_file() else Path(name_or_path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise RecipeError("no such recipe", found=str(name_or_path),
                          wanted=f"a TOML file or one of {', '.join(recipe_names())}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not TOML: {error}") from None
    return from_mapping({"name": path.stem} | values)


def from_mapping(values: Mapping[str, Any]) -> Recipe:
    """A recipe from parsed TOML or from `Recipe.to_json`.

    Raises:
        RecipeError: An unknown key or an impossible value.
    """
    parts: dict[str, Any] = {}
    for key, value in values.items():
        if key in _SECTIONS:
            parts[key] = _section(_SECTIONS[key], key, value)
        elif key == "features":
            parts[key] = _features(value)
        elif key == "members":
            _require(isinstance(value, Mapping), key, repr(value), "a table of names and architectures")
            parts[key] = tuple((str(name), _typed(f"members.{name}", text, str)) for name, text in value.items())
        else:
            _known(Recipe, key, key)
            parts[key] = _typed(key, value, get_type_hints(Recipe)[key])
    return Recipe(**{"name": "unnamed", "members": ()} | parts)


def override(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe with some values replaced.

    Args:
        settings: Each `section.key=value` (or `seed=1`); the value as in TOML, quotes around text may be left out.

    Raises:
        RecipeError: Not of that form, an unknown key or an impossible value.
    """
    values = recipe.to_json()
    for setting in settings:
        name, equals, text = setting.partition("=")
        section, _, key = name.strip().rpartition(".")
        if not equals or not key or (section and not isinstance(values.get(section), dict)):
            raise RecipeError("a setting that cannot be read", found=repr(setting),
                              wanted="section.key=value, for example training.epochs=5")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()
        (values[section] if section else values)[key] = value
    return from_mapping(values)


def _section(kind: type, section: str, values: Any) -> Any:
    _require(isinstance(values, Mapping), section, repr(values), "a table")
    hints = get_type_hints(kind)
    for key in values:
        _known(kind, key, f"{section}.{key}")
    return kind(**{key: _typed(f"{section}.{key}", value, hints[key]) for key, value in values.items()})


def _features(values: Any) -> FeatureSpec:
    _require(isinstance(values, Mapping), "features", repr(values), "a table")
    try:
        return FeatureSpec.from_json(FeatureSpec().to_json() | dict(values))
    except InputError as error:
        raise RecipeError(f"in features: {error}") from None


def _typed(name: str, value: Any, kind: Any) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    if kind in (int, float, str):
        _require(type(value) is kind, name, repr(value), {int: "a whole number", float: "a number", str: "text"}[kind])
        return value
    _require(isinstance(value, (list, tuple)), name, repr(value), "a list of numbers")
    return tuple(_typed(name, item, float) for item in value)


def _known(kind: type, key: str, name: str) -> None:
    names = [item.name for item in dataclasses.fields(kind)]
    if key not in names:
        raise RecipeError("unknown key in a recipe", found=name, wanted=f"one of {', '.join(names)}")


def _require(ok: bool, name: str, found: object, wanted: str) -> None:
    if not ok:
        raise RecipeError(f"impossible recipe value {name}", found=found, wanted=wanted)
