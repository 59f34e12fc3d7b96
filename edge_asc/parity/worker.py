"""Runs a .tflite file on LiteRT or tflite-runtime; also as a script, in an interpreter that knows nothing of edge-asc.

tflite-runtime needs NumPy 1 and so an environment of its own: `python worker.py MODULE` then reads one JSON request a
line from standard input and answers each with one line.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

KERNELS = {"reference": "BUILTIN_REF", "built-in": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "delegate": "AUTO"}
"""Which kernels compute -> the runtime's word for it."""


def run(module: Any, data: bytes, inputs: list[Any], *, kernels: str) -> list[Any]:
    """All outputs of a network.

    Args:
        module: `ai_edge_litert.interpreter` or `tflite_runtime.interpreter`.
        data: The .tflite file.
        inputs: For each input [n, ...] of its own type, one window after the other.
        kernels: A key of `KERNELS`.

    Returns:
        For each output [n, ...], as stored.

    Raises:
        ValueError, RuntimeError: The runtime refuses the file.
    """
    kind = getattr(module.OpResolverType, KERNELS[kernels])
    interpreter = module.Interpreter(model_content=data, num_threads=1, experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    sources = [detail["index"] for detail in interpreter.get_input_details()]
    targets = [detail["index"] for detail in interpreter.get_output_details()]
    rows: list[list[Any]] = [[] for _ in targets]
    for values in zip(*inputs, strict=True):
        for source, value in zip(sources, values, strict=True):
            interpreter.set_tensor(source, value[np.newaxis])
        interpreter.invoke()
        for row, target in zip(rows, targets, strict=True):
            row.append(interpreter.get_tensor(target)[0])
    return [np.stack(row) for row in rows]


def serve(module_name: str) -> None:
    """Answer requests {"data", "inputs", "out" (paths), "kernels"} until standard input ends."""
    module = importlib.import_module(module_name)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = {}
        try:
            data = Path(request["data"]).read_bytes()
            with np.load(request["inputs"]) as arrays:
                inputs = [arrays[name] for name in arrays.files]
            outputs = run(module, data, inputs, kernels=request["kernels"])
            np.savez(request["out"], *outputs)
        except (ValueError, RuntimeError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
