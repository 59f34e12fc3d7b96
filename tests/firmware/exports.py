"""The C of some networks in a folder, compiled for this machine and called from Python, or run on an emulated one."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_asc.spec import FeatureSpec
from firmware_export.emit.model import Member, config_header, data_source
from firmware_export.export import planned
from firmware_export.network.read import read_network
from firmware_export.planning.plan import Purpose
from firmware_export.proof.build import PORTS, TARGETS, compile_program
from firmware_export.proof.emulate import run_program
from tests.conftest import require_program
from tests.firmware.native import C, compile_c, write_features

NETWORK = tuple(path.name for path in C.glob("asc_*.c") if not path.name.startswith(("asc_fft", "asc_frontend")))
DONE, MORE, ERROR = 0, 1, -1


def write_networks(folder: Path, networks: Sequence[bytes], *, arena_bytes: int = 1, tile: int = 8,
                   for_host: bool = False) -> list[Member]:
    """Plans the networks and writes their generated C. With the default arena every step makes one column at a time."""
    members = planned([read_network(data, name=f"n{index}") for index, data in enumerate(networks)],
                      Purpose(arena_bytes=arena_bytes, tile=tile))
    n_labels = members[0].network.activations[members[0].network.output].shape[0]
    (folder / "asc_model_config.h").write_text(config_header(members, provenance="/* A test. */", for_host=for_host))
    (folder / "asc_model_data.c").write_text(
        data_source(members, labels=[f"label{i}" for i in range(n_labels)], provenance="/* A test. */",
                    for_host=for_host))
    return members


class _Window(ctypes.Structure):
    _fields_ = [("columns", ctypes.c_void_p), ("capacity", ctypes.c_uint32), ("first", ctypes.c_uint32),
                ("floor", ctypes.c_int8)]


class Library:
    """The networks of a folder as a shared library."""

    def __init__(self, folder: Path, members: Sequence[Member], *, name: str = "model", flags: tuple[str, ...] = (),
                 compiler: str = "gcc") -> None:
        path = compile_c(folder / f"{name}.so", [*(C / source for source in NETWORK), folder / "asc_model_data.c"],
                         include=[C, folder], flags=(*flags, "-shared", "-fPIC"), compiler=compiler)
        self.c, self.members = ctypes.CDLL(str(path)), members
        first = members[0].network
        self.rows, self.columns, _ = first.activations[first.input].shape
        self.n_labels = first.activations[first.output].shape[0]
        for function in ("asc_model_begin", "asc_model_step", "asc_model_output", "asc_model_frames_read"):
            getattr(self.c, function).argtypes = None
        self.model = ctypes.create_string_buffer(max(m.plan.arena_bytes for m in members) + 4096)

    def output(self, member: int, window: NDArray[np.int8], *, budget: int = 0xFFFFFFFF, first: int = 0, spare: int = 0,
               floor: int = -128) -> NDArray[np.int8]:
        """The member's output for a window [rows, columns] that begins at `first` of a ring of `spare` more columns."""
        ring = np.zeros((self.columns + spare, self.rows), np.int8)
        ring[(first + np.arange(self.columns)) % len(ring)] = window.T
        asked = _Window(ring.ctypes.data, len(ring), first, floor)
        assert self.c.asc_model_begin(self.model, member) == 0
        self.n_steps, status = 0, MORE
        while status == MORE:
            status = self.c.asc_model_step(self.model, ctypes.byref(asked), ctypes.c_uint32(budget))
            self.n_steps += 1
        assert status == DONE
        output = np.zeros(self.n_labels, np.int8)
        assert self.c.asc_model_output(self.model, output.ctypes.data_as(ctypes.c_void_p)) == 0
        return output

    def outputs(self, member: int, windows: NDArray[np.int8]) -> NDArray[np.int8]:
        """[n, labels] for [n, rows, columns]."""
        return np.stack([self.output(member, window) for window in windows])


def emulated_outputs(folder: Path, target: str, members: Sequence[Member], windows: NDArray[np.int8], *,
                     extra: tuple[str, ...] = ()) -> NDArray[np.int8]:
    """[n, members, labels] for [n, rows, columns], run on an emulated part."""
    sources = _verifier(folder, "io_semihosting.c", windows)
    compile_program(TARGETS[target], sources, folder / target, include=[C, folder, PORTS / "verify"], extra=extra)
    run_program(TARGETS[target], folder / target, _WINDOWS, folder=folder)
    return np.fromfile(folder / "out.bin", np.int8).reshape(len(windows), len(members), -1)


def linux_arm_outputs(folder: Path, cpu: str, members: Sequence[Member], windows: NDArray[np.int8],
                      flags: tuple[str, ...]) -> NDArray[np.int8]:
    """The same as a Linux program on an emulated ARM: Debian's armhf on a Cortex-A7, else arm64."""
    compiler, emulator = (("arm-linux-gnueabihf-gcc", "qemu-arm") if cpu == "cortex-a7" else
                          ("aarch64-linux-gnu-gcc", "qemu-aarch64"))
    sources = _verifier(folder, "io_host.c", windows)
    program = compile_c(folder / "arm", sources, include=[C, folder, PORTS / "verify"], flags=("-static", *flags),
                        compiler=compiler)
    subprocess.run([require_program(emulator), "-cpu", cpu, str(program), *_WINDOWS], check=True, cwd=folder)
    return np.fromfile(folder / "out.bin", np.int8).reshape(len(windows), len(members), -1)


_WINDOWS = ("windows", "windows.bin", "out.bin", "all")


def _verifier(folder: Path, io: str, windows: NDArray[np.int8]) -> list[Path]:
    """What a program is made of that runs windows, which are put beside it."""
    _, rows, columns = windows.shape
    write_features(folder, FeatureSpec(n_mels=rows, n_frames=columns, n_fft=256, hop_length=128))
    np.ascontiguousarray(windows.transpose(0, 2, 1)).tofile(folder / "windows.bin")
    verify = PORTS / "verify"
    return [*C.glob("asc*.c"), *folder.glob("asc_model_*.c"), verify / "main.c", verify / io]
