"""librosa in chunks of 80 ms, the way openWakeWord streams its features, with the context that keeps frames exact."""

from __future__ import annotations

from typing import Any

import librosa
import numpy as np

from benchmarks.peers.question import Float32, Question, answer

CHUNK_S = 0.08


class Chunks:
    precision = "float32"
    networks = None

    def __init__(self, question: Question, settings: dict[str, Any]) -> None:
        self._question, self._spec = question, question.spec
        self._n_chunk = round(CHUNK_S * self._spec["sample_rate_hz"])
        self._pending = np.empty(0, np.float32)
        self._second = question.samples[: round(settings["hop_s"] * self._spec["sample_rate_hz"])]
        self.description = f"librosa {librosa.__version__}, 80 ms at a time"

    def front_end(self, samples: Float32) -> Float32:
        self._pending = np.empty(0, np.float32)
        return self._question.to_db(self._stream(samples)[:, : self._spec["n_frames"]])

    def front_end_hop(self) -> Float32:
        """New sound in chunks; what is left over waits for the next call."""
        return self._stream(self._second)

    def _stream(self, samples: Float32) -> Float32:
        parts = [self._push(samples[start:start + self._n_chunk]) for start in range(0, samples.size, self._n_chunk)]
        return np.concatenate(parts, axis=1)

    def _push(self, chunk: Float32) -> Float32:
        spec = self._spec
        self._pending = np.concatenate([self._pending, chunk])
        if self._pending.size < spec["n_fft"]:
            return np.empty((spec["n_mels"], 0), np.float32)
        power = librosa.feature.melspectrogram(
            y=self._pending, sr=spec["sample_rate_hz"], n_fft=spec["n_fft"], hop_length=spec["hop_length"],
            center=False, n_mels=spec["n_mels"], fmin=spec["fmin_hz"], fmax=spec["fmax_hz"])
        self._pending = self._pending[power.shape[1] * spec["hop_length"]:]
        return power


if __name__ == "__main__":
    answer(Chunks)
