"""The front end against librosa: first that both give the same decibels, then how long each takes.

Run: python benchmarks/frontend.py [--json FILE]   (needs the extra `train`). Exit 1 if they differ or we are slower.
The two are timed in turns and the fastest of many runs counts, so that a busy machine troubles both alike.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
from numpy.typing import NDArray

from edge_asc.features import MelStream, log_mel
from edge_asc.spec import FeatureSpec

SPEC = FeatureSpec()
TOLERANCE_DB = 1e-4


def librosa_log_mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    power = librosa.feature.melspectrogram(y=samples, sr=SPEC.sample_rate_hz, n_fft=SPEC.n_fft, n_mels=SPEC.n_mels,
                                           hop_length=SPEC.hop_length, center=False, fmax=SPEC.fmax_hz)
    return librosa.power_to_db(power, top_db=SPEC.top_db)


def fastest_ms(runs: dict[str, Callable[[], object]], *, n: int) -> dict[str, float]:
    times_ms: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(n):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times_ms[name].append((time.perf_counter() - start) * 1e3)
    return {name: round(min(values), 3) for name, values in times_ms.items()}


def peak_bytes(run: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()

    samples = (np.random.default_rng(0).standard_normal(SPEC.window_samples) * 0.1).astype(np.float32)
    second = samples[: SPEC.sample_rate_hz]
    difference_db = float(np.abs(log_mel(samples, SPEC) - librosa_log_mel(samples)).max())
    stream = MelStream(SPEC)
    stream.push(samples)

    times_ms = fastest_ms({
        "window, librosa": lambda: librosa_log_mel(samples),
        "window, log_mel": lambda: log_mel(samples, SPEC),
        "1 s hop, MelStream": lambda: stream.push(second),
    }, n=200)
    figures = {
        "difference_db": difference_db,
        "fastest_ms": times_ms,
        "log_mel / librosa": round(times_ms["window, log_mel"] / times_ms["window, librosa"], 3),
        "hop / librosa": round(times_ms["1 s hop, MelStream"] / times_ms["window, librosa"], 3),
        "peak_bytes": {"window, librosa": peak_bytes(lambda: librosa_log_mel(samples)),
                       "window, log_mel": peak_bytes(lambda: log_mel(samples, SPEC)),
                       "1 s hop, MelStream": peak_bytes(lambda: stream.push(second))},
        "on": f"{platform.machine()}, NumPy {np.__version__}, librosa {librosa.__version__}",
    }
    text = json.dumps(figures, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    return 0 if difference_db <= TOLERANCE_DB and figures["log_mel / librosa"] <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
