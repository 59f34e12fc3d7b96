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


def run(module: Any, data: bytes, inputs: Any, *, delegate: bool) -> list[Any]:
    """All outputs of a network.

    Args:
        module: `ai_edge_litert.interpreter` or `tflite_runtime.interpreter`.
        data: The .tflite file.
        inputs: [n, ...] of the input's own type, one window after the other.
        delegate: Whether the runtime may use its default delegate.

    Returns:
        For each output [n, ...], as stored.

    Raises:
        ValueError, RuntimeError: The runtime refuses the file.
    """
    kinds = module.OpResolverType
    kind = kinds.AUTO if delegate else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = module.Interpreter(model_content=data, num_threads=1, experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    targets = [detail["index"] for detail in interpreter.get_output_details()]
    rows: list[list[Any]] = [[] for _ in targets]
    for window in inputs:
        interpreter.set_tensor(source, window[np.newaxis])
        interpreter.invoke()
        for row, target in zip(rows, targets, strict=True):
            row.append(interpreter.get_tensor(target)[0])
    return [np.stack(row) for row in rows]


def serve(module_name: str) -> None:
    """Answer requests {"data", "inputs", "out", "delegate"} (paths) until standard input ends."""
    module = importlib.import_module(module_name)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        answer = {}
        try:
            data = Path(request["data"]).read_bytes()
            outputs = run(module, data, np.load(request["inputs"]), delegate=request["delegate"])
            np.savez(request["out"], *outputs)
        except (ValueError, RuntimeError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
