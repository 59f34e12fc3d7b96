"""The way from recordings to trained members, against the authors' way of doing it, verified and in one run.

Run: python -m benchmarks.data_path [--quick] [--json FILE]   (needs the extra `train`). Exit 1 if an answer differs.
The authors' way is restated from the paper: librosa reads each file whole, computes the filters anew for each, and
Keras `fit` trains. Sound is noise in the published format (10 s, two channels, 48 kHz, 24 bits), written for the run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import block_mixing
from benchmarks.sound_files import write_clips
from edge_asc.atomic import write_text
from edge_asc.bench.machine import describe_machine
from edge_asc.bench.serve import repeat
from edge_asc.bench.statistics import Ratio, ratio
from edge_asc.data.feature_cache import Segment, cached_track_features, track_features
from edge_asc.data.worker_pool import default_n_jobs
from edge_asc.errors import EdgeAscError, VerificationError
from edge_asc.features import MelStream, clamp, log_mel
from edge_asc.spec import FeatureSpec

SPEC = FeatureSpec()
TOLERANCE_DB = 1e-3
WANTED = {"front end, one hop": 3.0, "front end, 10 s": 1.5, "features of a file": 3.0, "block mixing": 8.0,
          "training step, V": 1.3, "training step, I": 1.3, "a step of each of 5V + 1I": 1.3}
"""Times the authors' way must take of ours, in CPU time."""
START_WANTED_S = 15.0
_START = Path(__file__).with_name("start_member.py")


