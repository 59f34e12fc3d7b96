"""The whole comparison in one run: our engines and every peer, verified, in turns; a page, a results file, a verdict.

Run: python -m benchmarks.run [--quick] [BUNDLE]   (what `make bench` does; needs the extra `train`).
Exit 1 with --quick if a ratio of baseline.json fell by more than its noise band, without it if a part failed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import block_mixing, claims, history, page, scaling
from benchmarks.peers.field import PEERS, QUICK, gather
from benchmarks.peers.prepare import prepare_question, variant_of
from edge_asc.atomic import write_text
from edge_asc.bench import guard
from edge_asc.bench.cases import OTHER_HOPS_S, WHOLE, choose
from edge_asc.bench.contestants import Contestant, contestant, find_engines
from edge_asc.bench.measure import Effort, Run, measure
from edge_asc.bench.summary import results
from edge_asc.bundle import Bundle, shipped_bundle
from edge_asc.errors import EdgeAscError

HERE = Path(__file__).parent
BASELINE = HERE / "baseline.json"
FULL = Effort(n_rounds=12, budget_s=0.06, n_starts=5, n_program_hops=30, paced_s=30.0)
QUICK_EFFORT = Effort(n_rounds=7, budget_s=0.04, n_starts=3, n_program_hops=8, paced_s=0.0)
_BEGAN_S = time.monotonic()


def main() -> int:
    options = _options()
    try:
        bundle = Bundle.load(options.bundle or shipped_bundle())
        return _quick(bundle, options) if options.quick else _full(bundle, options)
    except EdgeAscError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1


def _full(bundle: Bundle, options: argparse.Namespace) -> int:
    options.out.mkdir(parents=True, exist_ok=True)
    question = prepare_question(bundle, (options.out / "question").resolve())
    # The reference is the int8 ensemble on the engine that comes first; everything else is a ratio to it.
    variant = variant_of(bundle, "int8")
    variants = [variant, *(each for each in bundle.variants if each != variant)]
    cases, absent = choose(bundle, variants=variants, tflite_python=options.tflite_python)
    cases += _other_hops(bundle, variant)
    names = options.peers or [peer.name for peer in PEERS if peer.name not in options.without]
    peers, missing = gather(question, names, own_environments=True, notify=_note)
    missing |= dict.fromkeys(options.without, "left out on the command line")
    run = measure([cases[0], *peers, *cases[1:]], bundle, effort=_effort(FULL, options), notify=_note,
                  absent={**absent, **missing})
    found = _results(run, bundle)
    # Most of half an hour is in there: whatever happens to the rest, it is kept.
    _write_results(options, found)
    parts = [add_part(found, "block mixing", lambda: {"block_mixing": block_mixing.measure()}),
             add_part(found, "data path: features, mixing, training",
                      lambda: {"data_path": _data_path(options.out / "data_path.json")}),
             add_part(found, "scaling over members and hops", lambda: {"scaling": scaling.from_run(run)}),
             add_part(found, "scaling over window and sparsity",
                      lambda: {"scaling": found.get("scaling", {}) | _seeded_scaling(options)})]
    _write_results(options, found)
    history.append(options.out / "history.jsonl", found)
    page.write(options.out, found, runs=history.read(HERE / "history.jsonl") + history.read(options.out /
                                                                                            "history.jsonl"))
    if options.write_baseline:
        _write_baseline(found)
    _print(found)
    print(f"The page: {options.out / 'index.html'}")
    return 0 if all(parts) else 1


def add_part(found: dict[str, Any], name: str, measure: Callable[[], dict[str, Any]]) -> bool:
    """Adds what `measure` returns to the results; if it fails, whatever the reason, that is what they say of it."""
    _note(name)
    try:
        found.update(measure())
    except Exception as error:
        found["absent"][name] = reason = f"failed: {str(error) or type(error).__name__}"
        _note(f"{name} {reason}; the rest goes on")
        return False
    return True


def _write_results(options: argparse.Namespace, found: dict[str, Any]) -> None:
    write_text(options.out / "results.json", json.dumps(found, indent=1) + "\n")


def _data_path(path: Path) -> dict[str, Any]:
    """In a process of its own, so that TensorFlow is not in this one."""
    subprocess.run([sys.executable, "-W", "ignore", "-m", "benchmarks.data_path", "--json", str(path)], check=True,
                   stdout=sys.stderr)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _quick(bundle: Bundle, options: argparse.Namespace) -> int:
    """The guard: the few ratios that the environment for training can measure, against the baseline."""
    options.out.mkdir(parents=True, exist_ok=True)
    question = prepare_question(bundle, (options.out / "question").resolve())
    cases, absent = choose(bundle, variants=[variant_of(bundle, "int8")], quick=True)
    peers, missing = gather(question, QUICK, own_environments=False, notify=_note)
    ours = [case for case in cases if case.about["engine"] in (cases[0].about["engine"], "native")]
    run = measure([*ours, *peers], bundle, effort=_effort(QUICK_EFFORT, options), notify=_note,
                  absent={**absent, **missing})
    found = _results(run, bundle)
    write_text(options.out / "quick.json", json.dumps(found, indent=1) + "\n")
    if options.write_baseline:
        _write_baseline(found)
    baseline = guard.read_baseline(BASELINE)
    measurable = frozenset(claim["name"] for claim in found["claims"] if claim["in_quick"])
    verdicts = guard.judge(_ratios(found), baseline, only=measurable)
    for remark in run.remarks:
        print(f"mind: {remark}")
    for verdict in verdicts:
        print(f"{'ok    ' if verdict.ok else 'SLOWER'} {verdict}")
    return 0 if all(verdict.ok for verdict in verdicts) else 1


def _effort(usual: Effort, options: argparse.Namespace) -> Effort:
    if options.rounds is None:
        return usual
    return dataclasses.replace(usual, n_rounds=options.rounds, n_starts=1, paced_s=min(usual.paced_s, 3.0))


def _results(run: Run, bundle: Bundle) -> dict[str, Any]:
    found = results(run, bundle)
    there = {each.contestant.name for each in run.measured} | set(QUICK) | {claims.OURS}
    if any(each.contestant.about.get("engine") == "native" for each in run.measured):
        there.add(claims.NATIVE)
    found["claims"] = [{"name": each.claim.name, "wanted": each.claim.wanted, "verdict": each.verdict,
                        "ratio": each.ratio and each.ratio.to_json(), "why_not": each.why_not,
                        "in_quick": {each.claim.ours, *each.claim.peers} <= there} for each in claims.judge(run)]
    return found


def _other_hops(bundle: Bundle, variant: str) -> list[Contestant]:
    engine = find_engines()[0][0]
    known = {1.0, *OTHER_HOPS_S}
    return [contestant(engine, bundle, variant=variant, hop_s=hop_s, tasks=WHOLE) for hop_s in scaling.HOPS_S
            if hop_s not in known]


def _seeded_scaling(options: argparse.Namespace) -> dict[str, Any]:
    if options.no_seeded:
        return {}
    engines = [engine for engine in find_engines()[0] if engine.delegate]
    return scaling.from_seeded(engines, options.out / "seeded", n_rounds=8, budget_s=0.06, notify=_note)


def _write_baseline(found: dict[str, Any]) -> None:
    old = guard.read_baseline(BASELINE) if BASELINE.exists() else {}
    wanted = {claim["name"]: claim["wanted"] for claim in found["claims"] if claim["wanted"] is not None}
    guard.write_baseline(BASELINE, _ratios(found), machine=found["machine"]["cpu"], old=old, wanted=wanted)
    history.append(HERE / "history.jsonl", found)
    _note(f"{BASELINE.name} and history.jsonl are rewritten; look at them and commit them")


def _ratios(found: dict[str, Any]) -> dict[str, float]:
    return {claim["name"]: claim["ratio"]["value"] for claim in found["claims"] if claim["ratio"]}


def _print(found: dict[str, Any]) -> None:
    for remark in found["remarks"]:
        print(f"mind: {remark}")
    for claim in found["claims"]:
        value = f"{claim['ratio']['value']:.2f}" if claim["ratio"] else claim["why_not"]
        wanted = "" if claim["wanted"] is None else f" (wanted {claim['wanted']:g})"
        print(f"{claim['verdict']:13} {claim['name']}: {value}{wanted}")
    for name, why in found["absent"].items():
        print(f"not there     {name}: {why}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", nargs="?", help="the bundle to measure; the one in the box otherwise")
    parser.add_argument("--quick", action="store_true", help="the guard: some ratios against baseline.json")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--peers", nargs="*", choices=[peer.name for peer in PEERS], help="only these")
    parser.add_argument("--without", nargs="*", default=[], choices=[peer.name for peer in PEERS])
    parser.add_argument("--no-seeded", action="store_true", help="no scaling over window and sparsity")
    parser.add_argument("--rounds", type=int, help="fewer rounds than usual, to try things out")
    parser.add_argument("--tflite-python", help="the Python of an environment with tflite-runtime")
    parser.add_argument("--write-baseline", action="store_true", help="make this run the baseline")
    return parser.parse_args()


def _note(message: str) -> None:
    print(f"[{time.monotonic() - _BEGAN_S:5.0f} s] {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
