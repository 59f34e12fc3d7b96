"""Flash, RAM, core and clock of real boards, and whether an export fits.

Sizes are those of the datasheets: the RAM is the largest block with consecutive addresses, because the state is one
object; the clock is the highest the part is specified for. What a board's own software needs is for its owner to leave.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_asc.errors import InputError, OverBudgetError

KIB = 1024


@dataclass(frozen=True, kw_only=True)
class Core:
    """A processor core: how to compile for it, and a rough speed."""

    name: str
    gcc_flags: tuple[str, ...]
    """What selects this core in arm-none-eabi-gcc; empty for cores of other compilers."""
    cycles_per_instruction: float
    """A rough figure for estimates: pipeline and flash wait states depend on the part and its settings."""
    has_fpu: bool
    instructions_per_multiplication: float = 2.9
    """Of the networks, for estimates: counted by QEMU on the 5V + 1I ensemble; Xtensa's is that of RV32."""
    frontend_instructions_per_s: float = 5.2e6
    """Per second of audio, likewise."""


CORTEX_M0PLUS = Core(name="Cortex-M0+", gcc_flags=("-mcpu=cortex-m0plus", "-mthumb"), cycles_per_instruction=1.6,
                     has_fpu=False, instructions_per_multiplication=10.2, frontend_instructions_per_s=26.4e6)
