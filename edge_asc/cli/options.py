"""Options that several verbs share: which bundle, in which variant, on which engine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from edge_asc.runtime import Ensemble

Command = TypeVar("Command", bound=Callable[..., Any])

ENGINES = ("auto", "litert", "tflite-runtime", "native")
WEIGHTS = ("last", "best", "best_on_selection", "best_on_validation", "aware")


def note(message: str) -> None:
    """Say something on standard error that is not a result."""
    # Where nobody can read it any more (a closed terminal), that is no reason to stop.
    with contextlib.suppress(OSError):
        click.echo(f"edge-asc: {message}", err=True)


def engine_option(command: Command) -> Command:
    """--engine."""
    return click.option("--engine", type=click.Choice(ENGINES), default="auto", show_default=True,
                        help="What computes the networks: a TFLite interpreter, or native: int8 variants as C, "
                        "compiled once for this processor. auto takes the first that works here.")(command)


def weights_option(*, default: str | None, text: str) -> Callable[[Command], Command]:
    """--weights, of a training run; see `Run.weights`."""
    return click.option("--weights", type=click.Choice(WEIGHTS), default=default, show_default=default is not None,
                        help="Of the run: of the last epoch; of the epoch at final sparsity that did best on the "
                        "validation split (the paper's choice, which flatters there) or on a selection split held out "
                        "of training; best for the latter where there is one; or fine-tuned with int8's rounding. "
                        + text)


def public_key_option(command: Command) -> Command:
    """--public-key."""
    return click.option("--public-key", type=click.Path(), metavar="FILE", help="Use only a bundle that was signed "
                        "with the key of which this is the public half.")(command)


def ensemble_options(command: Command) -> Command:
    """--bundle, --public-key, --variant, --engine and --threads, to be handed to `load` under these names."""
    options: tuple[Callable[[Command], Command], ...] = (
        click.option("--threads", "n_threads", type=click.IntRange(1, 64), default=1, show_default=True,
                     help="Threads inside one inference; with --engine native, members that run at the same time."),
        engine_option,
        click.option("--variant", metavar="NAME", help="Precision and encoding, such as int8-dense; the bundle's "
                     "default otherwise."),
        public_key_option,
        click.option("--bundle", "bundle_path", type=click.Path(), metavar="DIR",
                     help="The bundle to use; the one in the box otherwise."),
    )
    for option in options:
        command = option(command)
    return command


def load(bundle_path: str | Path | None, *, variant: str | None, engine: str, n_threads: int,
         public_key: str | Path | None = None, notify: Callable[[str], None] = note) -> Ensemble:
    """The ensemble that `ensemble_options` asked for."""
    from edge_asc.bundle import Bundle, shipped_bundle
    from edge_asc.runtime import load_ensemble

    bundle = Bundle.load(bundle_path or shipped_bundle(), public_key=public_key)
    return load_ensemble(bundle, variant=variant, engine=engine, n_threads=n_threads, notify=notify)
