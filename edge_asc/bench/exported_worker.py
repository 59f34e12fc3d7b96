"""The worker of the exported C, compiled for this machine: what the firmware's kernels do with an operating system.

Exports the bundle for a host (wide kernels, wide stripes), compiles it with all the compiler knows of this processor,
and calls it in this process. Samples are int16 and the front end computes in float32, as on a part with an FPU.
"""

from __future__ import annotations

import ctypes
import dataclasses
import itertools
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asc.bench.serve import Prepared, check, serve
from edge_asc.bundle import Bundle
from edge_asc.errors import VerificationError
from firmware_export.export import export_bundle
from firmware_export.output.exported import Exported
from firmware_export.planning.plan import HOST
from firmware_export.proof.build import require_tool

FLAGS = ("-std=c99", "-O3", "-march=native", "-shared", "-fPIC")
TOLERANCE = 0.05
"""Of a probability: where a level falls on the other side of a rounding edge. As in `edge-asc firmware verify`."""
# What C knows and Python does not: how large a state is, and one window of columns handed to one member.
_SHIM = """#include "asc.h"
size_t asc_bench_state_bytes(void) { return sizeof(AscState); }
int asc_bench_member(AscState *state, int member)
{
    const AscWindow window = {state->columns, ASC_N_FRAMES, 0, INT8_MIN};
    int status = asc_model_begin(&state->model, member);
    while (status == 0 && (status = asc_model_step(&state->model, &window, UINT32_MAX)) == ASC_MODEL_MORE)
        status = 0;
    return status;
}
int asc_bench_frames(AscState *state, const int16_t *samples, size_t n)
{
    int n_frames = 0;
    for (size_t i = 0; i < n;) {
        asc_db db[ASC_N_MELS];
        int complete;
        i += asc_frontend_push(&state->frontend, samples + i, n - i, db, &complete);
        n_frames += complete;
    }
    return n_frames;
}
"""


class Library:
    """An exported bundle, compiled and loaded."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        self.exported: Exported = export_bundle(bundle, folder / "export", purpose=HOST)
        shim, library = folder / "shim.c", folder / "libasc.so"
        shim.write_text(_SHIM)
        command = [require_tool("gcc"), *FLAGS, f"-I{self.exported.source_folder}", *map(str, self.exported.sources()),
                   str(shim), "-o", str(library), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise VerificationError("the exported C does not compile here", found=done.stderr[:300])
        self.c = ctypes.CDLL(str(library))
        self.c.asc_bench_state_bytes.restype = ctypes.c_size_t
        self.c.asc_probabilities.restype = ctypes.POINTER(ctypes.c_float)
        self.c.asc_probabilities.argtypes = [ctypes.c_void_p]
        for name in ("asc_push", "asc_bench_frames"):
            getattr(self.c, name).argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        for name in ("asc_init", "asc_classify"):
            getattr(self.c, name).argtypes = [ctypes.c_void_p]
        self.c.asc_bench_member.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self._memory = ctypes.create_string_buffer(self.c.asc_bench_state_bytes() + 64)
        self.state = ctypes.c_void_p(-(-ctypes.addressof(self._memory) // 64) * 64)
        self._expect(self.c.asc_init(self.state))

    def hop(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        """New samples in, new probabilities out."""
        self._expect(self.c.asc_push(self.state, samples.ctypes.data, samples.size))
        self._expect(self.c.asc_classify(self.state))
        found = self.c.asc_probabilities(self.state)
        return np.array(found[: len(self.exported.labels)], np.float32)

    def frames(self, samples: NDArray[np.int16]) -> int:
        """The front end alone."""
        return int(self.c.asc_bench_frames(self.state, samples.ctypes.data, samples.size))

    def member(self, index: int) -> None:
        """One member on the columns that lie in the ring."""
        self._expect(self.c.asc_bench_member(self.state, index))

    def ensemble(self) -> None:
        """All of them."""
        for index in range(len(self.exported.members)):
            self.member(index)

    @staticmethod
    def _expect(status: int) -> None:
        if status:
            raise VerificationError("the exported C reports an error", found=status, wanted=0)


def prepare(settings: dict[str, Any]) -> Prepared:
    """Export, compile, verify, and offer."""
    bundle = Bundle.load(settings["bundle"])
    golden, spec = bundle.golden(), bundle.features
    some = dataclasses.replace(bundle, members=bundle.members[: settings["n_members"]])
    with tempfile.TemporaryDirectory(prefix="edge-asc-bench-") as folder:
        library = Library(some, Path(folder))  # once it is loaded the file may go
    samples = np.clip(np.rint(golden.samples * 32768), -32768, 32767).astype(np.int16)
    expected = golden.outputs[library.exported.variant][: len(some.members)].mean(axis=0)
    found = library.hop(samples[: spec.window_samples])
    checks = [check("first event", float(np.abs(found - expected).max()), TOLERANCE)]
    n_hop = round(settings["hop_s"] * spec.sample_rate_hz)
    sound = np.resize(samples, max(samples.size, n_hop) // n_hop * n_hop)
    parts = itertools.cycle(np.split(sound, sound.size // n_hop))
    whole, one = samples[: spec.window_samples], np.ascontiguousarray(samples[:n_hop])
    tasks: dict[str, Callable[[], object]] = {
        "hop": lambda: library.hop(next(parts)),
        "front end, hop": lambda: library.frames(one),
        "front end, window": lambda: library.frames(whole),
        "ensemble": library.ensemble,
    }
    tasks |= {f"member {member.name}": lambda index=index: library.member(index)  # type: ignore[misc]
              for index, member in enumerate(some.members)}
    if settings["tasks"] is not None:
        tasks = {name: tasks[name] for name in settings["tasks"]}
    return Prepared(tasks=tasks, checks=checks, facts={"state_bytes": library.c.asc_bench_state_bytes()},
                    description=f"{len(some.members)} members, {library.exported.variant}, exported C, gcc -O3")


if __name__ == "__main__":
    serve(prepare)
