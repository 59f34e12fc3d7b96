"""A search of the space between the listed points: multi-objective, by Optuna, in an SQLite study that can be resumed.

A trial is one member in one variant. It is trained as any other task, through the store, so that no member is trained
twice; it is judged on the selection split and by the rulers. What trials bring joins the pool that ensembles are grown
from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna

from edge_asc.errors import InputError, OverBudgetError
from edge_asc.lab.engine import Ended
from edge_asc.lab.pareto.pool import Pool
from edge_asc.lab.pareto.pool_maker import PoolMaker
from edge_asc.lab.pareto.rulers import Ruler
from edge_asc.lab.pareto.space import Kind, Space, require_possible, task_of, widened
from edge_asc.lab.tasks import Task
from edge_asc.train.models import Architecture

_STUDY, _SPACE, _TASK, _REFUSED = "pareto", "space", "task", "refused"
_State = optuna.trial.TrialState


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A trial that was begun."""

    trial: optuna.Trial
    kind: Kind
    variant: str
    task: Task

    def __str__(self) -> str:
        return f"{self.kind.architecture} pruned to {self.kind.sparsity:.0%}, {self.variant}"


class Search:
    """A study and what it searches.

    Args:
        path: The SQLite file of the study; made if it is not there.
        space: Its lists are the corners: depths, widths and sparsities between them are tried.
        base: As for `space.grid`.
        rulers: What is to be small, besides the error.

    Raises:
        InputError: The study was begun with another space or other rulers, or no variant can be measured.
        RecipeError: A corner of the space could never be trained.
    """

    def __init__(self, path: Path, *, space: Space, base: Task, rulers: Sequence[Ruler]) -> None:
        self._space, self._base, self._rulers = space, base, rulers
        self._variants = [variant for variant in space.variants if all(ruler.supports(variant) for ruler in rulers)]
        if not self._variants:
            raise InputError("no variant of the space can be measured", found=", ".join(space.variants),
                             wanted="an int8 variant")
        self._kinds = space.kinds()
        require_possible(self._corners(), base)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = optuna.storages.RDBStorage(f"sqlite:///{path.resolve()}")
        directions = [optuna.study.StudyDirection.MAXIMIZE, *[optuna.study.StudyDirection.MINIMIZE] * len(rulers)]
        self._study = optuna.create_study(storage=storage, study_name=_STUDY, load_if_exists=True,
                                          directions=directions)
        about = json.dumps({"base": base.key, "rulers": [ruler.name for ruler in rulers], "variants": self._variants,
                            "kinds": sorted(f"{kind.architecture} {kind.sparsity}" for kind in self._kinds)})
        if self._study.user_attrs.setdefault(_SPACE, about) != about:
            raise InputError(f"{path} is a search of another space, or by other rulers",
                             fix="Give the same ones to go on, or remove it to begin anew.")
        self._study.set_user_attr(_SPACE, about)
        self._take_up()

    @property
    def n_done(self) -> int:
        """Trials that have a result, failed in training, or were found not to fit the board."""
        return len(self._done())

    def run(self, n_trials: int, *, maker: PoolMaker, train: Callable[[list[Task]], Mapping[str, Ended]],
            n_together: int, notify: Callable[[str], None]) -> None:
        """Tries on until so many trials are done in all.

        Args:
            maker: Takes what was trained.
            train: Trains the tasks that the store does not know, and returns those that failed, by key.
            n_together: Trials that are proposed at once, in ignorance of each other's results, and trained together.
                The search follows from it, and not from where the trials run.
        """
        while (n_left := n_trials - self.n_done) > 0:
            # A search that was stopped first ends those that were begun together.
            n_now = n_together - self.n_done % n_together
            proposals = [self.ask() for _ in range(min(n_now, n_left))]
            tasks = [proposal.task for proposal in proposals]
            failed = train(tasks)
            pool = maker.take(task for task in tasks if task.key not in failed)
            for proposal in proposals:
                ended = failed.get(proposal.task.key)
                said = self._refuse(proposal, ended.why) if ended else self._tell(proposal, pool)
                notify(f"trial {self.n_done} of {n_trials}: {proposal}: {said}")

    def tasks(self) -> list[Task]:
        """Those of all trials that are done and were trained."""
        return [Task.from_json(json.loads(trial.user_attrs[_TASK])) for trial in self._done()
                if _TASK in trial.user_attrs]

    def _done(self) -> list[optuna.trial.FrozenTrial]:
        return [trial for trial in self._study.trials if _is_done(trial)]

    def _n_proposed(self) -> int:
        return sum(_is_done(trial) or trial.state == _State.RUNNING for trial in self._study.trials)

    def _take_up(self) -> None:
        """What was killed while it ran is proposed again: its training goes on from its checkpoint."""
        for trial in self._study.trials:
            if trial.state == _State.RUNNING:
                self._study.tell(trial.number, state=_State.FAIL)
                self._study.enqueue_trial(trial.params)

    def ask(self) -> Proposal:
        """The next member to try."""
        # Seeded by how many were proposed before, so that a search that was stopped goes on as if it had not been.
        self._study.sampler = optuna.samplers.TPESampler(seed=self._base.seed + self._n_proposed())
        trial = self._study.ask()
        family = trial.suggest_categorical("family", sorted({kind.architecture.family for kind in self._kinds}))
        own = [kind.architecture for kind in self._kinds if kind.architecture.family == family]
        depths = tuple(trial.suggest_int(f"{family} depth {place + 1}", min(listed), max(listed))
                       for place, listed in enumerate(zip(*(each.depths for each in own), strict=True)))
        widths, sparsities = [each.width for each in own], [kind.sparsity for kind in self._kinds]
        # Rounded, so that equal members are one task.
        width = round(trial.suggest_float(f"{family} width", min(widths), max(widths)), 2)
        sparsity = round(trial.suggest_float("sparsity", min(sparsities), max(sparsities)), 2)
        variant = trial.suggest_categorical("variant", self._variants)
        kind = Kind(architecture=widened(Architecture(family, depths), width), sparsity=sparsity)
        return Proposal(trial=trial, kind=kind, variant=variant, task=task_of(kind, self._base))

    def _tell(self, proposal: Proposal, pool: Pool) -> str:
        trial = proposal.trial
        place = [entry.task.key for entry in pool.entries].index(proposal.task.key)
        part = pool.entries[place].parts[proposal.variant]
        accuracy = pool.judge(proposal.variant).score((place,)).macro_accuracy
        trial.set_user_attr(_TASK, json.dumps(proposal.task.to_json()))
        try:
            costs = [ruler.ensemble([part]) for ruler in self._rulers]
        except OverBudgetError as error:
            return self._refuse(proposal, str(error))
        self._study.tell(trial, [accuracy, *costs])
        figures = ", ".join(f"{ruler.name} {cost}" for ruler, cost in zip(self._rulers, costs, strict=True))
        return f"macro accuracy {accuracy:.3f} on the selection split, {figures}"

    def _refuse(self, proposal: Proposal, why: str) -> str:
        """Done, without a result: the same again would end the same way."""
        proposal.trial.set_user_attr(_REFUSED, why)
        self._study.tell(proposal.trial, state=_State.FAIL)
        return why

    def _corners(self) -> list[Kind]:
        """The smallest member of each family, pruned the most: what is possible there is possible everywhere."""
        found = []
        for family in sorted({kind.architecture.family for kind in self._kinds}):
            own = [kind.architecture for kind in self._kinds if kind.architecture.family == family]
            least = Architecture(family, tuple(map(min, zip(*(each.depths for each in own), strict=True))),
                                 min(each.width for each in own))
            found.append(Kind(architecture=least, sparsity=max(kind.sparsity for kind in self._kinds)))
        return found


def _is_done(trial: optuna.trial.FrozenTrial) -> bool:
    return trial.state == _State.COMPLETE or _REFUSED in trial.user_attrs
