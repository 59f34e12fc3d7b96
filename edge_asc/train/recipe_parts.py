"""The sections of a recipe as frozen dataclasses: their defaults are the paper's values, impossible ones are errors."""

from __future__ import annotations

from dataclasses import dataclass

from edge_asc.errors import RecipeError

BALANCES = ("none", "label", "label_and_recording")


@dataclass(frozen=True, kw_only=True)
class Training:
    """Optimiser, length and sampling."""

    epochs: int = 400
    batch_size: int = 128
    learning_rate: float = 1e-4
    final_learning_rate: float = 1e-4
    """Reached at the end by half a cosine; equal to `learning_rate` for a constant rate."""
    i_rate_factor: float = 1.0
    """Times both rates for members I(p,q,r): with little BatchNorm, they diverge at rates that suit V."""
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
            require(getattr(self, name) >= 1, f"training.{name}", getattr(self, name), "at least 1")
        for name in ("learning_rate", "final_learning_rate", "i_rate_factor"):
            require(getattr(self, name) > 0, f"training.{name}", getattr(self, name), "above 0")
        for name in ("dropout", "norm_momentum", "selection_fraction"):
            require(0 <= getattr(self, name) < 1, f"training.{name}", getattr(self, name), "from 0 to below 1")
        require(self.l2 >= 0, "training.l2", self.l2, "at least 0")
        require(self.windows_per_epoch >= 0, "training.windows_per_epoch", self.windows_per_epoch, "at least 0")
        require(self.balance in BALANCES, "training.balance", self.balance, " or ".join(BALANCES))


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
            require(0 <= getattr(self, name) < 1, f"pruning.{name}", getattr(self, name), "from 0 to below 1")
        if not self.enabled:
            return
        require(self.initial_sparsity <= self.final_sparsity, "pruning.initial_sparsity", self.initial_sparsity,
                 f"at most final_sparsity ({self.final_sparsity:g})")
        require(self.every_epochs >= 1, "pruning.every_epochs", self.every_epochs, "at least 1")
        require(self.begin_epoch >= 0, "pruning.begin_epoch", self.begin_epoch, "at least 0")
        span = self.end_epoch - self.begin_epoch
        require(span > 0 and span % self.every_epochs == 0, "pruning.end_epoch", self.end_epoch,
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
class Quantization:
    """Fine-tuning after the last epoch with int8's rounding in the network, for where int8 loses accuracy."""

    aware_epochs: int = 0
    """0 for none: int8 files are then made of the weights as trained."""
    learning_rate: float = 1e-5
    final_learning_rate: float = 1e-6
    """Reached at the end by half a cosine."""

    def __post_init__(self) -> None:
        require(self.aware_epochs >= 0, "quantization.aware_epochs", self.aware_epochs, "at least 0")
        for name in ("learning_rate", "final_learning_rate"):
            require(getattr(self, name) > 0, f"quantization.{name}", getattr(self, name), "above 0")

    @property
    def enabled(self) -> bool:
        """Whether there is any such training."""
        return self.aware_epochs > 0


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """Training towards the answers of a teacher, a regression on the level of each band: from few recordings it learns
    more that holds for others than a network does, but nothing of how sound changes within a window."""

    weight: float = 0.0
    """The teacher's share in the loss; the rest is the labels'. 0 for no teacher, 1 for no labels."""
    penalty: float = 0.05
    """Of the teacher's squared coefficients, halved, beside its mean loss; more makes its answers softer."""

    def __post_init__(self) -> None:
        require(0 <= self.weight <= 1, "distillation.weight", self.weight, "from 0 to 1")
        require(self.penalty > 0, "distillation.penalty", self.penalty, "above 0")

    @property
    def enabled(self) -> bool:
        """Whether there is a teacher."""
        return self.weight > 0


@dataclass(frozen=True, kw_only=True)
class BlockMixing:
    """Extra training clips put together from segments of clips with the same label (section 2.2)."""

    n_tracks_per_label: int = 0
    """0 for none; the paper takes 4000."""
    on_the_fly: bool = False
    """Every epoch has new tracks, made as training goes and kept nowhere; else the same ones, made before and kept with
    the features. Where `training.balance` draws, an epoch has as many new ones as it draws."""
    n_segments: int = 10
    match: str = "label"
    """What the segments of a track share: the coarse `label` or the fine `scene`."""
    share: float = 0.5
    """Part of an epoch drawn from mixed tracks; only where `training.balance` draws."""

    def __post_init__(self) -> None:
        require(self.n_tracks_per_label >= 0, "block_mixing.n_tracks_per_label", self.n_tracks_per_label, "at least 0")
        require(self.n_segments in (2, 4, 5, 10), "block_mixing.n_segments", self.n_segments, "2, 4, 5 or 10")
        require(self.match in ("label", "scene"), "block_mixing.match", self.match, "label or scene")
        require(0 <= self.share <= 1, "block_mixing.share", self.share, "from 0 to 1")


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
            require(not value or (len(value) == 2 and value[0] <= value[1]), f"augmentation.{name}", list(value),
                     "two numbers, the lower first, or an empty list")
        require(0 <= self.low_pass_probability <= 1, "augmentation.low_pass_probability",
                 self.low_pass_probability, "from 0 to 1")
        require(self.equaliser_db >= 0, "augmentation.equaliser_db", self.equaliser_db, "at least 0")

    @property
    def enabled(self) -> bool:
        """Whether any window is changed."""
        return bool(self.gain_db or self.low_pass_hz or self.equaliser_db)


def require(ok: bool, name: str, found: object, wanted: str, *, fix: str | None = None) -> None:
    """Raises RecipeError naming the value unless it is possible."""
    if not ok:
        raise RecipeError(f"impossible recipe value {name}", found=found, wanted=wanted, fix=fix)
