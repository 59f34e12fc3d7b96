"""Compiling exported C for this machine and for emulated parts: which compiler, which flags, which memory.

The emulated machines have the memory of the parts they stand for, so that what links here fits there.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_asc.errors import MissingDependencyError, VerificationError
from firmware_export.boards.board import CORTEX_M0PLUS, CORTEX_M4F, CORTEX_M7, CORTEX_M55, XTENSA_LX7, Core

PORTS = Path(__file__).parents[1] / "ports"
WARNINGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wdouble-promotion", "-Werror")
_BARE = ("-ffreestanding", "-nostartfiles", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections")
_STACK_BYTES = 4096
_PACKAGES = {"gcc": "gcc", "clang": "clang", "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
             "qemu-aarch64": "qemu-user", "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
             "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
             "qemu-system-arm": "qemu-system-arm", "qemu-system-riscv32": "qemu-system-misc"}


@dataclass(frozen=True, kw_only=True)
class Target:
    """A compiler, its flags, and the machine that runs the result."""

    name: str
    title: str
    compiler: str
    flags: tuple[str, ...] = ()
    emulator: tuple[str, ...] = ()
    """QEMU and its machine; empty for a program that runs here."""
    start: str = ""
    """Start-up code, a file of ports/qemu."""
    script: str = ""
    """Linker script, a file of ports/qemu."""
    memory: dict[str, int] = field(default_factory=dict)
    """What the linker script asks for: flash_origin, flash_bytes, ram_origin, ram_bytes."""
    core: Core | None = None
    """What it stands for in estimates."""
    fixed_point: bool = False
    """Whether the front end computes in integers there."""

    @property
    def is_bare(self) -> bool:
        """Whether the target is a machine without an operating system."""
        return bool(self.emulator)


def _cortex_m(name: str, title: str, machine: str, core: Core, *, flash: tuple[int, int] = (0, 4 << 20),
              ram: tuple[int, int] = (0x20000000, 4 << 20)) -> Target:
    memory = {"flash_origin": flash[0], "flash_bytes": flash[1], "ram_origin": ram[0], "ram_bytes": ram[1]}
    return Target(name=name, title=title, compiler="arm-none-eabi-gcc", flags=("--specs=nano.specs", *core.gcc_flags),
                  emulator=("qemu-system-arm", "-M", machine), start="start_cortex_m.c", script="cortex_m.ld",
                  memory=memory, core=core, fixed_point=not core.has_fpu)


def _riscv(name: str, architecture: str, abi: str, *, fixed_point: bool, core: Core | None = None) -> Target:
    return Target(name=name, title=architecture.upper(), compiler="riscv64-unknown-elf-gcc",
                  flags=(f"-march={architecture}", f"-mabi={abi}", "--specs=picolibc.specs"),
                  emulator=("qemu-system-riscv32", "-M", "virt", "-bios", "none"), start="start_riscv.c",
                  script="riscv.ld", memory={"ram_origin": 0x80000000, "ram_bytes": 4 << 20}, core=core,
                  fixed_point=fixed_point)


TARGETS: dict[str, Target] = {target.name: target for target in (
    Target(name="host", title="this machine, gcc", compiler="gcc"),
    Target(name="host-clang", title="this machine, clang", compiler="clang"),
    _cortex_m("m4f", "Cortex-M4F", "mps2-an386", CORTEX_M4F),
    _cortex_m("m7", "Cortex-M7", "mps2-an500", CORTEX_M7),
    _cortex_m("m55", "Cortex-M55", "mps3-an547", CORTEX_M55, flash=(0, 512 << 10),
              ram=(0x20000000, 512 << 10)),
    # The real STM32F405 has 128 KiB in one block; QEMU's has all 192.
    _cortex_m("stm32f405", "STM32F405: 1 MiB of flash, 128 KiB of RAM", "netduinoplus2", CORTEX_M4F,
              flash=(0x08000000, 1 << 20), ram=(0x20000000, 128 << 10)),
    # QEMU has no Cortex-M0+ with enough memory; its code is a subset of what the Cortex-M3 of this machine runs, which
    # is told to trap what a Cortex-M0+ cannot do, loads and stores that are not aligned.
    _cortex_m("m0plus", "Cortex-M0+ code", "mps2-an385", CORTEX_M0PLUS),
    # Stands for Xtensa as well, for whose LX7 Debian has no compiler: plain C takes about as many instructions there.
    _riscv("rv32", "rv32imafc", "ilp32f", fixed_point=False, core=XTENSA_LX7),
    _riscv("rv32imc", "rv32imc", "ilp32", fixed_point=True),
)}


def require_tool(program: str) -> str:
    """The path of a compiler or emulator.

    Raises:
        MissingDependencyError: It is not installed; the message names the Debian package.
    """
    found = shutil.which(program)
    if found is None:
        raise MissingDependencyError(f"the program {program} is not installed",
                                     fix=f"On Debian: apt install {_PACKAGES.get(program, program)}")
    return found


def missing_tools(target: Target) -> list[str]:
    """Compilers and emulators that the target needs and that are not installed."""
    tools = [target.compiler, *target.emulator[:1], *(["gcc"] if target.is_bare else [])]
    return [tool for tool in dict.fromkeys(tools) if shutil.which(tool) is None]


def compile_program(target: Target, sources: Sequence[Path], out: Path, *, include: Sequence[Path],
                    optimise: str = "-O2", extra: Sequence[str] = ()) -> None:
    """Compile and link C99 with every warning as an error.

    Args:
        target: What to compile for; its start-up code is added.
        sources: The C files.
        out: The program to write.
        include: Folders of headers.
        optimise: The compiler's level.
        extra: More flags.

    Raises:
        MissingDependencyError: The compiler is not installed.
        VerificationError: It did not compile; the message has the compiler's first words.
    """
    command = [require_tool(target.compiler), *target.flags, *WARNINGS, optimise, *extra]
    command += [f"-I{folder}" for folder in include]
    if target.is_bare:
        qemu = PORTS / "qemu"
        sources = [*sources, qemu / target.start]
        symbols = {**target.memory, "stack_bytes": _STACK_BYTES}
        command += [*_BARE, f"-I{qemu}", f"-T{qemu / target.script}"]
        command += [f"-Wl,--defsym={name}={value:#x}" for name, value in symbols.items()]
    done = subprocess.run([*command, *map(str, sources), "-o", str(out)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise VerificationError(f"the C does not compile for {target.title}", found=_first_lines(done.stderr))


def _first_lines(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return " | ".join(lines[:6]) if lines else "no message"
