"""The native engine: a bundle's int8 members as C, compiled once for this processor, their zeros never multiplied.

The window is quantised once, by the formula that all engines share; results equal those of TFLite's reference kernels.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_asc.bundle import Bundle
from edge_asc.errors import InputError, MissingDependencyError, VerificationError
from edge_asc.quantization import quantize
from edge_asc.runtime import processor
from edge_asc.runtime.engines import INSTALL_INTERPRETER, NATIVE
from edge_asc.runtime.ensemble import Ensemble
from edge_asc.runtime.library_cache import find_library, keep_library, library_key, name_another_folder, workshop
from edge_asc.runtime.tolerances import int8_tolerance
from edge_asc.tflite_file import read_model

_ALIGNMENT_BYTES = 64
_PLAIN_FLAGS = ("-DASC_PLAIN_C=1", "-O1")
"""For the C that defines the results, as a compiler can hardly get it wrong: no vectors, little optimisation."""
_N_COMPARED = 8
_CHOOSE = "Choose another compiler with CC=..., or an interpreter with --engine litert."


class _Facts(ctypes.Structure):
    """AscHostFacts of firmware_export/ports/host/asc_host.c."""

    _fields_ = (("n_members", ctypes.c_uint32), ("n_labels", ctypes.c_uint32), ("n_mels", ctypes.c_uint32),
                ("n_frames", ctypes.c_uint32), ("model_bytes", ctypes.c_uint32), ("input_zero_point", ctypes.c_int32),
                ("input_scale", ctypes.c_float))


class Library:
    """A compiled bundle in this process.

    Raises:
        InputError: The system does not load it.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._c = ctypes.CDLL(str(path))
        except OSError as error:
            raise InputError(f"the system does not load the compiled networks {path}", found=error,
                             wanted="a cache on a file system that may hold programs (no noexec)",
                             fix=name_another_folder()) from error
        self.facts = _Facts.in_dll(self._c, "asc_host_facts")
        self.kernel = ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(self._c, "asc_host_kernel"))).decode()
        self._c.asc_host_output_step.restype = ctypes.c_float
        self._c.asc_host_run.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]

    def output_step(self, member: int) -> float:
        """The scale of a member's output."""
        return float(self._c.asc_host_output_step(member))

    def new_state(self) -> NDArray[np.uint8]:
        """Memory for one run at a time, aligned for vectors."""
        memory = np.zeros(self.facts.model_bytes + _ALIGNMENT_BYTES, np.uint8)
        start = -memory.ctypes.data % _ALIGNMENT_BYTES
        return memory[start:start + self.facts.model_bytes]

    def quantized(self, window: NDArray[np.float32]) -> NDArray[np.int8]:
        """float32 [n_mels, n_frames] -> int8 [n_frames, n_mels], as members read it."""
        values, wanted = np.asarray(window, np.float32), (self.facts.n_mels, self.facts.n_frames)
        if values.shape != wanted:
            raise InputError("the native engine takes another window", found=values.shape, wanted=wanted)
        levels = quantize(values, scale=self.facts.input_scale, zero_point=self.facts.input_zero_point)
        return np.ascontiguousarray(levels.T)

    def run(self, state: NDArray[np.uint8], member: int, levels: NDArray[np.int8], row: NDArray[np.float32]) -> None:
        """One member: levels from `quantized`, probabilities into `row`. Other threads may run meanwhile."""
        if self._c.asc_host_run(state.ctypes.data, member, levels.ctypes.data, row.ctypes.data):
            raise VerificationError("the compiled networks report an error", fix="This is a bug; please report it.")


