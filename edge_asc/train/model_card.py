"""MODEL_CARD.md: what a bundle was trained on, how good it is by which measure, and what it is not for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_asc.bundle import Bundle
from edge_asc.train.execution import describe, executions_from_json
from edge_asc.train.member_files import Agreement
from edge_asc.train.metrics import Scores
from edge_asc.train.recipe_parts import Pruning
from edge_asc.train.recipes import Recipe
from edge_asc.train.run import AWARE, BEST_ON_SELECTION, BEST_ON_VALIDATION, LAST


@dataclass(frozen=True, kw_only=True)
class Card:
    """What the model card is written from."""

    bundle: Bundle
    recipe: Recipe
    """What all members have in common, and how to call them."""
    about: Mapping[str, Any]
    """`data`, `made_with` and, unless it is the plain one, `execution` as in run.json."""
    sparsity: str
    """Of the members' kernels, in words."""
    weights: str
    """"last", "aware" or one of `run.BESTS`."""
    scores: Mapping[str, Scores]
    """"keras" and each variant -> the ensemble's figures on the same validation windows."""
    agreements: Mapping[str, Mapping[str, Agreement]]
    """Member -> variant -> the file beside Keras."""
    golden_clip: str
    sections: Mapping[str, str]
    """Title -> Markdown, added before the limits."""


def model_card(card: Card) -> str:
    """The card as Markdown."""
    parts = [_head(card), _training(card), _figures(card), _files(card)]
    parts += [f"## {title}\n\n{text.strip()}\n" for title, text in card.sections.items()]
    return "\n".join([*parts, _limits(card)])


def _head(card: Card) -> str:
    members = ", ".join(f"{member.name} {member.architecture}" for member in card.bundle.members)
    return (f"# {card.recipe.name}: an ensemble for acoustic scene classification\n\n"
            f"{card.recipe.description}\n\n"
            f"Input: {card.bundle.features.window_s:.3f} s of sound at {card.bundle.features.sample_rate_hz} Hz, mono. "
            f"Output: probabilities of {', '.join(card.bundle.labels)}, the plain mean over {len(card.bundle.members)} "
            f"members ({members}).\n")


def _training(card: Card) -> str:
    about, recipe, mixing = card.about, card.recipe, card.recipe.block_mixing
    data, versions = about["data"], about["made_with"]["versions"]
    which = {LAST: "the last epoch",
             BEST_ON_SELECTION: "the best epoch at final sparsity, chosen on windows held out of the training part",
             BEST_ON_VALIDATION: "the best epoch at final sparsity, chosen on the validation windows",
             AWARE: f"the last epoch, then {recipe.quantization.aware_epochs} epochs with int8's rounding, "
                    "zeros kept"}[card.weights]
    rows = [
        ("training windows", data["n_train"]), ("validation windows", data["n_validation"]),
        ("features of the data, sha256", f"`{data['sha256'][:16]}`"), ("epochs", recipe.training.epochs),
        ("kernel sparsity", card.sparsity),
        ("block mixing, tracks per label",
         f"{mixing.n_tracks_per_label}{', new ones in every epoch' if mixing.on_the_fly else ''}"), ("weights", which),
        ("made with", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("training step", describe(executions_from_json(about.get("execution", {})))),
        ("commit", about["made_with"].get("git") or "unknown")]
    return "## Trained on\n\n" + _table(("", ""), rows)


def _figures(card: Card) -> str:
    rows = [(name, f"{score.macro_accuracy:.3f}", f"{score.micro_accuracy:.3f}", f"{score.log_loss:.3f}", score.n)
            for name, score in card.scores.items()]
    note = ("The epoch was chosen on these very windows, as in the paper: the figures are optimistic."
            if card.weights == BEST_ON_VALIDATION else "Nothing was trained or chosen on these windows.")
    return ("## How good\n\nThe ensemble on windows of the validation part, by Keras and in each variant as the bundle "
            f"runs it:\n\n{_table(('', 'macro accuracy', 'micro accuracy', 'log-loss', 'windows'), rows)}\n{note}\n")


def _files(card: Card) -> str:
    rows = []
    for variant in card.bundle.variants:
        agreements = [members[variant] for members in card.agreements.values()]
        n_bytes = sum(member.files[variant].n_bytes for member in card.bundle.members)
        rows.append((variant, f"{n_bytes / 1024:.1f}", f"{min(each.label_agreement for each in agreements):.1%}",
                     f"{max(each.largest_difference for each in agreements):.2g}",
                     sum(each.n_new_zeros for each in agreements)))
    header = ("variant", "KB of 1024 bytes, all members", "labels as Keras, worst member",
              "largest difference of a probability", "weights rounded to zero")
    return ("## Files\n\nEvery file was loaded and run, and compared with Keras on "
            f"{next(iter(card.agreements.values()))[card.bundle.variants[0]].n_windows} validation windows. Default: "
            f"{card.bundle.default_variant}. Golden clip: {card.golden_clip}.\n\n{_table(header, rows)}")


def _limits(card: Card) -> str:
    top_db = card.bundle.features.top_db
    return ("## Limits\n\n"
            f"* It knows {', '.join(card.bundle.labels)} and nothing else: every window gets one of them, silence and "
            "speech too.\n"
            "* Scenes, cities and microphones that are not in the training data are not covered by the figures above.\n"
            "* The features are not normalised: another microphone gain moves every input value"
            + (f", and what is more than {top_db:g} dB below the loudest moment of a window is not seen.\n" if top_db
               else ".\n")
            + "* A window's label says nothing about identity or content of what was said; it must not be the only "
            "ground for a decision about a person.\n")


def _table(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def sparsity_in_words(pruning: Pruning) -> str:
    """The share of zeros that members are pruned to."""
    return f"{pruning.final_sparsity:.0%}" if pruning.enabled else "not pruned"
