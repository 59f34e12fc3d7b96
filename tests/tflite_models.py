"""The tiny converter-made models of tests/golden/models, and running them on an interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests" / "golden" / "models"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.tflite")))
SPARSE = tuple(name for name in NAMES if name.endswith("-sparse"))
DENSE = tuple(name for name in NAMES if name.endswith("-dense"))


@cache
def model(name: str) -> bytes:
    """A file as TensorFlow's converter left it, such as "v-int8-sparse"."""
    return (FOLDER / f"{name}.tflite").read_bytes()


@cache
def windows() -> NDArray[np.float32]:
    """[n, n_mels, n_frames] inputs."""
    with np.load(FOLDER / "windows.npz") as archive:
        found: NDArray[np.float32] = archive["windows"]
    return found


def run(data: bytes, *, delegate: bool, n: int = 6) -> NDArray[np.generic]:
    """What LiteRT answers to the first `n` windows, as it stands in the output tensor."""
    from ai_edge_litert import interpreter as module

    kinds = module.OpResolverType
    resolver = kinds.AUTO if delegate else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = module.Interpreter(model_content=data, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for window in windows()[:n]:
        values: NDArray[np.generic] = window[np.newaxis, ..., np.newaxis]
        if source["dtype"] == np.int8:
            scale, zero_point = source["quantization"]
            values = np.clip(np.rint(values / scale) + zero_point, -128, 127).astype(np.int8)
        interpreter.set_tensor(source["index"], values)
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target["index"])[0])
    return np.array(rows)


def tflite_runtime_python() -> str:
    """The interpreter of the environment with tflite-runtime. Without it the test is skipped; if EDGE_ASC_NO_SKIP=1 it
    fails, but where there can be none: the last wheels are for Python 3.11."""
    python = Path(os.environ.get("EDGE_ASC_TFLITE_PYTHON", ROOT / ".venv-tflite-runtime" / "bin" / "python"))
    if python.exists() and subprocess.run([python, "-c", "import tflite_runtime"], capture_output=True).returncode == 0:
        return str(python)
    if sys.version_info >= (3, 12):
        pytest.skip("tflite-runtime has no wheel for this Python; make test TFLITE_PYTHON=python3.11")
    reason = "needs an environment with tflite-runtime: make .venv-tflite-runtime/.stamp"
    if os.environ.get("EDGE_ASC_NO_SKIP") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
