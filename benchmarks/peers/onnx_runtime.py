"""ONNX Runtime on the same networks: float32, the same int8 numbers (tf2onnx), or int8 by its own quantiser."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from benchmarks.peers.question import Float32, Question, answer


class OnnxRuntime:
    front_end = None

    def __init__(self, question: Question, settings: dict[str, Any]) -> None:
        kind = settings["kind"]
        self.precision = "float32" if kind == "onnx-float32" else "int8"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._members = []
        for member in question.members:
            session = onnxruntime.InferenceSession(str(question.file(kind, member["name"], ".onnx")), options,
                                                   providers=["CPUExecutionProvider"])
            self._members.append((session, session.get_inputs()[0], member))
        self.description = f"ONNX Runtime {onnxruntime.__version__}, {settings['title']}"

    def networks(self, window: Float32) -> Float32:
        rows = []
        for session, entry, about in self._members:
            values: Any = window[None, :, :, None]
            if entry.type == "tensor(int8)":
                values = np.rint(values / about["input_scale"]) + about["input_zero_point"]
                values = np.clip(values, -128, 127).astype(np.int8)
            row = session.run(None, {entry.name: values})[0][0]
            if row.dtype == np.int8:
                row = (row.astype(np.float32) - about["output_zero_point"]) * about["output_scale"]
            rows.append(row)
        return np.stack(rows)


if __name__ == "__main__":
    # int8 kernels round each in their own way; the ensemble's answer may move by as much as our own delegate's.
    answer(OnnxRuntime, tolerance=0.1)