class NativeMember:
    """One network of a library; see `Member`."""

    engine, uses_delegate = NATIVE, False

    def __init__(self, library: Library, index: int, name: str, state: NDArray[np.uint8]) -> None:
        self.name, self._library, self._index, self._state = name, library, index, state
        self.window_shape = (library.facts.n_mels, library.facts.n_frames)
        self.n_labels = int(library.facts.n_labels)
        self.output_step = library.output_step(index)

    def probabilities(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [n_mels, n_frames] in dB, clamped -> float32 [n_labels]."""
        row = np.empty(self.n_labels, np.float32)
        self._library.run(self._state, self._index, self._library.quantized(window), row)
        return row


class NativeEnsemble(Ensemble):
    """Members of one library: a window is quantised once for all of them."""

    def __init__(self, library: Library, *, bundle: Bundle, variant: str, n_threads: int = 1) -> None:
        self._library, self._n_members = library, len(bundle.members)
        self._states = [library.new_state() for _ in range(min(n_threads, self._n_members))]
        members = [NativeMember(library, index, member.name, self._states[0])
                   for index, member in enumerate(bundle.members)]
        super().__init__(members, labels=bundle.labels, features=bundle.features, variant=variant)
        self._threads = ThreadPoolExecutor(len(self._states)) if len(self._states) > 1 else None

    @property
    def description(self) -> str:
        """One line, with the kind of kernels."""
        return f"{super().description} ({self._library.kernel})"

    def member_probabilities(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [n_mels, n_frames] in dB, clamped -> float32 [n_members, n_labels]."""
        levels = self._library.quantized(window)
        rows = np.empty((self._n_members, self._library.facts.n_labels), np.float32)

        def share(thread: int) -> None:
            for member in range(thread, self._n_members, len(self._states)):
                self._library.run(self._states[thread], member, levels, rows[member])

        if self._threads:
            list(self._threads.map(share, range(len(self._states))))
        else:
            share(0)
        return rows


def load_native(bundle: Bundle, *, variant: str, n_threads: int = 1,
                notify: Callable[[str], None] | None = None) -> NativeEnsemble:
    """The members of a bundle, compiled now if they have not been before.

    Args:
        bundle: From `Bundle.load`.
        variant: An int8 variant.
        n_threads: Members that may run at the same time.
        notify: Called with a sentence before anything is compiled: it takes seconds.

    Raises:
        InputError: Another variant; or the cache cannot be written or loaded from.
        ModelFileError: A member has something that the C code has not.
        MissingDependencyError: There is nothing compiled yet, and no compiler.
        VerificationError: It does not compile, or does not compute what it should.
    """
    if not variant.startswith("int8-"):
        raise InputError("the native engine computes int8 only", found=variant, wanted="an int8 variant",
                         fix="Choose one with --variant, or an interpreter with --engine litert.")
    flags = processor.compiler_flags()
    key = library_key(bundle, variant, processor=processor.description(), flags=flags)
    path = find_library(key) or _build(bundle, variant, key, flags, notify)
    return NativeEnsemble(Library(path), bundle=bundle, variant=variant, n_threads=n_threads)


def _build(bundle: Bundle, variant: str, key: str, flags: tuple[str, ...],
           notify: Callable[[str], None] | None) -> Path:
    """Compile, compare with what was recorded and with plain C, and only then keep."""
    from firmware_export.host import compile_library, find_compiler

    try:
        find_compiler()
    except MissingDependencyError as error:
        raise MissingDependencyError(error.what, fix=f"{error.fix}; or, for an interpreter: {INSTALL_INTERPRETER}"
                                     ) from error
    with workshop() as folder:
        if notify:
            notify(f"compiling {bundle.path} for this processor, once")

        def compiled(name: str, *flags: str) -> NativeEnsemble:
            compile_library(bundle, folder / name, variant=variant, flags=flags)
            return NativeEnsemble(Library(folder / name), bundle=bundle, variant=variant)

        fast = compiled("networks.so", *flags)
        _check_recorded(fast, bundle)
        _check_equal(fast, compiled("plain.so", *_PLAIN_FLAGS), bundle)
        return keep_library(key, (folder / "networks.so").read_bytes())


def _check_recorded(ensemble: NativeEnsemble, bundle: Bundle) -> None:
    """Whether the golden clip's answers are those of the bundle, whose engine may have rounded in another way."""
    golden = bundle.golden()
    found = ensemble.member_probabilities(golden.features)
    for number, member in enumerate(bundle.members):
        allowed = int8_tolerance(read_model(bundle.member_bytes(member.name, ensemble.variant)))
        difference = float(np.abs(found[number] - golden.outputs[ensemble.variant][number]).max())
        if not difference <= allowed:
            raise VerificationError(f"{bundle.path}, compiled here, does not compute what was recorded with it",
                                    found=f"{member.name} is {difference:.2g} away", wanted=f"at most {allowed:.2g}",
                                    fix=_CHOOSE)


def _check_equal(ensemble: NativeEnsemble, plain: NativeEnsemble, bundle: Bundle) -> None:
    """Whether every bit is that of plain C, on the golden window and on it under more and more noise."""
    window, rng = bundle.golden().features, np.random.default_rng(0)
    for noise_db in np.linspace(0, 40, _N_COMPARED):
        noisy = window + rng.normal(0, noise_db, window.shape).astype(np.float32)
        found, wanted = ensemble.member_probabilities(noisy), plain.member_probabilities(noisy)
        if not np.array_equal(found, wanted):
            raise VerificationError(f"{bundle.path}, compiled for this processor, does not compute what plain C does",
                                    found=f"{np.abs(found - wanted).max():.2g} of a probability between them",
                                    wanted="the same bits", fix=_CHOOSE)
