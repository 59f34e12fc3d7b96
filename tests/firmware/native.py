"""The exported C, compiled for this machine and called from Python."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import firmware_export
from edge_asc.spec import FeatureSpec
from firmware_export.emit.frontend import feature_files
from firmware_export.emit.levels import InputQuantization
from firmware_export.proof.build import WARNINGS
from tests.conftest import require_program

C = Path(firmware_export.__file__).parent / "c"
FRONTEND = ("asc_fft.c", "asc_fft_fixed.c", "asc_frontend.c")
QUANTIZATION = InputQuantization(scale=0.5625, zero_point=47)
PATHS = {"float": ("-DASC_FIXED_POINT=0",), "fixed": ("-DASC_FIXED_POINT=1", "-DASC_NARROW_MULTIPLY=0"),
         "narrow": ("-DASC_FIXED_POINT=1", "-DASC_NARROW_MULTIPLY=1")}
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")


def write_features(folder: Path, spec: FeatureSpec, quantization: InputQuantization = QUANTIZATION) -> None:
    """The generated files of the front end."""
    for name, text in feature_files(spec, quantization, provenance="/* A test. */").items():
        (folder / name).write_text(text)


def compile_c(out: Path, sources: list[Path], *, include: list[Path], flags: tuple[str, ...] = (),
              compiler: str = "gcc") -> Path:
    """Compile with every warning as an error."""
    command = [require_program(compiler), *WARNINGS, "-O2", *flags, *(f"-I{folder}" for folder in include)]
    done = subprocess.run([*command, *map(str, sources), "-o", str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


class Frontend:
    """The C front end of one specification and one kind of arithmetic."""

    def __init__(self, folder: Path, spec: FeatureSpec, path: str, *, compiler: str = "gcc") -> None:
        write_features(folder, spec)
        library = compile_c(folder / f"frontend-{path}-{compiler}.so",
                            [*(C / name for name in FRONTEND), folder / "asc_model_features.c"],
                            include=[C, folder], flags=(*PATHS[path], "-shared", "-fPIC"), compiler=compiler)
        self.spec, self.is_float = spec, path == "float"
        self.library = ctypes.CDLL(str(library))
        self.library.asc_frontend_push.restype = ctypes.c_size_t
        self.library.asc_frontend_push.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p,
                                                   ctypes.c_void_p]
        level = ctypes.c_float if self.is_float else ctypes.c_int16
        for name in ("asc_frontend_quantise", "asc_frontend_floor"):
            getattr(self.library, name).argtypes = [level]
            getattr(self.library, name).restype = ctypes.c_int8
        # Larger than AscFrontend on any machine: samples, their number, values of the FFT, alignment.
        self.state = ctypes.create_string_buffer(2 * spec.n_fft + 4 * spec.n_fft + 64)
        self.library.asc_frontend_reset(self.state)

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        """Newly completed frames in dB, float32 [n_mels, k]."""
        samples = np.ascontiguousarray(samples)
        db = np.zeros(self.spec.n_mels, np.float32 if self.is_float else np.int16)
        complete, frames, at = ctypes.c_int(), [], 0
        while at < samples.size:
            at += self.library.asc_frontend_push(self.state, samples.ctypes.data + 2 * at, samples.size - at,
                                                 db.ctypes.data, ctypes.byref(complete))
            if complete.value:
                frames.append(db / np.float32(1 if self.is_float else 256))
        return np.array(frames, np.float32).reshape(-1, self.spec.n_mels).T

    def frames(self, samples: NDArray[np.int16]) -> NDArray[np.float32]:
        """All frames of a sound, from the start."""
        self.library.asc_frontend_reset(self.state)
        return self.push(samples)
