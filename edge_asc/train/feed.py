"""The batches of a whole run, one after the other; where tracks are mixed on the fly, they are made ahead of them.

A feed can begin with any batch and gives the same ones from there on: a run that is resumed sees what it would have
seen. It goes on over the ends of epochs, so that the next epoch's first tracks are made while this one is judged.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from edge_asc.train.batches import Batch, Float32, Int64, Splits, batches, draw_epoch, n_batches
from edge_asc.train.recipes import Recipe


@dataclass(frozen=True)
class Epoch:
    """What an epoch, or the rest of one, trains on."""

    number: int
    order: Int64
    """All windows of the epoch."""
    first: int = 0
    """The first batch that is wanted."""


@contextmanager
def training_feed(splits: Splits, recipe: Recipe, *, seed: int, first: int = 0,
                  n_epochs_before: int = 0) -> Iterator[Iterator[Batch]]:
    """The batches of a member's training.

    Args:
        seed: The member's.
        first: Batches trained before.
        n_epochs_before: Epochs of an earlier training of the same member, whose tracks are not to come again.
    """
    settings = recipe.training
    n_steps = n_batches(settings.windows_per_epoch or len(splits.train), settings.batch_size)

    def epochs() -> Iterator[Epoch]:
        for number in range(first // n_steps, settings.epochs):
            order = draw_epoch(splits.train, balance=settings.balance, n_windows=settings.windows_per_epoch,
                               mixed_share=recipe.block_mixing.share, seed=seed, epoch=number)
            yield Epoch(number, order, max(0, first - number * n_steps))

    with feed(splits, epochs(), batch_size=settings.batch_size, seed=seed, n_epochs_before=n_epochs_before) as drawn:
        yield drawn


@contextmanager
def feed(splits: Splits, epochs: Iterable[Epoch], *, batch_size: int, seed: int,
         n_epochs_before: int = 0) -> Iterator[Iterator[Batch]]:
    """The batches of some epochs, augmented with draws of that seed.

    Raises:
        DatasetError: A recording cannot be mixed from any more.
        EdgeAscError: A process that makes tracks died.
    """
    ahead, behind = itertools.tee(epochs)
    with _fresh(splits, ahead, batch_size=batch_size, n_epochs_before=n_epochs_before) as made:
        yield itertools.chain.from_iterable(
            batches(splits.train, epoch.order, batch_size=batch_size, spec=splits.spec, augment=splits.augment,
                    seed=seed, epoch=epoch.number, first=epoch.first, made=made) for epoch in behind)


def _fresh(splits: Splits, epochs: Iterable[Epoch], *, batch_size: int,
           n_epochs_before: int) -> AbstractContextManager[Iterable[Float32]]:
    """The windows that are made whenever they are drawn."""
    if splits.fresh is None:
        return nullcontext(())
    train = splits.train

    def wanted(epoch: Epoch) -> tuple[int, list[str], int]:
        unmade = train.is_unmade(epoch.order)
        labels = [splits.labels[number] for number in train.labels[epoch.order[unmade]]]
        return epoch.number + n_epochs_before, labels, int(unmade[:epoch.first * batch_size].sum())

    return splits.fresh.made(wanted(epoch) for epoch in epochs)
