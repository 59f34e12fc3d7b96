"""Front ends of other libraries, on the same specification: SciPy and torchaudio."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers.question import Float32, Question, answer


class SciPy:
    precision = "float32"
    networks = None

    def __init__(self, question: Question, settings: dict[str, Any]) -> None:
        import scipy
        from scipy.signal import ShortTimeFFT
        from scipy.signal.windows import hann

        spec = question.spec
        self._question, self._spec = question, spec
        self._stft = ShortTimeFFT(hann(spec["n_fft"], sym=False), spec["hop_length"], spec["sample_rate_hz"],
                                  fft_mode="onesided", phase_shift=None)
        self.description = f"SciPy {scipy.__version__}, ShortTimeFFT"

    def front_end(self, samples: Float32) -> Float32:
        spec = self._spec
        # Slice p is centred on sample p * hop; frames that begin at sample 0 are centred half a window later.
        first = spec["n_fft"] // 2 // spec["hop_length"]
        n_frames = 1 + (samples.size - spec["n_fft"]) // spec["hop_length"]
        spectrum = self._stft.stft(samples, p0=first, p1=first + n_frames)
        return self._question.to_db(self._question.filterbank @ np.square(np.abs(spectrum)))


class TorchAudio:
    precision = "float32"
    networks = None

    def __init__(self, question: Question, settings: dict[str, Any]) -> None:
        import torch
        import torchaudio

        torch.set_num_threads(1)
        spec = question.spec
        self._torch = torch
        self._mel = torchaudio.transforms.MelSpectrogram(
            spec["sample_rate_hz"], n_fft=spec["n_fft"], hop_length=spec["hop_length"], n_mels=spec["n_mels"],
            f_min=spec["fmin_hz"], f_max=spec["fmax_hz"], center=False, norm="slaney", mel_scale="slaney")
        self._db = torchaudio.transforms.AmplitudeToDB("power", top_db=spec["top_db"])
        self.description = f"torchaudio {torchaudio.__version__}, torch {torch.__version__}"

    def front_end(self, samples: Float32) -> Float32:
        with self._torch.inference_mode():
            return self._db(self._mel(self._torch.from_numpy(samples))).numpy()


if __name__ == "__main__":
    # torch computes in float32: its noise shows in the quiet bands.
    answer(lambda question, settings: {"scipy": SciPy, "torchaudio": TorchAudio}[settings["kind"]](question, settings),
           tolerance_db=1.0)
