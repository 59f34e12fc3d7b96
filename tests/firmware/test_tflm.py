"""The export for TFLite Micro: the arrays are the models, and the header compiles."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge_asc.bundle import Bundle
from edge_asc.errors import BundleError, InputError
from firmware_export.output.tflm import arena_bytes, export_tflm
from tests.conftest import require_program
from tests.program import BUNDLE, edge_asc

pytestmark = pytest.mark.tool


def test_arrays_operators_and_arena(tmp_path: Path) -> None:
    bundle = Bundle.load(BUNDLE)
    sizes = export_tflm(bundle, tmp_path, members=("v1", "i1"))
    text = (tmp_path / "asc_tflm_models.cc").read_text()
    for name in ("v1", "i1"):
        body = re.search(rf"asc_tflm_{name}\[\d+\] = \{{(.*?)\}}", text, re.DOTALL)
        assert body is not None
        data = bytes(np.fromstring(body[1], np.uint8, sep=","))
        assert data == bundle.member_bytes(name, "int8-dense")
        assert sizes[f"{name}_arena_bytes"] == arena_bytes(data)
    assert sizes["arena_bytes"] == max(sizes["v1_arena_bytes"], sizes["i1_arena_bytes"])
    operators = ("Conv2D", "MaxPool2D", "AveragePool2D", "Concatenation", "FullyConnected", "Softmax", "Reshape", "Add",
                 "Mul")
    (tmp_path / "main.cc").write_text(
        '#include "asc_tflm_models.h"\n#include <cstdint>\nstruct Resolver {\n'
        + "".join(f"  void Add{name}() {{ n++; }}\n" for name in operators)
        + "  int n = 0;\n};\nint main() {\n  Resolver resolver;\n  AscTflmAddOperators(&resolver);\n"
        "  return resolver.n != ASC_TFLM_N_OPERATORS || reinterpret_cast<uintptr_t>(asc_tflm_v1) % 16;\n}\n")
    command = [require_program("g++"), "-Wall", "-Wextra", "-Werror", "main.cc", "asc_tflm_models.cc", "-o", "main"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert subprocess.run([tmp_path / "main"], check=False).returncode == 0


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no member"):
        export_tflm(Bundle.load(BUNDLE), tmp_path, members=("v9",))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        export_tflm(Bundle.load(BUNDLE), tmp_path / "file")


def test_command_line(tmp_path: Path) -> None:
    done = edge_asc("firmware", BUNDLE, "-o", tmp_path / "out", "--format", "tflm")
    assert done.returncode == 0, done.stderr
    assert "tensor arena" in done.stdout
    assert (tmp_path / "out" / "asc_tflm_models.h").is_file()
    for option in (("--board", "stm32f405"), ("--spare-frames", "0")):
        done = edge_asc("firmware", BUNDLE, "-o", tmp_path / "no", "--format", "tflm", *option)
        assert done.returncode == 2
        assert "do not go with --format tflm" in done.stderr
    assert not (tmp_path / "no").exists()
