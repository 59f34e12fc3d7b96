"""Whatever can run a .tflite file here, behind one method: inputs as stored -> all outputs as stored.

The reference kernels come first: they are TFLite's definition of what an operator computes, written without any
optimisation, and what all others are held against (edge_asc.parity.judging).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_asc.errors import MissingDependencyError, ModelFileError
from edge_asc.parity import worker
from edge_asc.quiet import captured_stderr
from edge_asc.runtime.engines import INTERPRETERS, find_interpreter
from edge_asc.tflite_file import densify, is_sparse, read_model

TFLITE_PYTHON = "EDGE_ASC_TFLITE_PYTHON"
_START_S = 60


class _Run(Protocol):
    def __call__(self, data: bytes, inputs: list[NDArray[Any]], *, kernels: str) -> list[NDArray[Any]]: ...


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One way to run a file."""

    name: str
    """LiteRT and tflite-runtime: as they are, with their delegate; "built-in": with their own, optimised kernels alone;
    "reference": with those that define the arithmetic; "as stored": built-in ones on the sparse file as it is."""
    run_file: _Run
    kernels: str
    """A key of `worker.KERNELS`."""
    as_stored: bool = False
    """Sparse files are given to the runtime as they are; otherwise expanded first, as edge-asc runs them."""
    int8_only: bool = False

    def takes(self, data: bytes, variant: str) -> bool:
        """Whether this engine is meant for such a file, and adds something to what the others show."""
        if self.int8_only and not variant.startswith("int8"):
            return False
        return not self.as_stored or is_sparse(data)

    def run(self, data: bytes, *inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """For each input [n, ...] of its type -> for each output [n, ...], as stored.

        Raises:
            ModelFileError: The runtime refuses the file.
        """
        if not self.as_stored and is_sparse(data):
            data = densify(data)
        try:
            with captured_stderr() as captured:
                return self.run_file(data, list(inputs), kernels=self.kernels)
        except (ValueError, RuntimeError) as error:
            reason = (str(error).strip() or captured().strip() or "no reason given").splitlines()[0]
            raise ModelFileError(f"{self.name} refuses this file: {reason[:200]}") from error


@contextmanager
def installed_engines(*, tflite_python: str | Path | None = None) -> Iterator[list[Engine]]:
    """All engines of this machine. The first has reference kernels and is what the others are compared with.

    Args:
        tflite_python: A Python interpreter with tflite-runtime, if this one has none; EDGE_ASC_TFLITE_PYTHON if None.

    Raises:
        MissingDependencyError: There is no runtime at all, or `tflite_python` has no tflite-runtime.
    """
    with ExitStack() as stack:
        engines = []
        if (litert := _module("litert")) is not None:
            engines += _of(_run_here(litert), "LiteRT", as_stored=True)
        tflite_python = tflite_python or os.environ.get(TFLITE_PYTHON)
        if (here := _module("tflite-runtime")) is not None:
            engines += _of(_run_here(here), "tflite-runtime", as_stored=litert is None)
        elif tflite_python:
            run = stack.enter_context(_elsewhere(Path(tflite_python)))
            engines += _of(run, "tflite-runtime", as_stored=False)
        if not engines:
            find_interpreter()
        if (micro := _micro()) is not None:
            engines.append(Engine(name="TFLite Micro", run_file=micro, kernels="reference", int8_only=True))
        yield engines


def _of(run: _Run, name: str, *, as_stored: bool) -> list[Engine]:
    engines = [Engine(name=f"{name} reference", run_file=run, kernels="reference"),
               Engine(name=f"{name} built-in", run_file=run, kernels="built-in"),
               Engine(name=name, run_file=run, kernels="delegate")]
    if as_stored:
        engines.append(Engine(name=f"{name} as stored", run_file=run, kernels="built-in", as_stored=True))
    return engines


def _run_here(module: ModuleType) -> _Run:
    def run(data: bytes, inputs: list[NDArray[Any]], *, kernels: str) -> list[NDArray[Any]]:
        return worker.run(module, data, inputs, kernels=kernels)

    return run


def _module(name: str) -> ModuleType | None:
    try:
        return find_interpreter(name)[1]
    except MissingDependencyError:
        return None


@contextmanager
def _elsewhere(python: Path) -> Iterator[_Run]:
    """tflite-runtime in another interpreter, as a process that lives as long as the block."""
    command = [str(python), str(Path(worker.__file__)), INTERPRETERS["tflite-runtime"]]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "stderr").open("w+") as noise:
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=noise, text=True)
        except OSError as error:
            raise MissingDependencyError(f"{python} cannot be run: {error.strerror}", fix="Give a Python interpreter "
                                         f"with tflite-runtime as --tflite-python or in {TFLITE_PYTHON}.") from error
        assert process.stdin is not None
        assert process.stdout is not None

        def answer() -> dict[str, Any]:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                noise.seek(0)
                last = (noise.read().strip() or f"exit status {process.wait()}").splitlines()[-1]
                raise MissingDependencyError(f"tflite-runtime in {python} does not work", found=last[:300],
                                             fix=f"Run: {python} -m pip install tflite-runtime==2.14.0 'numpy<2'")
            values: dict[str, Any] = json.loads(line)
            return values

        def run(data: bytes, inputs: list[NDArray[Any]], *, kernels: str) -> list[NDArray[Any]]:
            assert process.stdin is not None
            paths = {name: str(Path(folder) / name) for name in ("data", "inputs.npz", "out.npz")}
            Path(paths["data"]).write_bytes(data)
            np.savez(paths["inputs.npz"], *inputs)
            request = {"data": paths["data"], "inputs": paths["inputs.npz"], "out": paths["out.npz"],
                       "kernels": kernels}
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            if error := answer().get("error"):
                raise RuntimeError(error)
            with np.load(paths["out.npz"]) as arrays:
                return [arrays[name] for name in arrays.files]

        try:
            answer()
            yield run
        finally:
            process.stdin.close()
            process.stdout.close()
            try:
                process.wait(timeout=_START_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _micro() -> _Run | None:
    try:
        with captured_stderr():
            from tflite_micro import runtime
    except ImportError:
        return None

    def run(data: bytes, inputs: list[NDArray[Any]], *, kernels: str) -> list[NDArray[Any]]:
        del kernels  # there is one kind
        model = read_model(data)
        # Room for every tensor at once: outputs in the middle of a network stay alive to its end.
        n_bytes = sum(tensor.n_elements * tensor.dtype.itemsize for tensor in model.tensors if tensor.data is None)
        interpreter = runtime.Interpreter.from_bytes(data, arena_size=(1 << 21) + 2 * n_bytes)
        rows: list[list[NDArray[Any]]] = [[] for _ in model.outputs]
        for values in zip(*inputs, strict=True):
            for number, value in enumerate(values):
                interpreter.set_input(value[np.newaxis], number)
            interpreter.invoke()
            for number, row in enumerate(rows):
                row.append(interpreter.get_output(number)[0])
        return [np.stack(row) for row in rows]

    return run
