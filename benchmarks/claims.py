"""What the project promises against its peers, as ratios of one run; larger is better for us."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.peers.field import NAIVE, ONNX_INT8, ONNX_OWN_INT8, TENSORFLOW
from edge_asc.bench.measure import Measured, Run
from edge_asc.bench.statistics import Ratio, ratio

OURS, NATIVE = "LiteRT int8", "native"
"""The first contestant of a run, and the same bundle on the native engine."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """peer / ours, of one quantity."""

    name: str
    peers: tuple[str, ...]
    """The best of these counts."""
    ours: str
    figure: Callable[[Measured, Measured], Ratio | None]
    wanted: float | None
    limit: str = ""
    """What bounds the ratio, as far as it is known; said where it is missed."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A claim and what was measured; no ratio if one of the two was not there."""

    claim: Claim
    ratio: Ratio | None
    why_not: str = ""

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.ratio is None:
            return "not measured"
        if self.claim.wanted is None:
            return "-"
        return "holds" if self.ratio.value >= self.claim.wanted else "MISSED"


def cpu(task: str) -> Callable[[Measured, Measured], Ratio | None]:
    """CPU time of a task, round by round."""

    def figure(peer: Measured, ours: Measured) -> Ratio | None:
        if task not in peer.times or task not in ours.times:
            return None
        return ratio(peer.times[task].cpu_ms, ours.times[task].cpu_ms)

    return figure


def steady_memory(peer: Measured, ours: Measured) -> Ratio | None:
    """Resident memory of the running program."""
    if not peer.program or not ours.program:
        return None
    return _exact(peer.program.memory_bytes["resident"], ours.program.memory_bytes["resident"])


def first_event(peer: Measured, ours: Measured) -> Ratio | None:
    """From starting the program to its first answer, start by start."""
    if not peer.program or not ours.program:
        return None
    return ratio([[start_s] for start_s in peer.starts_s], [[start_s] for start_s in ours.starts_s])


def program_cpu(peer: Measured, ours: Measured) -> Ratio | None:
    """CPU time of the whole program per second of audio."""
    if not peer.program or not ours.program or not peer.program.cpu_s_per_s or not ours.program.cpu_s_per_s:
        return None
    return _exact(peer.program.cpu_s_per_s, ours.program.cpu_s_per_s)


FFT_IN_DOUBLES = ("of 5.6 µs for a frame on an AMD EPYC, NumPy's FFT takes 3.1; in float32 it would be quicker, with a "
                  "noise floor that shows in the quiet bands of a tone")
CLAIMS = (
    Claim(name="CPU of a whole hop: naive / LiteRT int8", peers=(NAIVE,), ours=OURS, figure=cpu("hop"), wanted=3.5),
    Claim(name="CPU of a whole hop: naive / native", peers=(NAIVE,), ours=NATIVE, figure=cpu("hop"), wanted=6.0),
    Claim(name="CPU of the whole program: naive / LiteRT int8", peers=(NAIVE,), ours=OURS, figure=program_cpu,
          wanted=None),
    Claim(name="memory of the program: naive / LiteRT int8", peers=(NAIVE,), ours=OURS, figure=steady_memory,
          wanted=3.0),
    Claim(name="CPU of the networks: best ONNX Runtime int8 / LiteRT int8", peers=(ONNX_INT8, ONNX_OWN_INT8), ours=OURS,
          figure=cpu("ensemble"), wanted=1.0),
    Claim(name="CPU of the networks: LiteRT int8 / native", peers=(OURS,), ours=NATIVE, figure=cpu("ensemble"),
          wanted=1.5),
    Claim(name="CPU of the front end, one hop: librosa / edge-asc", peers=(NAIVE,), ours=OURS,
          figure=cpu("front end, hop"), wanted=3.0, limit=FFT_IN_DOUBLES),
    Claim(name="CPU of the front end, 10 s: librosa / edge-asc", peers=(NAIVE,), ours=OURS,
          figure=cpu("front end, window"), wanted=1.5, limit=FFT_IN_DOUBLES),
    Claim(name="time to the first event: TensorFlow / LiteRT int8", peers=(TENSORFLOW,), ours=OURS, figure=first_event,
          wanted=10.0),
)


def judge(run: Run, claims: Sequence[Claim] = CLAIMS) -> list[Found]:
    """Every claim, measured or not."""
    first = run.measured[0]
    native = next((each for each in run.measured if each.contestant.about.get("engine") == "native"), None)
    named = {OURS: first, **({NATIVE: native} if native else {}),
             **{each.contestant.name: each for each in run.measured}}
    return [_judge(claim, named) for claim in claims]


def _judge(claim: Claim, named: dict[str, Measured]) -> Found:
    if claim.ours not in named:
        return Found(claim=claim, ratio=None, why_not=f"{claim.ours} is not there")
    ratios = [found for peer in claim.peers if peer in named
              and (found := claim.figure(named[peer], named[claim.ours])) is not None]
    if not ratios:
        return Found(claim=claim, ratio=None, why_not=f"{' and '.join(claim.peers)}: not measured")
    least = min(ratios, key=lambda each: each.value)
    is_missed = claim.wanted is not None and least.value < claim.wanted
    return Found(claim=claim, ratio=least, why_not=claim.limit if is_missed else "")


def _exact(peer: float, ours: float) -> Ratio:
    """A ratio of two single figures, which has no interval of its own."""
    return Ratio(value=peer / ours, low=peer / ours, high=peer / ours, n_rounds=1)
