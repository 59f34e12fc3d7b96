"""The naive pipeline: librosa over the whole window and a float32 interpreter per member, all anew at each hop."""

from __future__ import annotations

from typing import Any

import librosa
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from benchmarks.peers.question import Float32, Question, answer


class Naive:
    precision = "float32"

    def __init__(self, question: Question, settings: dict[str, Any]) -> None:
        self._spec = question.spec
        self._interpreters = [Interpreter(model_path=str(question.file("float32", member["name"], ".tflite")),
                                          num_threads=1) for member in question.members]
        for interpreter in self._interpreters:
            interpreter.allocate_tensors()
        self.description = f"librosa {librosa.__version__} and {len(self._interpreters)} LiteRT interpreters, float32"

    def front_end(self, samples: Float32) -> Float32:
        spec = self._spec
        power = librosa.feature.melspectrogram(
            y=samples, sr=spec["sample_rate_hz"], n_fft=spec["n_fft"], hop_length=spec["hop_length"], center=False,
            n_mels=spec["n_mels"], fmin=spec["fmin_hz"], fmax=spec["fmax_hz"])
        return librosa.power_to_db(power, amin=spec["amin"], top_db=spec["top_db"])

    def networks(self, window: Float32) -> Float32:
        rows = []
        for interpreter in self._interpreters:
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], window[None, :, :, None])
            interpreter.invoke()
            rows.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
        return np.stack(rows)


if __name__ == "__main__":
    answer(Naive)
