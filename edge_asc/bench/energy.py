"""Energy: measured where the machine has a meter that can be read, otherwise an estimate that is named one.

The estimate counts arithmetic and memory traffic at the published energies of a 45 nm process (Horowitz, "Computing's
energy problem", ISSCC 2014). Fetching and scheduling instructions is not in it: a CPU spends several times more, so it
is good for comparing networks and a floor for everything else.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Picojoules: a multiplication and an addition at this precision; one byte from DRAM.
PJ_PER_MAC = {"float32": 3.7 + 0.9, "float16": 1.1 + 0.4, "int8": 0.2 + 0.03}
PJ_PER_DRAM_BYTE = 160.0
RAPL = Path("/sys/class/powercap")


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Joules for one second of audio."""

    j_per_s: float
    is_estimate: bool
    how: str


def estimate(*, macs_per_s: float, bytes_per_s: float, precision: str) -> Energy:
    """The named model.

    Args:
        macs_per_s: Multiplications of the networks for one second of audio, as they are executed.
        bytes_per_s: Weights and activations that move for it.
        precision: "float32", "float16" or "int8"; float16 files are computed in float32 by every engine here.
    """
    # The values of float16 files are widened when they are loaded.
    pj_per_mac = PJ_PER_MAC["int8" if precision == "int8" else "float32"]
    joules = (macs_per_s * pj_per_mac + bytes_per_s * PJ_PER_DRAM_BYTE) * 1e-12
    return Energy(j_per_s=joules, is_estimate=True,
                  how=f"estimate: {pj_per_mac:g} pJ per multiplication and {PJ_PER_DRAM_BYTE:g} pJ per byte moved "
                      "(45 nm, Horowitz 2014), without the cost of instructions")


class Meter:
    """The machine's own meter. `find` gives None where there is none that can be read."""

    def __init__(self, name: str, joules: Callable[[], float], *, wraps_at_j: float | None = None) -> None:
        self.name, self._joules, self._wraps_at_j = name, joules, wraps_at_j

    @classmethod
    def find(cls, *, rapl: Path = RAPL) -> Meter | None:
        """RAPL's package counters, or the power monitor of a Raspberry Pi 5."""
        counters = sorted(path for path in rapl.glob("intel-rapl:*/energy_uj") if path.parent.name.count(":") == 1)
        if counters and all(_readable(path) for path in counters):
            wraps = [int((path.parent / "max_energy_range_uj").read_text()) / 1e6 for path in counters]
            return cls("RAPL, all packages", lambda: sum(int(path.read_text()) / 1e6 for path in counters),
                       wraps_at_j=wraps[0] if len(wraps) == 1 else None)
        program = shutil.which("vcgencmd")
        if program and pi_watts(_pmic(program)) is not None:
            return cls("the Raspberry Pi's power monitor", _Integral(lambda: pi_watts(_pmic(program)) or 0.0).joules)
        return None

    def used_by(self, work: Callable[[], object]) -> tuple[float, float]:
        """Run something: (joules, seconds)."""
        before, started = self._joules(), time.perf_counter()
        work()
        used, took_s = self._joules() - before, time.perf_counter() - started
        if used < 0 and self._wraps_at_j:
            used += self._wraps_at_j
        return used, took_s


class _Integral:
    """Sums watts that are asked for a few times a second."""

    def __init__(self, watts: Callable[[], float], *, every_s: float = 0.2) -> None:
        self._total_j, self._lock = 0.0, threading.Lock()

        def run() -> None:
            last = time.perf_counter()
            while True:
                time.sleep(every_s)
                now_w, now = watts(), time.perf_counter()
                with self._lock:
                    self._total_j += now_w * (now - last)
                last = now

        threading.Thread(target=run, daemon=True).start()

    def joules(self) -> float:
        with self._lock:
            return self._total_j


def pi_watts(text: str) -> float | None:
    """`vcgencmd pmic_read_adc` -> watts over all rails that have a current and a voltage; None if there is none."""
    values = {(rail, kind): float(value) for rail, kind, value
              in re.findall(r"(\w+)_([AV])\s+(?:current|volt)\(\d+\)=([\d.]+)[AV]", text)}
    rails = [current * values[rail, "V"] for (rail, kind), current in values.items()
             if kind == "A" and (rail, "V") in values]
    return sum(rails) if rails else None


def _pmic(program: str) -> str:
    try:
        return subprocess.run([program, "pmic_read_adc"], capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _readable(path: Path) -> bool:
    try:
        return path.read_text().strip().isdigit()
    except OSError:
        return False
