"""The README of an export: what it needs, what it promises, what it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from firmware_export.emit.model import Member
from firmware_export.output.exported import Exported


def readme(exported: Exported, members: Sequence[Member], sizes: dict[str, Any], *, command: str) -> str:
    """Markdown."""
    rows = "\n".join(
        f"| {member.network.name} | {sizes['flash_members_bytes'][member.network.name]['weights']} | "
        f"{sizes['flash_members_bytes'][member.network.name]['quantisation']} | "
        f"{sizes['ram_arena_bytes'][member.network.name]} | {sizes['multiplications'][member.network.name]} |"
        for member in members)
    spec = exported.features
    spare_s = sizes["n_spare_frames"] * spec.hop_length / spec.sample_rate_hz
    return f"""# Acoustic scene classification in C99

Made from the bundle with manifest sha256 `{exported.bundle_sha256}`: members {', '.join(exported.members)}; labels
{', '.join(exported.labels)}.{f" Command: `{command}`." if command else ""} Everything to compile is in `src/`;
start with `src/asc.h`.

## What it needs
A C99 compiler; from the C library memcpy, memmove, memset and nothing else, not even libm; on parts without an FPU or a
wide multiply the compiler's own helpers (libgcc). Sound at {spec.sample_rate_hz} Hz, mono, 16 bits. Compile with -O2.

## How to use it
```c
#include "asc.h"

static AscState state;

asc_init(&state);
for (;;) {{
    asc_push(&state, block, n);               /* the samples, in blocks of any length */
    if (asc_busy(&state) || asc_ready(&state) >= ASC_FRAMES_PER_SECOND)
        if (asc_step(&state, 100000) == ASC_DONE)
            use(asc_label(&state), asc_probabilities(&state));
}}
```

A window is {spec.window_s:.3f} s of sound. While one is classified, step by step, the next sound goes on being
taken in: there is room for {sizes['n_spare_frames']} frames ({spare_s:.1f} s). On a part that is slower than that,
samples are dropped (asc_push says so) and the next window begins after the gap; no window ever has one inside.

The same folder is a CMake project (target `asc`), an Arduino library, a PlatformIO library, a Zephyr module
(CONFIG_EDGE_ASC) and an ESP-IDF component.

## What it promises
No heap, no files, no recursion, no constructors, no names that do not begin with asc. No variables outside `AscState`:
two states in one program do not know of each other.
Every member's output tensor equals that of TensorFlow Lite Micro's reference kernels for the same int8 model, bit for
bit, on every target and with every kernel.

## What it takes
Flash for the tables: {sizes['flash_tables_bytes']} bytes, of these weights and quantisation
{sizes['flash_weights_and_quantisation_bytes']}. RAM: {sizes['ram_state_bytes']} bytes of `AscState` on a 32-bit part
(window and spare frames {sizes['ram_window_bytes']}, networks {sizes['ram_model_bytes']}, the rest front end), plus
the stack: 1.2 KB at most were measured on Cortex-M and RISC-V (gcc -O2), without interrupts.
`edge-asc firmware verify` measures these and the code on emulated parts.

| member | weights, flash bytes | quantisation, flash bytes | arena, RAM bytes (shared) | multiplications per window |
|---|---|---|---|---|
{rows}
"""
