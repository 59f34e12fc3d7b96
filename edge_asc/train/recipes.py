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
from edge_asc.train.recipe_parts import (
    Augmentation,
    BlockMixing,
    Distillation,
    Pruning,
    Quantization,
    Training,
    require,
)

RECIPES_DIR = Path(__file__).parent / "recipes"


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
    quantization: Quantization = field(default_factory=Quantization)
    distillation: Distillation = field(default_factory=Distillation)
    block_mixing: BlockMixing = field(default_factory=BlockMixing)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        require(bool(self.members), "members", "none", "at least one, such as v1 = \"V(2,2,3,3)\"")
        require(self.seed >= 0, "seed", self.seed, "at least 0")
        if self.pruning.enabled:
            require(self.pruning.end_epoch < self.training.epochs, "pruning.end_epoch", self.pruning.end_epoch,
                    f"less than training.epochs ({self.training.epochs}), so that pruned weights are trained",
                    fix="To change the length of training, scale epochs and pruning together: --scale 0.1")

    def member_seed(self, name: str) -> int:
        """The seed of one member: distinct, and the same whichever members are trained along."""
        return self.seed + 1 + [member for member, _ in self.members].index(name)

    def to_json(self) -> dict[str, Any]:
        """A plain mapping that `from_mapping` reads back."""
        values: dict[str, Any] = dataclasses.asdict(self)
        values["members"] = dict(self.members)
        return values


_SIMPLE = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
_SECTIONS = {"training": Training, "pruning": Pruning, "quantization": Quantization, "distillation": Distillation,
             "block_mixing": BlockMixing, "augmentation": Augmentation}


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
            require(isinstance(value, Mapping), key, repr(value), "a table of names and architectures")
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


def scaled(recipe: Recipe, factor: float) -> Recipe:
    """The recipe made shorter or longer: epochs and the pruning schedule keep their proportions.

    Epochs are rounded and never fewer than 1, or 3 with pruning, so that something is trained before, during and
    after it. The number of pruning steps is kept as long as there is an epoch for each.

    Raises:
        RecipeError: The factor is not above 0.
    """
    require(0 < factor < float("inf"), "scale", factor, "a number above 0")
    training, pruning = recipe.training, recipe.pruning
    epochs = max(3 if pruning.enabled else 1, round(training.epochs * factor))
    if pruning.enabled:
        begin = min(round(pruning.begin_epoch * factor), epochs - 2)
        every = max(1, min(round(pruning.every_epochs * factor), epochs - 1 - begin))
        n_steps = round((pruning.end_epoch - pruning.begin_epoch) * factor / every)
        n_steps = max(1, min(n_steps, (epochs - 1 - begin) // every))
        pruning = dataclasses.replace(pruning, begin_epoch=begin, every_epochs=every, end_epoch=begin + n_steps * every)
    aware = recipe.quantization
    if aware.enabled:
        aware = dataclasses.replace(aware, aware_epochs=max(1, round(aware.aware_epochs * factor)))
    return dataclasses.replace(recipe, training=dataclasses.replace(training, epochs=epochs), pruning=pruning,
                               quantization=aware)


def _section(kind: type, section: str, values: Any) -> Any:
    require(isinstance(values, Mapping), section, repr(values), "a table")
    hints = get_type_hints(kind)
    for key in values:
        _known(kind, key, f"{section}.{key}")
    return kind(**{key: _typed(f"{section}.{key}", value, hints[key]) for key, value in values.items()})


def _features(values: Any) -> FeatureSpec:
    require(isinstance(values, Mapping), "features", repr(values), "a table")
    try:
        return FeatureSpec.from_json(FeatureSpec().to_json() | dict(values))
    except InputError as error:
        raise RecipeError(f"in features: {error}") from None


def _typed(name: str, value: Any, kind: Any) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    if kind in _SIMPLE:
        require(type(value) is kind, name, repr(value), _SIMPLE[kind])
        return value
    require(isinstance(value, (list, tuple)), name, repr(value), "a list of numbers")
    return tuple(_typed(name, item, float) for item in value)


def _known(kind: type, key: str, name: str) -> None:
    names = [item.name for item in dataclasses.fields(kind)]
    if key not in names:
        raise RecipeError("unknown key in a recipe", found=name, wanted=f"one of {', '.join(names)}")
