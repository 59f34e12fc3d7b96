"""The space of members: depths, widths and sparsities to train, precisions to convert to, and what of it cannot be."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from edge_asc.errors import RecipeError
from edge_asc.lab.tasks import Task, check, fixed_execution, single_member
from edge_asc.train.member_files import VARIANTS
from edge_asc.train.models import Architecture, build, kernels, parse_architecture
from edge_asc.train.recipe_parts import require

DEFAULT_SELECTION_FRACTION = 0.2
MAX_SPARSITY = 0.99


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What one member is, but for its seed."""

    architecture: Architecture
    sparsity: float


@dataclass(frozen=True, kw_only=True)
class Space:
    """All combinations of what is listed."""

    architectures: tuple[str, ...]
    """Depths; a width behind them multiplies with `widths`."""
    widths: tuple[float, ...] = (1.0,)
    sparsities: tuple[float, ...] = (0.8,)
    """Of every kernel, at the end of pruning; 0 is not pruned."""
    variants: tuple[str, ...] = ("int8-sparse", "float16-sparse", "float32-sparse")
    """What every trained member is converted to; that takes no training."""
    n_seeds: int = 1
    """Members of each kind."""

    def __post_init__(self) -> None:
        for name in ("architectures", "widths", "sparsities", "variants"):
            require(bool(getattr(self, name)), name, "none", "at least one")
        for sparsity in self.sparsities:
            require(0 <= sparsity <= MAX_SPARSITY, "sparsity", sparsity, f"from 0 to {MAX_SPARSITY}")
        for variant in self.variants:
            require(variant in VARIANTS, "variant", variant, f"one of {', '.join(VARIANTS)}")
        require(self.n_seeds >= 1, "seeds", self.n_seeds, "at least 1")
        self.kinds()

    def kinds(self) -> list[Kind]:
        """Every kind of member once, in the order of the lists."""
        made = {}
        for text in self.architectures:
            for width in self.widths:
                architecture = widened(parse_architecture(text), width)
                for sparsity in self.sparsities:
                    made[str(architecture), sparsity] = Kind(architecture=architecture, sparsity=sparsity)
        return list(made.values())


def widened(architecture: Architecture, width: float) -> Architecture:
    """The architecture at another width; refused as `parse_architecture` refuses it."""
    return parse_architecture(str(dataclasses.replace(architecture, width=round(architecture.width * width, 3))))


PAPER = Space(architectures=("V(0,0,1,1)", "V(2,2,3,3)", "V(4,4,5,5)", "I(1,0,1)", "I(2,1,2)", "I(3,2,3)"),
              widths=(0.5, 1.0), sparsities=(0.0, 0.5, 0.8, 0.9, 0.95))
"""The depths of the paper's Table 4 and what lies around its one sparsity."""
SMOKE = Space(architectures=("V(0,0,1,0)", "I(0,0,1)"), widths=(0.5, 1.0), sparsities=(0.0, 0.8),
              variants=("int8-sparse", "float32-sparse"))


def with_selection(base: Task) -> Task:
    """The task with recordings held out to choose ensembles on: a fifth, unless its recipe says how many."""
    training = base.recipe.training
    if training.selection_fraction:
        return base
    training = dataclasses.replace(training, selection_fraction=DEFAULT_SELECTION_FRACTION)
    return dataclasses.replace(base, recipe=dataclasses.replace(base.recipe, training=training))


def task_of(kind: Kind, base: Task, *, number: int = 0) -> Task:
    """The task that trains a member of this kind.

    Args:
        base: Data and recipe; its architecture, sparsity and seed are replaced.
        number: Which of several members of the kind: the seed counts up from that of `base`.
    """
    pruning = base.recipe.pruning
    pruning = dataclasses.replace(pruning, final_sparsity=kind.sparsity,
                                  initial_sparsity=min(pruning.initial_sparsity, kind.sparsity))
    architecture = str(kind.architecture)
    recipe = dataclasses.replace(single_member(base.recipe, architecture), pruning=pruning)
    return dataclasses.replace(base, recipe=recipe, seed=base.seed + number, execution=fixed_execution(architecture))


def grid(space: Space, base: Task) -> list[Task]:
    """A task for every member of the space.

    Raises:
        RecipeError, InputError: A member could never be trained, or pruning would leave nothing of one of its kernels.
    """
    kinds = space.kinds()
    require_possible(kinds, base)
    return [task_of(kind, base, number=number) for number in range(space.n_seeds) for kind in kinds]


def require_possible(kinds: Sequence[Kind], base: Task) -> None:
    """Refuses what could never be trained, and what pruning would leave a kernel without any weight."""
    features = base.recipe.features
    for kind in kinds:
        check(task_of(kind, base))
    smallest: dict[Architecture, tuple[int, str]] = {}
    for architecture in {kind.architecture: None for kind in kinds if kind.sparsity}:
        model = build(str(architecture), input_shape=(features.n_mels, features.n_frames, 1))
        smallest[architecture] = min((kernel.shape.num_elements(), name) for name, kernel in kernels(model).items())
    for kind in kinds:
        n_weights, name = smallest.get(kind.architecture, (1, ""))
        if round(n_weights * (1 - kind.sparsity)) < 1:
            raise RecipeError(f"{kind.architecture} pruned to {kind.sparsity:.0%} has nothing left of layer {name}",
                              found=f"{n_weights} weights", fix="Take a wider network or a smaller sparsity.")