def measure(*, n_rounds: int = 7, n_files: int = 48, batch_size: int = 128) -> dict[str, Any]:
    """All of it.

    Raises:
        VerificationError: Ours and the authors' way give different answers.
    """
    from benchmarks import fresh_tracks, training_steps

    with tempfile.TemporaryDirectory(prefix="edge-asc-data-path-") as name:
        folder = Path(name)
        files = write_clips(folder / "clips", n_files)
        # More BLAS threads would spend librosa's CPU time on waiting for each other.
        with threadpool_limits(1):
            ratios = {**_front_end(n_rounds), "features of a file": _features(files, n_rounds)}
            mixing = block_mixing.measure(n_rounds=n_rounds)
        scaling = _scaling(files, folder)
        start = _start_member(folder)
    steps = training_steps.measure(n_rounds=max(2, n_rounds // 2), batch_size=batch_size)
    on_the_fly = fresh_tracks.measure(n_steps=4 * n_rounds, batch_size=batch_size)
    found = {name: each.to_json() for name, each in ratios.items()}
    found |= {"block mixing": mixing["ratio"],
              **{f"training step, {family}": steps[family]["ratio"] for family in training_steps.MEMBERS},
              "a step of each of 5V + 1I": steps["5V + 1I"]}
    return {"machine": describe_machine(), "ratios": {name: {**each, "wanted": WANTED[name]}
                                                      for name, each in found.items()},
            "features over cores": scaling, "start of a member": start, "training": steps,
            "mixing on the fly": on_the_fly}


def _front_end(n_rounds: int) -> dict[str, Ratio]:
    """A second of new samples, and ten seconds at once, against librosa on the same samples."""
    rng = np.random.default_rng(0)
    window = (0.1 * rng.standard_normal(SPEC.window_samples)).astype(np.float32)
    _require_equal("front end", log_mel(window, SPEC), plain_features(window))
    # As many samples as make the frames that a second completes on average.
    new = window[:SPEC.sample_rate_hz]
    n_overlap = SPEC.n_fft - SPEC.hop_length
    stream = MelStream(SPEC)
    stream.push(window)
    return {"front end, one hop": _turns(lambda: stream.push(new), lambda: plain_features(
        window[:SPEC.sample_rate_hz + n_overlap]), n_rounds),
        "front end, 10 s": _turns(lambda: log_mel(window, SPEC), lambda: plain_features(window), n_rounds)}


def _features(files: Sequence[Path], n_rounds: int) -> Ratio:
    """From a file to its features, both in this process."""
    def ours(file: Path) -> np.ndarray:
        return clamp(track_features((Segment(str(file)),), SPEC), SPEC)

    def plain(file: Path) -> np.ndarray:
        return plain_features(librosa.load(file, sr=None, mono=True)[0])

    _require_equal("features of a file", ours(files[0]), plain(files[0]))
    return _turns(lambda: ours(files[0]), lambda: plain(files[0]), n_rounds)


def _scaling(files: Sequence[Path], folder: Path) -> dict[str, float]:
    """Seconds for all files, starting processes included, with one process and with one per core."""
    tracks = [(Segment(str(file)),) for file in files] * 24
    found = {}
    for n_jobs in dict.fromkeys((1, default_n_jobs())):
        begin_s = time.perf_counter()
        cached_track_features(tracks, SPEC, folder / f"cache-{n_jobs}", n_jobs=n_jobs)
        found[f"{n_jobs} processes, s"] = round(time.perf_counter() - begin_s, 3)
    return found


def _start_member(folder: Path) -> dict[str, float]:
    """A new process, from its first line to the first batch trained, with the features cached."""
    command = [sys.executable, "-W", "ignore", str(_START), str(folder / "start")]
    subprocess.run([*command, "prepare"], check=True)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {**json.loads(done.stdout), "wanted_s": START_WANTED_S}


def plain_features(samples: np.ndarray) -> np.ndarray:
    """As the authors compute them."""
    power = librosa.feature.melspectrogram(y=samples, sr=SPEC.sample_rate_hz, n_fft=SPEC.n_fft, center=False,
                                           hop_length=SPEC.hop_length, n_mels=SPEC.n_mels, fmin=SPEC.fmin_hz,
                                           fmax=SPEC.fmax_hz)
    return librosa.power_to_db(power, amin=SPEC.amin, top_db=SPEC.top_db)


def _require_equal(name: str, ours: np.ndarray, plain: np.ndarray) -> None:
    difference_db = float(np.abs(ours - plain).max())
    if not difference_db <= TOLERANCE_DB:
        raise VerificationError(f"{name}: ours and librosa's differ", found=f"{difference_db:g} dB",
                                wanted=f"{TOLERANCE_DB:g} dB")


def _turns(ours: Callable[[], object], plain: Callable[[], object], n_rounds: int) -> Ratio:
    """CPU time of the plain way over ours, in alternation."""
    rounds: list[list[list[float]]] = [[], []]
    for _ in range(n_rounds):
        for task, times in zip((ours, plain), rounds, strict=True):
            times.append(repeat(task, budget_s=0.1, n_least=5, n_warm_up=3)["cpu_ms"])
    return ratio(rounds[1], rounds[0])


def rows(found: Mapping[str, Any]) -> list[list[str]]:
    """What was measured, its interval, what is wanted, and a verdict: for people."""
    lines = [[f"{name}: authors' way / edge-asc, CPU", f"{each['value']:.2f}",
              f"{each['low']:.2f} to {each['high']:.2f}", f"{each['wanted']:g}",
              "holds" if each["value"] >= each["wanted"] else "MISSED"] for name, each in found["ratios"].items()]
    start = found["start of a member"]
    lines.append(["start of a member, cached features, s", f"{start['first_batch_s']:.1f}",
                  f"{start['cpu_s']:.1f} s of CPU",
                  f"under {start['wanted_s']:g}", "holds" if start["first_batch_s"] < start["wanted_s"] else "MISSED"])
    lines += [[f"features of all files, {name}", f"{seconds:.2f}", "-", "-", "-"]
              for name, seconds in found["features over cores"].items()]
    on_the_fly = found["mixing on the fly"]
    lines.append(["mixed tracks made in a second of CPU time", f"{on_the_fly['tracks_per_cpu_s']:.0f}", "-", "-", "-"])
    lines += [[f"a step of {family} on tracks mixed on the fly, share of it spent waiting for its batch",
               f"{each['on the fly']['waiting']:.1%}", f"{each['on the fly']['step_s']:.3f} s a step, "
               f"{each['in memory']['step_s']:.3f} s on tracks in memory", "-", "-"]
              for family, each in on_the_fly.items() if family != "tracks_per_cpu_s"]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="data_path", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller batches, to try it out")
    parser.add_argument("--json", type=Path, help="write what was found here")
    options = parser.parse_args()
    try:
        found = measure(n_rounds=2, n_files=4, batch_size=8) if options.quick else measure()
    except EdgeAscError as error:
        print(f"data_path: {error}", file=sys.stderr)
        return 1
    if options.json:
        write_text(options.json, json.dumps(found, indent=1) + "\n")
    for line in rows(found):
        print(f"{line[4]:7} {line[0]}: {line[1]} ({line[2]}; wanted {line[3]})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
