"""LiteRT's own way from sound to answer: the front end is a TFLite graph too (its RFFT2D operator), then six members.

LiteRT's Python package has no audio classes of its own; a graph that computes the spectrogram is what it offers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from benchmarks.peers.question import Float32, Question, answer


class LiteRtAudio:
    precision = "float32"

    def __init__(self, question: Question, settings: dict[str, Any]) -> None:
        self._front_ends = {}
        for name in ("front-end-window", "front-end-hop"):
            interpreter = self._load(question.folder / f"{name}.tflite")
            self._front_ends[int(interpreter.get_input_details()[0]["shape"][0])] = interpreter
        self._members = [self._load(question.file("float32", member["name"], ".tflite")) for member in question.members]
        self.description = f"LiteRT with its RFFT2D operator, then {len(self._members)} members in float32"

    def front_end(self, samples: Float32) -> Float32:
        return self._run(self._front_ends[samples.size], samples)

    def networks(self, window: Float32) -> Float32:
        return np.concatenate([self._run(member, window[None, :, :, None]) for member in self._members])

    @staticmethod
    def _load(path: Any) -> Interpreter:
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
        return interpreter

    @staticmethod
    def _run(interpreter: Interpreter, values: Float32) -> Float32:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


if __name__ == "__main__":
    # The operator computes in float32: its noise shows in the quiet bands.
    answer(LiteRtAudio, tolerance_db=1.0)
