"""int8 by ONNX Runtime's own quantiser (QDQ, per channel), calibrated on real windows. In the environment of ONNX.

Run: python quantize_onnx.py QUESTION_FOLDER
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.peers.question import Question


class Windows(CalibrationDataReader):
    """One calibration window after the other."""

    def __init__(self, question: Question, name: str) -> None:
        self._windows = ({name: window[None, :, :, None]} for window in question.calibration)

    def get_next(self) -> dict[str, Any] | None:
        return next(self._windows, None)


def main() -> None:
    question = Question.load(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        for member in question.members:
            source = question.file("onnx-float32", member["name"], ".onnx")
            target = question.file("onnx-own-int8", member["name"], ".onnx")
            target.parent.mkdir(exist_ok=True)
            # Symbolic shapes would need sympy; these networks have fixed ones.
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            name = onnx.load(str(prepared)).graph.input[0].name
            quantize_static(str(prepared), str(target), Windows(question, name), quant_format=QuantFormat.QDQ,
                            per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)


if __name__ == "__main__":
    main()
