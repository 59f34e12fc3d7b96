"""One run: contestants verified, timed in turns, observed as programs; the machine's state beside it. Data, no text.

`edge-asc bench` runs it on a bundle's own engines, benchmarks/run.py together with the peers.
"""

from __future__ import annotations

import datetime
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_asc import __version__
from edge_asc.bench.contestants import Contestant
from edge_asc.bench.energy import Energy, Meter
from edge_asc.bench.machine import BUSY, State, describe_machine, judge, others_share, read_state
from edge_asc.bench.program import Observation, observe
from edge_asc.bench.rounds import Times, Worker, group_size, groups, start_workers, take_turns
from edge_asc.bench.serve import N_WARM_UP
from edge_asc.bench.statistics import Ratio, ratio, summarize
from edge_asc.bundle import Bundle
from edge_asc.errors import EdgeAscError, InputError

FORMAT_VERSION = 1
Notify = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much time a run may take."""

    n_rounds: int = 10
    budget_s: float = 0.08
    """For one task of one worker in one round."""
    n_starts: int = 3
    n_program_hops: int = 20
    paced_s: float = 20.0
    """How long the first contestant is fed at the pace of real sound; 0: not at all."""


FULL = Effort()
QUICK = Effort(n_rounds=3, budget_s=0.03, n_starts=1, n_program_hops=5, paced_s=0.0)


@dataclass(kw_only=True)
class Measured:
    """What came out for one contestant."""

    contestant: Contestant
    description: str = ""
    checks: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    ready_s: float = 0.0
    times: dict[str, Times] = field(default_factory=dict)
    ratios: dict[str, Ratio] = field(default_factory=dict)
    """Task -> CPU time of this one over that of the first contestant, from the same rounds."""
    wall_ratios: dict[str, Ratio] = field(default_factory=dict)
    program: Observation | None = None
    starts_s: list[float] = field(default_factory=list)
    """From starting the program to its first answer; the same number for everyone, taken in turns."""
    paced: Observation | None = None
    energy: Energy | None = None
    """Measured; None where the machine has no meter."""

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        tasks = {task: {"wall_ms": summarize(times.all_wall_ms()).to_json(),
                        "cpu_ms": summarize(times.all_cpu_ms()).to_json()} for task, times in self.times.items()}
        return {"name": self.contestant.name, **self.contestant.about, "description": self.description,
                "checks": self.checks, "facts": self.facts, "ready_s": round(self.ready_s, 4), "tasks": tasks,
                "cpu_to_first": {task: each.to_json() for task, each in self.ratios.items()},
                "wall_to_first": {task: each.to_json() for task, each in self.wall_ratios.items()},
                "program": self.program and self.program.to_json(), "paced": self.paced and self.paced.to_json()}


@dataclass(kw_only=True)
class Run:
    """Everything that was measured, and everything that speaks against it."""

    measured: list[Measured]
    absent: dict[str, str]
    """Who could not be measured, and why."""
    machine: dict[str, Any]
    remarks: list[str]
    states: list[State]
    effort: Effort

    def find(self, name: str) -> Measured | None:
        """By the contestant's name."""
        return next((each for each in self.measured if each.contestant.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """A plain mapping; see results.schema.json."""
        return {"format_version": FORMAT_VERSION, "edge_asc": __version__,
                "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), "machine": self.machine,
                "remarks": self.remarks, "effort": vars(self.effort),
                "states": [{**vars(state), "throttled": list(state.throttled)} for state in self.states],
                "cases": [each.to_json() for each in self.measured], "absent": self.absent}


def measure(contestants: Sequence[Contestant], bundle: Bundle, *, effort: Effort = FULL,
            absent: Mapping[str, str] | None = None, notify: Notify = lambda message: None) -> Run:
    """Measure everyone, the first as the reference of all ratios.

    Args:
        bundle: Its golden clip is what programs are fed with.
        absent: Name -> reason, of those who could not even be named as contestants.
        notify: Called with a line about what is being done.

    Raises:
        InputError: There is nobody to measure.
        VerificationError, EdgeAscError: The reference itself cannot be measured.
    """
    if not contestants:
        raise InputError("there is nothing to measure", fix="Choose an engine and a variant that are there.")
    missing = dict(absent or {})
    busy, stolen = others_share()
    states = [read_state()]
    measured: dict[str, Measured] = {}
    all_groups = groups(contestants, size=group_size())
    for number, group in enumerate(all_groups):
        notify(f"group {number + 1} of {len(all_groups)}: {', '.join(each.name for each in group)}")
        with start_workers(group, missing.__setitem__) as workers:
            if not workers or workers[0].name != contestants[0].name:
                raise EdgeAscError(f"{contestants[0].name}: {missing[contestants[0].name]}")
            _time(workers, measured, effort, states, notify)
            if number == 0 and effort.paced_s:
                measured[workers[0].name].energy = _energy(workers[0])
    for each in measured.values():
        if each.contestant.program:
            notify(f"program: {each.contestant.name}")
            _observe(each, bundle, effort, missing)
            states.append(read_state())
    notify("starts, in turns")
    _start(list(measured.values()), bundle, effort)
    reference = measured[contestants[0].name]
    if effort.paced_s and reference.program:
        notify(f"at the pace of sound, {effort.paced_s:g} s: {reference.contestant.name}")
        reference.paced = _program(reference, bundle, n_hops=_n_paced(reference, effort), paced=True)
    states.append(read_state())
    return Run(measured=list(measured.values()), absent=missing, machine=describe_machine(), states=states,
               remarks=_remarks(busy, stolen, states, measured.values()), effort=effort)


def _time(workers: Sequence[Worker], measured: dict[str, Measured], effort: Effort, states: list[State],
          notify: Notify) -> None:
    """One group; of the reference, which is in every group, the first group's times are kept for the tables."""
    def after_round(number: int) -> None:
        states.append(read_state())
        if number == 0 or number + 1 == effort.n_rounds:
            notify(f"round {number + 1} of {effort.n_rounds}")

    found = take_turns(workers, n_rounds=effort.n_rounds, budget_s=effort.budget_s, after_round=after_round)
    first = found[workers[0].name]
    for worker in workers:
        if worker.name in measured:
            continue
        times = found[worker.name]
        each = Measured(contestant=worker.contestant, description=worker.description, checks=worker.checks,
                        facts=worker.facts, ready_s=worker.ready_s, times=times)
        for task in times.keys() & first.keys():
            each.ratios[task] = ratio(times[task].cpu_ms, first[task].cpu_ms)
            each.wall_ratios[task] = ratio(times[task].wall_ms, first[task].wall_ms)
        measured[worker.name] = each


def _observe(each: Measured, bundle: Bundle, effort: Effort, missing: dict[str, str]) -> None:
    """Let the program run once."""
    try:
        each.program = _program(each, bundle, n_hops=effort.n_program_hops)
        each.starts_s.append(each.program.first_event_s)
    except EdgeAscError as error:
        missing[f"{each.contestant.name}, as a program"] = str(error)


def _start(measured: Sequence[Measured], bundle: Bundle, effort: Effort) -> None:
    """Start all programs a few times more, in turns; the first answer counts in the median."""
    programs = [each for each in measured if each.program]
    for _ in range(effort.n_starts - 1):
        for each in programs:
            each.starts_s.append(_program(each, bundle, n_hops=0).first_event_s)
    for each in programs:
        each.program = Observation(**{**vars(each.program), "first_event_s": statistics.median(each.starts_s)})


def _program(each: Measured, bundle: Bundle, *, n_hops: int, paced: bool = False) -> Observation:
    spec = bundle.features
    samples = np.clip(np.rint(bundle.golden().samples * 32768), -32768, 32767).astype(np.int16)
    hop_s = float(each.contestant.about.get("hop_s", 1.0))
    return observe(each.contestant, samples, window_samples=spec.window_samples, n_hops=n_hops, paced=paced,
                   hop_samples=round(hop_s * spec.sample_rate_hz), sample_rate_hz=spec.sample_rate_hz)


def _energy(worker: Worker) -> Energy | None:
    """What hops take beyond an idle machine, by its own meter."""
    meter = Meter.find()
    if meter is None:
        return None
    idle_j, idle_s = meter.used_by(lambda: time.sleep(3))
    n_hops = N_WARM_UP

    def work() -> None:
        nonlocal n_hops
        n_hops += len(worker.run("hop", budget_s=5.0, n_least=3)[0])

    used_j, took_s = meter.used_by(work)
    audio_s = n_hops * float(worker.contestant.about["hop_s"])
    return Energy(j_per_s=max(0.0, used_j - idle_j / idle_s * took_s) / audio_s, is_estimate=False,
                  how=f"measured: {meter.name}, less the {idle_j / idle_s:.2f} W of the idle machine")


def _n_paced(each: Measured, effort: Effort) -> int:
    return max(1, round(effort.paced_s / float(each.contestant.about.get("hop_s", 1.0))))


def _remarks(busy: float, stolen: float, states: Sequence[State], measured: Any) -> list[str]:
    remarks = judge(states)
    if busy > BUSY:
        remarks.append(f"other programs used {busy:.0%} of the processors when the run began: its times are too long, "
                       "its ratios less certain")
    if stolen > 0.02:
        remarks.append(f"the hypervisor took {stolen:.0%} of the processors when the run began")
    waits = [wall / cpu for each in measured for task, times in each.times.items() if task == "hop"
             for wall, cpu in [(statistics.median(times.all_wall_ms()), statistics.median(times.all_cpu_ms()))]
             if each.contestant.about.get("n_threads") == 1 and cpu]
    if waits and max(waits) > 1.2:
        remarks.append(f"hops took up to {max(waits):.1f} times their CPU time: the processors were shared")
    return remarks
