"""The README of an export: what it needs, how to use it, what it promises, what it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_asc import __version__
from firmware_export.emit.model import Member
from firmware_export.output.exported import Exported

STEP_BUDGET = 100_000


def readme(exported: Exported, members: Sequence[Member], sizes: dict[str, Any], *, command: str) -> str:
    """Markdown."""
    rows = "\n".join(
        f"| {member.network.name} | {sizes['flash_members_bytes'][member.network.name]['weights']} | "
        f"{sizes['flash_members_bytes'][member.network.name]['quantisation']} | "
        f"{sizes['ram_arena_bytes'][member.network.name]} | {sizes['multiplications'][member.network.name]} |"
        for member in members)
    spec = exported.features
    spare_s = sizes["n_spare_frames"] * spec.hop_length / spec.sample_rate_hz
    n_steps = sum(-(-n // STEP_BUDGET) for n in sizes["multiplications"].values())
    return f"""# Acoustic scene classification in C99

Made by edge-asc {__version__} from the bundle with manifest sha256 `{exported.bundle_sha256}` (a program can print its
first digits, `ASC_MODEL_BUNDLE`): members {', '.join(exported.members)}; labels {', '.join(exported.labels)}.
{f"Command: `{command}`." if command else ""}

Everything to compile is in `src/`; start with `src/asc.h`. Keep files of your own outside: an export is replaced by the
next one, and one in which anything was added or edited is not.

## What it needs
A C99 compiler and a little-endian processor with an `int` of 32 bits; from the C library memcpy, memmove, memset and
nothing else, not even libm; on parts without an FPU or a wide multiply the compiler's own helpers (libgcc). Compile
with -O2. The kernels for Cortex-M4 and later load words from any address: where your system traps that, compile with
-mno-unaligned-access, and plain C does the same in twice the time (the C library must keep to it as well).

Sound at {spec.sample_rate_hz} Hz, mono, 16 bits, at the level of the recordings that the networks learnt from.

## How to use it
```c
#include "asc.h"

static AscState state;

int main(void)
{{
    static int16_t block[480];
    asc_init(&state);
    for (;;) {{
        size_t n = read_microphone(block, 480);   /* what has arrived, perhaps nothing: it may not wait */
        asc_push(&state, block, n);
        if (asc_busy(&state) || asc_ready(&state) >= ASC_FRAMES_PER_SECOND)
            if (asc_step(&state, {STEP_BUDGET}) == ASC_DONE)
                use(asc_label(&state), asc_probabilities(&state));
    }}
}}
```

A window is {spec.window_s:.3f} s of sound. Classifying one takes {n_steps} such steps or some fewer, and between them
the next sound goes on being taken in: there is room for {sizes['n_spare_frames']} frames ({spare_s:.1f} s). Where a
classification takes longer than that, because the part is slow or because the loop waits for sound between the steps,
samples are dropped (asc_push says so) and the next window begins after the gap; no window ever has one inside. A loop
that has to wait gives each step more to do: `asc.h` says how much.

Such a step is at most {STEP_BUDGET + sizes['largest_piece_multiplications']} multiplications, which take
2 instructions each on a Cortex-M55, 4 on a Cortex-M4F, 8 on RISC-V and 13 on a Cortex-M0+: for so long the microphone's
own buffer must last.

Calls with one state may not overlap: let the interrupt or the DMA collect blocks, and push them from the loop.

| build system | how |
|---|---|
| CMake | `add_subdirectory(this-folder asc)`, `target_link_libraries(app asc)` |
| ESP-IDF | put it into `components/`, or name it in `EXTRA_COMPONENT_DIRS`; the component is called like the folder |
| Zephyr | `west build ... -- -DEXTRA_ZEPHYR_MODULES=/path/of/this-folder`; `CONFIG_EDGE_ASC=y` (and `CONFIG_FPU=y`) |
| Arduino | copy it into the folder `libraries`; see the example Listen. Many cores compile with -Os: 4 % slower |
| PlatformIO | copy it into `lib/`, or `lib_deps = symlink:///path/of/this-folder` |
| anything else | compile `src/*.c` with `-Isrc` |

Macros that you may set, for the library and the application alike (asc_init refuses the state of a program that was
compiled otherwise): `ASC_SPARE_FRAMES`, and those of `src/asc_config.h`. Every export has the same names: a program can
have one.

## What it promises
No heap, no files, no recursion, no constructors, no names that do not begin with asc. No variables outside `AscState`:
two states in one program do not know of each other.
Every member's output tensor equals that of TensorFlow Lite Micro's reference kernels for the same int8 model, bit for
bit, on every target and with every kernel.

## What it takes
Flash for the tables: {sizes['flash_tables_bytes']} bytes, of these weights and quantisation
{sizes['flash_weights_and_quantisation_bytes']}; on top come the front end's tables, at most
{sizes['flash_frontend_tables_bytes']} bytes, and 14 KiB (Cortex-M4F) to 20 KiB (Cortex-M0+) of code. RAM:
{sizes['ram_state_bytes']} bytes of `AscState` on a 32-bit part, {sizes['ram_state_fixed_point_bytes']} without an FPU
(window and spare frames {sizes['ram_window_bytes']}, networks {sizes['ram_model_bytes']}, the rest front end), plus
the stack: 1.2 KB at most were measured on Cortex-M and RISC-V (gcc -O2), without interrupts.
`edge-asc firmware verify` measures these and the code on emulated parts.

| member | weights, flash bytes | quantisation, flash bytes | arena, RAM bytes (shared) | multiplications per window |
|---|---|---|---|---|
{rows}

## Licence
What was written by hand, the C and these build files, is edge-asc's: Apache-2.0, see LICENSE. The tables in
`src/asc_model_*` come from your bundle and are under its terms; `MODEL_CARD.md` is the bundle's own account of what its
networks learnt from and how good they are.
"""
