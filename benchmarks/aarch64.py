"""Instructions for one window on 64-bit ARM, the native engine against LiteRT's XNNPACK, counted by QEMU.

`make arm-count`: in the user land of `make arm`, with the processor of a Raspberry Pi 4 and of a Raspberry Pi 5. Both
engines are called from Python; what loading costs is in a run of one window and in one of three, and cancels out.
Exit 1 if a ratio is above its bound; the goal is shown beside it, reached or not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from edge_asc.bundle import shipped_bundle
from edge_asc.errors import EdgeAscError, MissingDependencyError, VerificationError
from edge_asc.runtime.tolerances import INT8_DELEGATE_TOLERANCE
from firmware_export.proof.build import require_tool
from firmware_export.proof.emulate import build_counter

ROOT = Path(__file__).parents[1]
# QEMU's name -> part number and features as such a Pi shows them: LiteRT looks there for what it may use.
CPUS = {"cortex-a72": ("Raspberry Pi 4", "0xd08", "fp asimd evtstrm crc32 cpuid"),
        "cortex-a76": ("Raspberry Pi 5", "0xd0b", "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp "
                       "cpuid asimdrdm lrcpc dcpop asimddp")}
ENGINES = ("litert", "native")
GOAL = 0.5
"""What we set out for on every processor: half of LiteRT's instructions."""
BOUNDS = {"cortex-a72": 0.25, "cortex-a76": 0.6}
"""What was measured, 0.20 and 0.55, and some room for other compilers and other versions of LiteRT. The second misses
the goal: dot products take dense weights as they lie; half of a sparse kernel's work is to bring four together."""
_N_MORE = 2


def main() -> int:
    """Count, print, and say whether the native engine takes more than it did."""
    parser = argparse.ArgumentParser(prog="benchmarks.aarch64", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", nargs="?", type=Path, default=shipped_bundle())
    parser.add_argument("--root", type=Path, default=ROOT / "out" / "arm" / "arm64", help="the user land")
    parser.add_argument("--cpu", choices=CPUS, nargs="*", default=list(CPUS))
    options = parser.parse_args()
    if not (options.root / "venv").is_dir():
        raise MissingDependencyError(f"there is no user land with edge-asc at {options.root}", fix="Run: make arm")
    worse = 0
    with tempfile.TemporaryDirectory(prefix="edge-asc-count-") as name:
        counter = build_counter(Path(name))
        for cpu in options.cpu:
            system = _system(options.root.resolve(), Path(name) / cpu, cpu)
            counts = {}
            for engine in ENGINES:
                # The first run compiles.
                _, few, many = (_count(options.bundle, engine, n, cpu, system, options.root.resolve(), counter)
                                for n in (1, 1, 1 + _N_MORE))
                counts[engine] = (many - few) / _N_MORE
                millions = f"{counts[engine] / 1e6:.1f} M instructions a window"
                print(f"{cpu} ({CPUS[cpu][0]}), {engine}: {millions}", flush=True)
            ratio = counts["native"] / counts["litert"]
            worse += ratio > BOUNDS[cpu]
            print(f"{cpu}: native / litert {ratio:.2f}; goal {GOAL:g}: {'reached' if ratio <= GOAL else 'MISSED'}; "
                  f"bound {BOUNDS[cpu]:g}: {'kept' if ratio <= BOUNDS[cpu] else 'WORSE'}", flush=True)
    return int(worse > 0)


def _system(root: Path, folder: Path, cpu: str) -> Path:
    """The user land as QEMU shows it to the program, with the processor's files of /proc and /sys."""
    _, part, features = CPUS[cpu]
    processors = folder / "sys" / "devices" / "system" / "cpu"
    processors.mkdir(parents=True)
    for name in ("usr", "lib", "etc"):
        (folder / name).symlink_to(root / name)
    for name in ("possible", "present", "online"):
        (processors / name).write_text("0-3\n")
    (folder / "proc").mkdir()
    (folder / "proc" / "cpuinfo").write_text("".join(
        f"processor\t: {number}\nFeatures\t: {features}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
        f"CPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 3\n\n" for number in range(4)))
    return folder


def _count(bundle: Path, engine: str, n_windows: int, cpu: str, system: Path, root: Path, counter: Path) -> int:
    """Instructions of a whole run, its answer checked."""
    python = (root / "usr" / "bin" / "python3").resolve()
    packages = next((root / "venv" / "lib").glob("python3*")) / "site-packages"
    # The compiler runs outside the emulator: what it makes is counted, not what it does.
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{packages}", "PYTHONDONTWRITEBYTECODE": "1",
                   "CC": require_tool("aarch64-linux-gnu-gcc"), "XDG_CACHE_HOME": str(counter.parent / "cache")}
    counts = counter.parent / "counts.txt"
    command = [require_tool("qemu-aarch64"), "-cpu", cpu, "-L", str(system), "-plugin", f"{counter},out={counts}",
               str(python), "-m", "benchmarks.windows", str(bundle.resolve()), engine, str(n_windows)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=ROOT)
    if done.returncode:
        raise VerificationError(f"{engine} on {cpu} failed", found=done.stderr[-500:])
    found = json.loads(done.stdout)
    difference = max(abs(a - b) for a, b in zip(found["probabilities"], found["recorded"], strict=True))
    if not difference <= INT8_DELEGATE_TOLERANCE:
        raise VerificationError(f"{engine} on {cpu} answers something else than was recorded", found=difference)
    return sum(int(line.split("\t")[2]) for line in counts.read_text().splitlines() if "\tlongest\t" not in line)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EdgeAscError as error:
        sys.exit(str(error))
