"""Which machine this is and what state it is in: heat, clock, throttling, other work. As Linux tells it.

A figure from a throttled or busy machine is not wrong, but whoever reads it must know.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

BUSY = 0.15
"""Share of all CPUs in use by others from which on the machine counts as busy."""
SLOWED = 0.9
"""Below this share of its first clock a CPU counts as slowed down."""
_PI_FLAGS = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}
_PI_OCCURRED = 16


@dataclass(frozen=True, kw_only=True)
class State:
    """The machine at one moment. None and empty: it does not say."""

    temperature_c: float | None
    """The hottest thermal zone."""
    clock_mhz: float | None
    """Mean over the CPUs."""
    throttled: tuple[str, ...]
    """What limits it right now (Raspberry Pi)."""
    n_throttle_events: int | None
    """Of all CPUs since boot (x86)."""
    load: float
    """Mean number of runnable processes over the last minute."""


def describe_machine() -> dict[str, Any]:
    """What stands beside every figure: processor, memory, system, versions."""
    cpu, root = cpu_model(), Path("/")
    board = _text(root / "proc/device-tree/model").strip("\0 \n")
    flags = set(re.findall(r"^(?:flags|Features)\s*:\s*(.*)$", _text(root / "proc/cpuinfo"), re.M)[:1] or [""])
    words = set(" ".join(flags).split())
    features = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm",
                                  "neon") if name in words]
    memory = re.search(r"^MemTotal:\s*(\d+)", _text(root / "proc/meminfo"), re.M)
    governor = _text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip()
    return {
        "cpu": cpu, "board": board or None, "architecture": platform.machine(), "cpu_features": features,
        "n_cpus": len(os.sched_getaffinity(0)), "memory_bytes": int(memory[1]) * 1024 if memory else None,
        "is_virtual": "hypervisor" in words, "governor": governor or None, "kernel": platform.release(),
        "system": _system(), "python": platform.python_version(),
        "packages": {name: found for name in ("numpy", "ai-edge-litert", "tflite-runtime")
                     if (found := _version(name))},
    }


def read_state() -> State:
    """Look at the machine now; takes some milliseconds."""
    zones = [int(text) / 1000 for path in sorted(Path("/sys/class/thermal").glob("thermal_zone*/temp"))
             if (text := _text(path).strip()).lstrip("-").isdigit()]
    clocks = [int(text) / 1000 for path in sorted(Path("/sys/devices/system/cpu").glob("cpu*/cpufreq/scaling_cur_freq"))
              if (text := _text(path).strip()).isdigit()]
    if not clocks:
        clocks = [float(text) for text in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", _text(Path("/proc/cpuinfo")), re.M)]
    counts = [int(text) for path in Path("/sys/devices/system/cpu").glob("cpu*/thermal_throttle/core_throttle_count")
              if (text := _text(path).strip()).isdigit()]
    now, _ = parse_throttled(_vcgencmd("get_throttled"))
    return State(temperature_c=max(zones, default=None), clock_mhz=sum(clocks) / len(clocks) if clocks else None,
                 throttled=now, n_throttle_events=sum(counts) if counts else None, load=os.getloadavg()[0])


def parse_throttled(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """`throttled=0x50005`, the answer of `vcgencmd get_throttled` -> (what limits now, what did since boot)."""
    match = re.search(r"throttled=(0x[0-9a-fA-F]+)", text)
    bits = int(match[1], 16) if match else 0
    return (tuple(name for bit, name in _PI_FLAGS.items() if bits >> bit & 1),
            tuple(name for bit, name in _PI_FLAGS.items() if bits >> (bit + _PI_OCCURRED) & 1))


def judge(states: Sequence[State]) -> list[str]:
    """What the states before, during and after a measurement say against it, in sentences; empty if nothing."""
    if not states:
        return []
    first, remarks = states[0], []
    reasons = sorted({reason for state in states for reason in state.throttled})
    if reasons:
        n = sum(bool(state.throttled) for state in states)
        remarks.append(f"the machine was throttled at {n} of {len(states)} looks: {', '.join(reasons)}")
    counts = [state.n_throttle_events for state in states if state.n_throttle_events is not None]
    if counts and counts[-1] > counts[0]:
        remarks.append(f"the processor throttled {counts[-1] - counts[0]} times for heat")
    clocks = [state.clock_mhz for state in states if state.clock_mhz]
    if clocks and first.clock_mhz and min(clocks[len(clocks) // 2:]) < SLOWED * max(clocks):
        remarks.append(f"the clock fell from {max(clocks):.0f} to {min(clocks[len(clocks) // 2:]):.0f} MHz")
    return remarks


def others_share(duration_s: float = 0.5) -> tuple[float, float]:
    """Shares of all CPUs, measured while this process sleeps: (in use, stolen by the hypervisor)."""
    before = _cpu_ticks()
    time.sleep(duration_s)
    after = _cpu_ticks()
    spent = [b - a for a, b in zip(before, after, strict=True)]
    total = sum(spent)
    if not total:
        return 0.0, 0.0
    idle = spent[3] + (spent[4] if len(spent) > 4 else 0)
    return 1 - idle / total, (spent[7] if len(spent) > 7 else 0) / total


def _cpu_ticks() -> list[int]:
    line = _text(Path("/proc/stat")).partition("\n")[0].split()[1:9]
    return [int(word) for word in line] or [0] * 8


def cpu_model() -> str:
    """What the processor calls itself."""
    text = _text(Path("/proc/cpuinfo"))
    for key in ("model name", "Model", "Hardware", "cpu"):
        if match := re.search(rf"^{key}\s*:\s*(.+)$", text, re.M):
            return match[1].strip()
    return platform.processor() or platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _vcgencmd(question: str) -> str:
    program = shutil.which("vcgencmd")
    if program is None:
        return ""
    try:
        return subprocess.run([program, question], capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