CORTEX_M4F = Core(name="Cortex-M4F", gcc_flags=("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
                  cycles_per_instruction=1.4, has_fpu=True)
CORTEX_M7 = Core(name="Cortex-M7", gcc_flags=("-mcpu=cortex-m7", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv5-d16"),
                 cycles_per_instruction=0.9, has_fpu=True)
CORTEX_M33 = Core(name="Cortex-M33", gcc_flags=("-mcpu=cortex-m33", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv5-sp-d16"),
                  cycles_per_instruction=1.3, has_fpu=True)
CORTEX_M55 = Core(name="Cortex-M55", gcc_flags=("-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard"),
                  cycles_per_instruction=1.2, has_fpu=True, instructions_per_multiplication=1.3)
XTENSA_LX7 = Core(name="Xtensa LX7", gcc_flags=(), cycles_per_instruction=1.5, has_fpu=True,
                  instructions_per_multiplication=6.2, frontend_instructions_per_s=7.0e6)


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board, or a part that boards are made with."""

    name: str
    title: str
    core: Core
    clock_hz: int
    flash_bytes: int
    ram_bytes: int
    """The largest block of RAM with consecutive addresses."""
    note: str = ""

    def estimated_s(self, n_instructions: float) -> float:
        """A rough time for so many instructions, in seconds. An estimate: nothing was measured on this board."""
        return n_instructions * self.core.cycles_per_instruction / self.clock_hz


def _board(name: str, title: str, core: Core, clock_mhz: int, flash_kib: int, ram_kib: int, note: str = "") -> Board:
    return Board(name=name, title=title, core=core, clock_hz=clock_mhz * 1_000_000, flash_bytes=flash_kib * KIB,
                 ram_bytes=ram_kib * KIB, note=note)


BOARDS: dict[str, Board] = {board.name: board for board in (
    _board("nrf52840", "Nordic nRF52840", CORTEX_M4F, 64, 1024, 256),
    _board("nano-33-ble-sense", "Arduino Nano 33 BLE Sense (nRF52840, MP34DT05 microphone)", CORTEX_M4F, 64, 960, 256,
           "The boot loader takes 64 KiB of the 1 MiB of flash."),
    _board("nicla-vision", "Arduino Nicla Vision (STM32H747, MP34DT06 microphone)", CORTEX_M7, 480, 2048, 512,
           "1 MiB of RAM in all, 512 KiB of it in one block."),
    _board("nicla-voice", "Arduino Nicla Voice (nRF52832)", CORTEX_M4F, 64, 512, 64),
    _board("stm32f411", "ST STM32F411xE", CORTEX_M4F, 100, 512, 128),
    _board("stm32f405", "ST STM32F405xG", CORTEX_M4F, 168, 1024, 128, "64 KiB more lie apart, at 0x10000000."),
    _board("stm32l476", "ST STM32L476xG", CORTEX_M4F, 80, 1024, 96, "32 KiB more lie apart, at 0x10000000."),
    _board("stm32h743", "ST STM32H743xI", CORTEX_M7, 480, 2048, 512,
           "1 MiB of RAM in all, 512 KiB of it in one block."),
    _board("b-l475e-iot01a", "ST B-L475E-IOT01A (STM32L475, two MP34DT01 microphones)", CORTEX_M4F, 80, 1024, 96,
           "32 KiB more lie apart, at 0x10000000."),
    _board("steval-bcnkt01v1", "ST STEVAL-BCNKT01V1 BlueCoin (STM32F446, four MP34DT06J microphones)", CORTEX_M4F, 180,
           512, 128),
    _board("steval-stwinkt1b", "ST STEVAL-STWINKT1B SensorTile (STM32L4R9, two microphones)", CORTEX_M4F, 120, 2048,
           640),
    _board("rp2040", "Raspberry Pi Pico (RP2040)", CORTEX_M0PLUS, 133, 2048, 256,
           "264 KiB of RAM in all. Code runs from external flash through a cache of 16 KiB."),
    _board("rp2350", "Raspberry Pi Pico 2 (RP2350)", CORTEX_M33, 150, 4096, 512,
           "520 KiB of RAM in all. Code runs from external flash through a cache of 16 KiB."),
    _board("alif-e7", "Alif Ensemble E7, the faster of its two cores", CORTEX_M55, 400, 5632, 1024,
           "The RAM is the core's own, tightly coupled; more is shared."),
    _board("esp32-s3", "Espressif ESP32-S3-WROOM-1-N8", XTENSA_LX7, 240, 8192, 320,
           "512 KiB of RAM in all; about 320 KiB are left for data. Code runs from external flash through a cache."),
)}


@dataclass(frozen=True, kw_only=True)
class Need:
    """What an export takes: `label` says which, for instance "v1 v2 i1"."""

    label: str
    flash_bytes: int
    ram_bytes: int

    def fits(self, board: Board) -> bool:
        """Whether both sizes are within the board's."""
        return self.flash_bytes <= board.flash_bytes and self.ram_bytes <= board.ram_bytes

    def __str__(self) -> str:
        return f"{self.label}: {_kib(self.flash_bytes)} of flash and {_kib(self.ram_bytes)} of RAM"


def find_board(name: str) -> Board:
    """The board of this name.

    Raises:
        InputError: There is no such board; the message names them all.
    """
    if name not in BOARDS:
        raise InputError(f"no board {name!r}", wanted=" or ".join(BOARDS),
                         fix="Leave out --board for a part that is not listed.")
    return BOARDS[name]


def require_fit(board: Board, need: Need, *, alternatives: Iterable[Need] = ()) -> None:
    """Accepts what fits on a board.

    Args:
        board: The board.
        need: What is to run on it.
        alternatives: Lesser needs, best first; the first that fits is named as the way out.

    Raises:
        OverBudgetError: It does not fit; the message has the numbers and what would fit.
    """
    if need.fits(board):
        return
    way_out = next((other for other in alternatives if other.fits(board)), None)
    fits_on = [other.name for other in BOARDS.values() if need.fits(other)]
    fix = f"This would fit: {way_out}." if way_out else "No choice of members and stripes fits this board."
    if fits_on:
        fix += f" Boards that it fits: {', '.join(fits_on)}."
    raise OverBudgetError(f"this export does not fit on {board.name}", found=need,
                          wanted=f"at most {_kib(board.flash_bytes)} and {_kib(board.ram_bytes)}", fix=fix)


def _kib(n_bytes: int) -> str:
    return f"{n_bytes / KIB:.1f} KiB"
