"""The search as a study: it proposes what lies in the space, takes up what was broken off, refuses another space."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edge_asc.errors import InputError, RecipeError
from edge_asc.lab.pareto.pool_maker import PoolMaker
from edge_asc.lab.pareto.rulers import Ruler, find_rulers
from edge_asc.lab.pareto.search import Search
from edge_asc.lab.pareto.space import Space
from edge_asc.lab.tasks import Task
from edge_asc.spec import FeatureSpec
from tests.lab import fakes

pytestmark = pytest.mark.train

SPACE = Space(architectures=("I(0,0,1)", "I(2,0,1)x0.5", "V(1,0,0,0)"), sparsities=(0.2, 0.9),
              variants=("int8-sparse", "float32-sparse"))


def rulers(*names: str) -> list[Ruler]:
    return find_rulers(names, spec=FeatureSpec())


def search(path: Path, space: Space = SPACE, *names: str) -> Search:
    return Search(path, space=space, base=fakes.task(), rulers=rulers(*names or ("file",)))


def test_what_is_proposed_lies_between_the_corners_of_the_space(tmp_path: Path) -> None:
    begun = search(tmp_path / "search.sqlite")
    proposals = [begun.ask() for _ in range(20)]
    for proposal in proposals:
        architecture = proposal.kind.architecture
        assert proposal.variant in SPACE.variants
        assert 0.2 <= proposal.kind.sparsity <= 0.9
        assert proposal.task.architecture == str(architecture)
        if architecture.family == "V":
            assert (architecture.depths, architecture.width) == ((1, 0, 0, 0), 1)
        else:
            assert architecture.depths[0] in (0, 1, 2)
            assert architecture.depths[1:] == (0, 1)
            assert 0.5 <= architecture.width <= 1
    assert {proposal.kind.architecture.family for proposal in proposals} == {"V", "I"}


def test_trials_that_were_broken_off_are_proposed_again(tmp_path: Path) -> None:
    path = tmp_path / "search.sqlite"
    begun = search(path)
    first = [str(begun.ask()) for _ in range(2)]
    resumed = search(path)
    assert [str(resumed.ask()) for _ in range(2)] == first
    assert resumed.n_done == 0


class _Ruler:
    """Counts letters."""

    name = "letters"

    def supports(self, variant: str) -> bool:
        return True

    def ensemble(self, parts: list[str]) -> int:
        return sum(map(len, parts))


class _Maker:
    """A pool of what it was given; the accuracy of a member follows from its key."""

    def take(self, tasks: Iterable[Task]) -> Any:
        entries = [SimpleNamespace(task=task, parts={name: f"{task} {name}" for name in SPACE.variants})
                   for task in tasks]

        def score(places: tuple[int]) -> Any:
            return SimpleNamespace(macro_accuracy=int(entries[places[0]].task.key[:4], 16) / 0xffff)

        return SimpleNamespace(entries=entries, judge=lambda variant: SimpleNamespace(score=score))


def _tried(path: Path, n_trials: int, *, stopped_after: Iterable[int] = ()) -> list[str]:
    """What a search tells of its trials, stopped after so many of them and begun again."""
    said: list[str] = []
    for n_until in (*stopped_after, n_trials):
        def notify(text: str, n_until: int = n_until) -> None:
            said.append(text.partition(": ")[2])
            if len(said) == n_until < n_trials:
                raise KeyboardInterrupt

        begun = Search(path, space=SPACE, base=fakes.task(), rulers=cast("list[Ruler]", [_Ruler()]))
        with contextlib.suppress(KeyboardInterrupt):
            begun.run(n_trials, maker=cast("PoolMaker", _Maker()), train=lambda tasks: {}, n_together=4, notify=notify)
    return said


def test_a_search_that_was_stopped_tries_what_it_would_have_tried(tmp_path: Path) -> None:
    """Beyond the ten trials that are random: the others depend on what was found."""
    whole = _tried(tmp_path / "whole.sqlite", 22)
    assert len(set(whole)) > 15
    assert _tried(tmp_path / "stopped.sqlite", 22, stopped_after=(2, 13, 17)) == whole


def test_another_space_or_other_rulers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "search.sqlite"
    search(path)
    search(path)
    for other in (lambda: search(path, SPACE, "macs"),
                  lambda: search(path, dataclasses.replace(SPACE, sparsities=(0.2, 0.8)))):
        with pytest.raises(InputError, match="search of another space"):
            other()


def test_what_could_never_be_tried_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no variant .* can be measured; found float32-sparse"):
        search(tmp_path / "a", dataclasses.replace(SPACE, variants=("float32-sparse",)), "firmware-ram")
    with pytest.raises(RecipeError, match="has nothing left of"):
        search(tmp_path / "b", dataclasses.replace(SPACE, widths=(0.1,), sparsities=(0.5, 0.95)))
