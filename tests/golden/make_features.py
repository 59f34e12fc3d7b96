"""Makes tests/golden/features.npz: short sounds and what librosa, in double precision, makes of them.

Every front end of this project (NumPy, C) is judged by these vectors, so none of them can drift with the others.
Run: python tests/golden/make_features.py   (needs the extra `train`)

Per case: <case>/samples int16 [n] and <case>/scale, a power of two: their product is the float32 sound, exactly;
<case>/spec, the FeatureSpec as JSON; <case>/db float32 [n_mels, k], before the clamp.
"""

from __future__ import annotations

import json
from pathlib import Path

import librosa
import numpy as np
from numpy.typing import NDArray

from edge_asc.spec import FeatureSpec

OUT = Path(__file__).with_name("features.npz")
PAPER = FeatureSpec()
N = PAPER.n_fft + 5 * PAPER.hop_length + 300  # six frames, and samples left over
FULL_SCALE = 2.0**-15


def sounds() -> dict[str, tuple[NDArray[np.int16], float]]:
    rng = np.random.default_rng(2020)
    time_s = np.arange(N) / PAPER.sample_rate_hz
    noise = rng.standard_normal(N)
    chirp = np.sin(2 * np.pi * (50 * time_s + 23_000 * time_s**2 / (2 * time_s[-1])))
    impulse = np.zeros(N)
    impulse[N // 2] = 1

    def int16(samples: NDArray[np.float64]) -> NDArray[np.int16]:
        return np.rint(np.clip(samples, -1, 1) * 32767).astype(np.int16)

    return {
        "noise": (int16(noise * 0.1), FULL_SCALE),
        "tone": (int16(np.sin(2 * np.pi * 1000.3 * time_s)), FULL_SCALE),
        "chirp": (int16(chirp * 0.7), FULL_SCALE),
        "impulse": (int16(impulse), FULL_SCALE),
        "clipped": (int16(noise * 3), FULL_SCALE),
        "silence": (int16(noise * 0), FULL_SCALE),
        "quiet": (int16(noise * 0.2), FULL_SCALE * 2.0**-17),  # about -120 dBFS: half of the bands below amin
        "half-silent": (int16(noise * 0.1 * (time_s > 0.07)), FULL_SCALE),
    }


def cases() -> dict[str, tuple[str, FeatureSpec]]:
    paper = {name: (name, PAPER) for name in sounds()}
    others = {
        "48k-4096-64": FeatureSpec(n_fft=4096, hop_length=2048, n_mels=64),
        "48k-1024-32": FeatureSpec(n_fft=1024, hop_length=512, n_mels=32),
        "44k-hop-441": FeatureSpec(sample_rate_hz=44_100, n_fft=2048, hop_length=441, n_mels=40, fmin_hz=20,
                                   fmax_hz=16_000),
        "16k-speech": FeatureSpec(sample_rate_hz=16_000, n_fft=512, hop_length=160, n_mels=40, fmin_hz=60,
                                  fmax_hz=7_600),
        "8k-amin": FeatureSpec(sample_rate_hz=8_000, n_fft=256, hop_length=256, n_mels=20, fmax_hz=4_000, amin=1e-5),
    }
    return paper | {f"{name}/{sound}": (sound, spec) for name, spec in others.items() for sound in ("noise", "tone")}


def librosa_db(samples: NDArray[np.float64], spec: FeatureSpec) -> NDArray[np.float64]:
    power = librosa.feature.melspectrogram(
        y=samples, sr=spec.sample_rate_hz, n_fft=spec.n_fft, hop_length=spec.hop_length, center=False, power=2.0,
        n_mels=spec.n_mels, fmin=spec.fmin_hz, fmax=spec.fmax_hz, htk=False, norm="slaney", dtype=np.float64)
    return librosa.power_to_db(power, ref=1.0, amin=spec.amin, top_db=None)


def main() -> None:
    arrays: dict[str, NDArray] = {"made_by": np.array(f"librosa {librosa.__version__}")}
    for case, (sound, spec) in cases().items():
        samples, scale = sounds()[sound]
        samples = samples[: spec.n_fft + 12 * spec.hop_length]
        arrays[f"{case}/samples"], arrays[f"{case}/scale"] = samples, np.float32(scale)
        arrays[f"{case}/spec"] = np.array(json.dumps(spec.to_json()))
        arrays[f"{case}/db"] = librosa_db(samples * scale, spec).astype(np.float32)
    np.savez_compressed(OUT, **arrays)
    print(f"{OUT.name}: {len(cases())} cases, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
