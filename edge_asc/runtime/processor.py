"""The processor at hand: what tells it from another one, and what a compiler may use of it."""

from __future__ import annotations

import ctypes
import platform
import struct
from pathlib import Path

_AT_HWCAP, _AT_HWCAP2 = 16, 26  # elf.h
_ARM32_NEON, _ARM64_DOT_PRODUCT = 1 << 12, 1 << 20  # asm/hwcap.h: HWCAP_NEON, HWCAP_ASIMDDP


def description() -> str:
    """Architecture and instruction sets. Code that was compiled with `compiler_flags` runs where this is the same."""
    return " ".join([_architecture(), *map(hex, _capabilities()), _feature_line()])


def compiler_flags() -> tuple[str, ...]:
    """Flags with which gcc and clang use what this processor has.

    On ARM the kernel's word is taken and not -mcpu=native: it holds for all cores, and in an emulator too.
    """
    capabilities = _capabilities()[0]
    match _architecture():
        case "x86_64":
            return ("-march=native",)
        case "aarch64":
            return ("-march=armv8.2-a+dotprod",) if capabilities & _ARM64_DOT_PRODUCT else ()
        case "arm":
            return ("-march=armv7-a", "-mfpu=neon") if capabilities & _ARM32_NEON else ()
        case _:
            return ()


def _architecture() -> str:
    """Of this process: a 32-bit user land may run on a 64-bit kernel."""
    machine, is_64_bit = platform.machine().lower(), struct.calcsize("P") == 8
    if machine in ("aarch64", "arm64") or machine.startswith("arm"):
        return "aarch64" if is_64_bit else "arm"
    return "x86_64" if machine == "amd64" else machine


def _capabilities() -> tuple[int, int]:
    """What the kernel told this process about the processor; zeros where there is no such word."""
    try:
        ask = ctypes.CDLL(None).getauxval
    except (AttributeError, OSError, TypeError):
        return 0, 0
    ask.argtypes, ask.restype = [ctypes.c_ulong], ctypes.c_ulong
    return ask(_AT_HWCAP), ask(_AT_HWCAP2)


def _feature_line() -> str:
    """Of the first processor in /proc/cpuinfo; empty where there is none."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            return next((line.strip() for line in lines if line.startswith(("flags", "Features", "isa"))), "")
    except OSError:
        return ""
