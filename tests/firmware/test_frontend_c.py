"""The C front end: within 0.05 dB of NumPy in float32, within 0.5 dB in integers, however the samples are cut up."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import edge_asc
from edge_asc.errors import InputError
from edge_asc.features import clamp, filterbank, mel_db
from edge_asc.spec import FeatureSpec
from firmware_export.emit.frontend import feature_files
from firmware_export.emit.levels import InputQuantization
from tests.firmware.native import PATHS, QUANTIZATION, C, Frontend, compile_c, write_features

Int16 = NDArray[np.int16]
SPEC = FeatureSpec()
TOLERANCE_DB = {"float": 0.05, "fixed": 0.5, "narrow": 0.5}
CLIPS = sorted((Path(edge_asc.__file__).parent / "assets" / "clips").glob("*.ogg"))

pytestmark = pytest.mark.tool


def _int16(samples: NDArray[np.floating]) -> Int16:
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)


def _synthetic() -> dict[str, Int16]:
    n = 3 * SPEC.sample_rate_hz
    t, rng = np.arange(n) / SPEC.sample_rate_hz, np.random.default_rng(1)
    noise = rng.standard_normal(n)
    half_silent = np.where(t < 1.5, noise * 0.1, 0)
    sounds = {f"tone of {hz:g} Hz": np.sin(2 * np.pi * hz * t) for hz in (50, 440, 1000, 9000, 21000)}
    return {name: _int16(x) for name, x in {
        **sounds, "silence": 0 * t, "one step down": 0 * t - 1 / 32768, "least noise": rng.integers(-1, 2, n) / 32768,
        "quiet tone": np.sin(2 * np.pi * 1000 * t) * 2 / 32768, "noise": noise / 10, "clipped noise": 3 * noise,
        "square wave": np.sign(np.sin(2 * np.pi * 100 * t)), "lowest value": 0 * t - 1,
        "sound, then silence": half_silent, "clicks": (np.arange(n) % 5000 == 0) * 1.0,
        "sweep": 0.9 * np.sin(2 * np.pi * (20 * t + 3980 * t * t)),
    }.items()}


SYNTHETIC = _synthetic()


@pytest.fixture(scope="module")
def frontend(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Frontend]:
    folder, made = tmp_path_factory.mktemp("frontend"), {}

    def get(path: str) -> Frontend:
        if path not in made:
            made[path] = Frontend(folder, SPEC, path)
        return made[path]

    return get


def _error_db(frontend: Frontend, samples: Int16) -> float:
    """The largest difference to NumPy after the clamp to 80 dB below the loudest value, as the members see it."""
    wanted = mel_db(samples / np.float32(32768), frontend.spec)
    found = frontend.frames(samples)
    assert found.shape == wanted.shape
    return float(np.abs(clamp(found, frontend.spec) - clamp(wanted, frontend.spec)).max())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", SYNTHETIC)
def test_synthetic_sounds(frontend: Callable[[str], Frontend], name: str, path: str) -> None:
    assert _error_db(frontend(path), SYNTHETIC[name]) <= TOLERANCE_DB[path]


@pytest.mark.parametrize("path", ["float", "fixed"])
@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.stem)
def test_real_sounds(frontend: Callable[[str], Frontend], clip: Path, path: str) -> None:
    samples, _ = soundfile.read(clip, frames=SPEC.window_samples, always_2d=True)
    # Far below what is allowed: real sounds are easy.
    assert _error_db(frontend(path), _int16(samples.mean(axis=1))) <= {"float": 0.001, "fixed": 0.05}[path]


def test_both_multiplies_give_the_same_bits(frontend: Callable[[str], Frontend]) -> None:
    for samples in SYNTHETIC.values():
        assert np.array_equal(frontend("fixed").frames(samples), frontend("narrow").frames(samples))


@pytest.mark.parametrize("path", ["float", "narrow"])
@settings(max_examples=25)
@given(cuts=st.lists(st.integers(0, 20_000), max_size=12))
def test_chunking_changes_nothing(frontend: Callable[[str], Frontend], path: str, cuts: list[int]) -> None:
    samples = SYNTHETIC["noise"][:20_000]
    whole = frontend(path).frames(samples)
    frontend(path).library.asc_frontend_reset(frontend(path).state)
    parts = [frontend(path).push(part) for part in np.split(samples, sorted(cuts))]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("spec", [
    FeatureSpec(n_fft=16, hop_length=16, n_mels=2), FeatureSpec(n_fft=32, hop_length=7, n_mels=3),
    FeatureSpec(n_fft=256, hop_length=100, n_mels=12, fmin_hz=300, fmax_hz=8000, sample_rate_hz=16000),
    FeatureSpec(n_fft=1024, hop_length=512, n_mels=32), FeatureSpec(n_fft=4096, hop_length=2048, n_mels=64),
    FeatureSpec(n_fft=8192, hop_length=8192, n_mels=64, top_db=None),
], ids=lambda spec: f"n_fft={spec.n_fft}")
@pytest.mark.parametrize("path", PATHS)
def test_other_specifications(tmp_path: Path, spec: FeatureSpec, path: str) -> None:
    frontend = Frontend(tmp_path, spec, path)
    rng = np.random.default_rng(2)
    for samples in (_int16(rng.standard_normal(40_000) / 10), SYNTHETIC["tone of 1000 Hz"][:40_000]):
        wanted = mel_db(samples / np.float32(32768), spec)
        loud = wanted > wanted.max() - 80
        assert np.abs(frontend.frames(samples) - wanted)[loud].max() <= TOLERANCE_DB[path]


@pytest.mark.parametrize("path", ["float", "fixed"])
@settings(max_examples=200)
@given(levels_db=st.lists(st.floats(-100, 45), min_size=1, max_size=40))
def test_clamping_after_quantising_is_exact(frontend: Callable[[str], Frontend], path: str,
                                            levels_db: list[float]) -> None:
    library, unit = frontend(path).library, 1 if path == "float" else 256
    quantise = library.asc_frontend_quantise
    levels = [np.float32(level).item() if path == "float" else round(level * unit) for level in levels_db]
    lowest = np.float32(max(levels) - np.float32(80)).item() if path == "float" else max(levels) - 80 * unit
    floor = max(library.asc_frontend_floor(level) for level in levels)
    assert [max(quantise(level), floor) for level in levels] == [quantise(max(level, lowest)) for level in levels]


@pytest.mark.parametrize("path", ["float", "fixed"])
@given(db=st.floats(-100, 45, width=32))
def test_quantising_rounds_to_the_nearest(frontend: Callable[[str], Frontend], path: str, db: float) -> None:
    found = frontend(path).library.asc_frontend_quantise(db if path == "float" else round(db * 256))
    exact = np.clip(db / QUANTIZATION.scale + QUANTIZATION.zero_point, -128, 127)
    assert abs(found - exact) <= 0.5 + (1e-4 if path == "float" else 1 / 128)


def test_tables_read_back_exactly(tmp_path: Path) -> None:
    write_features(tmp_path, SPEC)
    path = compile_c(tmp_path / "tables.so", [tmp_path / "asc_model_features.c"], include=[C, tmp_path],
                     flags=("-DASC_FIXED_POINT=0", "-shared", "-fPIC"))
    library, bank = ctypes.CDLL(str(path)), filterbank(SPEC)
    weights = (ctypes.c_float * np.count_nonzero(bank)).in_dll(library, "asc_model_mel_weights")
    assert np.array_equal(np.array(weights), bank[bank > 0])
    cosine = (ctypes.c_float * (SPEC.n_fft // 4 + 1)).in_dll(library, "asc_model_cosine")
    wanted = np.cos(2 * np.pi * np.arange(SPEC.n_fft // 4) / SPEC.n_fft)
    assert np.array_equal(np.array(cosine), np.append(wanted, 0).astype(np.float32))


@pytest.mark.parametrize("path", PATHS)
def test_clang_agrees(frontend: Callable[[str], Frontend], tmp_path: Path, path: str) -> None:
    other = Frontend(tmp_path, SPEC, path, compiler="clang")
    for samples in (SYNTHETIC["noise"], SYNTHETIC["clicks"]):
        assert np.abs(other.frames(samples) - frontend(path).frames(samples)).max() <= (1e-3 if path == "float" else 0)


@pytest.mark.parametrize(("spec", "quantization", "text"), [
    (FeatureSpec(amin=1e-20), QUANTIZATION, "16 bits"),
    (SPEC, InputQuantization(scale=1e-4, zero_point=0), "unusable scale"),
    (SPEC, InputQuantization(scale=float("nan"), zero_point=0), "unusable scale"),
])
def test_what_c_cannot_compute_is_refused(spec: FeatureSpec, quantization: InputQuantization, text: str) -> None:
    with pytest.raises(InputError, match=text):
        feature_files(spec, quantization, provenance="")
