"""Running a compiled verification program, here or in QEMU, and counting its instructions."""

from __future__ import annotations

import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_asc.errors import VerificationError
from firmware_export.proof.build import PORTS, Target, require_tool

Counts = dict[str, dict[str, int]]
"""Phase -> function -> executed instructions."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a program printed and did."""

    lines: tuple[str, ...]
    """What it printed, without the numbers."""
    numbers: dict[str, int]
    """Lines of the form "name number"."""
    counts: Counts
    """Empty unless instructions were counted."""
    longest: dict[str, int]
    """Phase -> executed instructions between its beginning and its end, the largest."""

    @property
    def label(self) -> str:
        """The first label, which stands in quotation marks; empty without one."""
        return next((line[1:-1] for line in self.lines if line.startswith('"')), "")

    def instructions(self, phase: str) -> int:
        """Executed instructions of a phase, all functions together."""
        return sum(self.counts.get(phase, {}).values())


def build_counter(folder: Path) -> Path:
    """Compile the counting plugin into `folder`."""
    out = folder / "count.so"
    command = [require_tool("gcc"), "-O2", "-shared", "-fPIC", str(PORTS / "qemu" / "count.c"), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise VerificationError("the counting plugin does not compile", found=done.stderr[:500])
    return out


def run_program(target: Target, program: Path, arguments: Sequence[str], *, folder: Path, counter: Path | None = None,
                timeout_s: float = 600) -> Run:
    """Run a verification program to its end.

    Args:
        target: What it was compiled for.
        program: The compiled program.
        arguments: Its arguments; files are named relative to `folder`, without spaces or commas.
        folder: Where it runs.
        counter: The plugin of `build_counter`, to count instructions; emulated targets only.
        timeout_s: When to give up.

    Raises:
        MissingDependencyError: The emulator is not installed.
        VerificationError: It failed, crashed or did not end.
    """
    with tempfile.TemporaryDirectory(prefix="edge-asc-") as scratch:
        counts_file = Path(scratch) / "counts.txt"
        command = [str(program.resolve()), *arguments]
        if target.is_bare:
            plugin = ("-plugin", f"{counter},out={counts_file}") if counter else ()
            config = "enable=on,target=native," + ",".join(f"arg={text}" for text in ("asc", *arguments))
            command = [require_tool(target.emulator[0]), *target.emulator[1:], "-nographic", "-monitor", "none",
                       "-serial", "none", *plugin, "-semihosting-config", config, "-kernel", str(program.resolve())]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, timeout=timeout_s, check=False,
                                  stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired as error:
            raise VerificationError(f"{target.title}: {' '.join(arguments)} did not end",
                                    wanted=f"an end within {timeout_s:g} s") from error
        # Semihosting prints on QEMU's standard error.
        text = (done.stdout + done.stderr).decode(errors="replace")
        if done.returncode:
            what = "a fault of the processor" if done.returncode == 99 else f"exit status {done.returncode}"
            raise VerificationError(f"{target.title}: {' '.join(arguments)} failed", found=f"{what}: {text[-400:]!r}")
        return _parse(text, counts_file)


def _parse(text: str, counts_file: Path) -> Run:
    lines, numbers = [], {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if value.isdecimal():
            numbers[name] = int(value)
        else:
            lines.append(line)
    counts: defaultdict[str, dict[str, int]] = defaultdict(dict)
    if counts_file.exists():
        for line in counts_file.read_text().splitlines():
            phase, function, n = line.split("\t")
            counts[phase][function] = int(n)
    longest = {phase: functions.pop("longest", 0) for phase, functions in counts.items()}
    return Run(lines=tuple(lines), numbers=numbers, counts=dict(counts), longest=longest)
