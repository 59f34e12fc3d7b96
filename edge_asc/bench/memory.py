"""What the kernel says a process occupies: the whole of it, libraries, interpreter and weights alike."""

from __future__ import annotations

from pathlib import Path

_STATUS = {"VmHWM": "peak", "VmRSS": "resident"}
_ROLLUP = {"Pss": "proportional", "Private_Clean": "private", "Private_Dirty": "private", "Swap": "swapped"}


def memory_bytes(pid: int | str = "self", *, proc: Path = Path("/proc")) -> dict[str, int]:
    """Memory of a process of ours.

    Returns:
        `peak` (VmHWM, the largest resident size ever), `resident` (VmRSS, now); where the kernel has smaps_rollup also
        `proportional` (Pss: shared pages divided among their users), `private` (what would be freed if it ended) and
        `swapped`. Empty where there is no /proc.
    """
    found: dict[str, int] = {}
    for file, names in ((proc / str(pid) / "status", _STATUS), (proc / str(pid) / "smaps_rollup", _ROLLUP)):
        try:
            lines = file.read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            key, _, value = line.partition(":")
            if key in names:
                found[names[key]] = found.get(names[key], 0) + int(value.split()[0]) * 1024
    return found


def cpu_s(pid: int, *, proc: Path = Path("/proc")) -> float | None:
    """CPU time of a running process, all its threads, in seconds; None where the kernel does not say.

    From schedstat, in nanoseconds; threads that have ended are not in it.
    """
    try:
        return sum(int(path.read_text().split()[0]) for path in (proc / str(pid) / "task").glob("*/schedstat")) / 1e9
    except (OSError, ValueError, IndexError):
        return None
