"""The front end: equal to librosa, equal to itself however the stream is cut, and frugal."""

from __future__ import annotations

import dataclasses
import itertools
import json
import subprocess
import sys
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_asc.errors import AudioError, InputError
from edge_asc.features import MelStream, clamp, filterbank, log_mel, mel_db
from edge_asc.spec import FeatureSpec
from tests.conftest import noise, tone

PAPER = FeatureSpec()
GOLDEN = np.load(Path(__file__).parent / "golden" / "features.npz")
CASES = sorted(name.removesuffix("/db") for name in GOLDEN.files if name.endswith("/db"))
TOLERANCE_DB = 1e-4

N = 4096 + 11 * 2048 + 5
SOUNDS = {
    "noise": noise(N),
    "tone": tone(N, hz=997, level=1.0),
    "two-tones": tone(N, hz=60, level=0.7) + tone(N, hz=3456.7, level=1e-4),
    "silence": np.zeros(N, np.float32),
    "constant": np.full(N, 0.25, np.float32),
    "clipped": noise(N, level=3).clip(-1, 1),
    "quiet": noise(N, level=1e-6),
    "very-quiet": noise(N, level=3e-9),
    "denormal": noise(N, level=1e-41),
    "huge": noise(N, level=1e6),
}


def librosa_db(samples: NDArray[np.floating], spec: FeatureSpec, top_db: float | None = None) -> NDArray[np.floating]:
    power = librosa.feature.melspectrogram(
        y=samples, sr=spec.sample_rate_hz, n_fft=spec.n_fft, hop_length=spec.hop_length, center=False, power=2.0,
        n_mels=spec.n_mels, fmin=spec.fmin_hz, fmax=spec.fmax_hz)
    return librosa.power_to_db(power, ref=1.0, amin=spec.amin, top_db=top_db)


def assert_same_bits(a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
    assert a.dtype == b.dtype == np.float32
    np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


@pytest.mark.parametrize("case", CASES)
def test_golden_vectors(case: str) -> None:
    spec = FeatureSpec.from_json(json.loads(str(GOLDEN[f"{case}/spec"])))
    samples = GOLDEN[f"{case}/samples"] * GOLDEN[f"{case}/scale"]
    np.testing.assert_allclose(mel_db(samples, spec), GOLDEN[f"{case}/db"], rtol=0, atol=TOLERANCE_DB)


@pytest.mark.parametrize("n_fft", [256, 1024, 2048, 4096])
@pytest.mark.parametrize("sample_rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_parity_with_librosa(sample_rate_hz: int, n_fft: int) -> None:
    """Over mel counts, band edges, overlaps and sounds, with librosa in float32 (as it is used) and in float64."""
    nyquist_hz = sample_rate_hz / 2
    n_compared = 0
    for n_mels, (fmin_hz, fmax_hz), hops in itertools.product(
            [1, 24, 48, 64, 128], [(0.0, nyquist_hz), (50.0, 0.8 * nyquist_hz), (333.3, 3_700.0)], [1, 2, 3]):
        spec = FeatureSpec(sample_rate_hz=sample_rate_hz, n_fft=n_fft, hop_length=n_fft // hops, n_mels=n_mels,
                           fmin_hz=fmin_hz, fmax_hz=fmax_hz)
        try:
            filterbank(spec)
        except InputError:
            continue  # judged in test_silent_bands_are_refused_exactly_where_librosa_has_them
        name = list(SOUNDS)[n_compared % len(SOUNDS)]
        samples = SOUNDS[name][: n_fft + 8 * spec.hop_length]
        ours = mel_db(samples, spec)
        for theirs in (librosa_db(samples, spec), librosa_db(samples.astype(np.float64), spec)):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE_DB, err_msg=f"{name} {spec}")
        n_compared += 1
    assert n_compared >= 10


@pytest.mark.parametrize("n_mels", [32, 48, 64])
@pytest.mark.parametrize("n_fft", [1024, 2048, 4096])
@pytest.mark.parametrize("sound", SOUNDS)
def test_parity_over_the_grid_of_the_paper(sound: str, n_fft: int, n_mels: int) -> None:
    spec = FeatureSpec(n_fft=n_fft, hop_length=n_fft // 2, n_mels=n_mels, n_frames=11)
    samples = SOUNDS[sound]
    window = samples[: spec.window_samples]
    np.testing.assert_allclose(mel_db(samples, spec), librosa_db(samples, spec), rtol=0, atol=TOLERANCE_DB)
    np.testing.assert_allclose(log_mel(samples, spec), librosa_db(window, spec, spec.top_db), rtol=0, atol=TOLERANCE_DB)


@pytest.mark.parametrize("spec", [
    PAPER,
    FeatureSpec(n_fft=1024, hop_length=512, n_mels=64, fmin_hz=20, fmax_hz=20_000),
    FeatureSpec(sample_rate_hz=16_000, n_fft=512, hop_length=160, n_mels=40, fmin_hz=1_000, fmax_hz=8_000),
    FeatureSpec(sample_rate_hz=8_000, n_fft=256, hop_length=128, n_mels=1, fmax_hz=900),
])
def test_filters_are_those_of_librosa(spec: FeatureSpec) -> None:
    theirs = librosa.filters.mel(sr=spec.sample_rate_hz, n_fft=spec.n_fft, n_mels=spec.n_mels, fmin=spec.fmin_hz,
                                 fmax=spec.fmax_hz, htk=False, norm="slaney")
    ours = filterbank(spec)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-7 * theirs.max())


def test_filters_of_the_paper_are_sparse() -> None:
    weights = filterbank(PAPER)
    assert weights.shape == (48, 1025)
    assert np.count_nonzero(weights) == 1959  # of 49200
    assert not weights.flags.writeable


def test_silent_bands_are_refused_exactly_where_librosa_has_them() -> None:
    refused = 0
    for n_fft, n_mels, fmax_hz in itertools.product([64, 256, 512, 1024], [8, 20, 32, 48, 64, 100], [24_000, 5_000]):
        spec = FeatureSpec(n_fft=n_fft, hop_length=n_fft, n_mels=n_mels, fmax_hz=fmax_hz)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # librosa only warns, and not about a silent first band
            theirs = librosa.filters.mel(sr=48_000, n_fft=n_fft, n_mels=n_mels, fmax=fmax_hz)
        if (theirs.max(axis=1) > 1e-9).all():
            filterbank(spec)
            continue
        refused += 1
        with pytest.raises(InputError, match=f"n_mels = {n_mels} is too many for n_fft = {n_fft}"):
            filterbank(spec)
    assert 5 < refused < 45


def test_the_error_about_silent_bands_names_a_number_that_works() -> None:
    spec = FeatureSpec(n_fft=512, hop_length=256, n_mels=128)
    with pytest.raises(InputError, match=r"no FFT bin in 13 band\(s\): 0, 3, 6, .*Use n_mels = 86 or fewer"):
        MelStream(spec)
    filterbank(dataclasses.replace(spec, n_mels=86))


@st.composite
def cut_streams(draw: st.DrawFn) -> tuple[FeatureSpec, NDArray[np.float32], list[int]]:
    n_fft = draw(st.sampled_from([64, 256, 1024, 2048]))
    spec = FeatureSpec(n_fft=n_fft, hop_length=draw(st.integers(max(1, n_fft // 16), n_fft)),
                       n_mels=draw(st.integers(1, 8)), n_frames=3)
    length = st.one_of(st.integers(0, 3), st.integers(0, n_fft), st.integers(0, 40 * n_fft))
    lengths = draw(st.lists(length, max_size=12))
    level = draw(st.sampled_from([1e-7, 1e-3, 0.1, 30.0]))
    return spec, noise(sum(lengths), seed=draw(st.integers(0, 9)), level=level), lengths


@given(cut_streams())
def test_any_chunking_equals_the_batch_bit_for_bit(stream: tuple[FeatureSpec, NDArray[np.float32], list[int]]) -> None:
    spec, samples, lengths = stream
    mel = MelStream(spec)
    pieces = [mel.push(piece) for piece in np.split(samples, np.cumsum(lengths))]
    assert_same_bits(np.concatenate(pieces, axis=1), mel_db(samples, spec))


@pytest.mark.parametrize("chunk", [1, 480, 1024, 1025, 48_000, 480_000])
def test_ten_seconds_in_equal_chunks(chunk: int) -> None:
    samples = noise(480_000 if chunk > 1 else 6_000)
    mel = MelStream(PAPER)
    pieces = [mel.push(samples[i : i + chunk]) for i in range(0, len(samples), chunk)]
    assert_same_bits(np.concatenate(pieces, axis=1), mel_db(samples, PAPER))


def test_a_frame_does_not_depend_on_its_neighbours() -> None:
    samples = noise(200_000)
    whole = mel_db(samples, PAPER)
    for i in range(whole.shape[1]):
        at = i * PAPER.hop_length
        assert_same_bits(mel_db(samples[at : at + PAPER.n_fft].copy(), PAPER), whole[:, i : i + 1].copy())


def test_threads_do_not_disturb_each_other() -> None:
    sounds = [np.random.default_rng(seed).standard_normal(200_000).astype(np.float32) for seed in range(4)]
    alone = [mel_db(samples, PAPER) for samples in sounds]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            together = list(pool.map(lambda samples: mel_db(samples, PAPER), sounds))
            assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_reset_forgets() -> None:
    mel = MelStream(PAPER)
    mel.push(noise(5_000, seed=1))
    mel.reset()
    samples = noise(9_999)
    assert_same_bits(mel.push(samples), mel_db(samples, PAPER))


def test_the_caller_may_reuse_its_block() -> None:
    mel, samples = MelStream(PAPER), noise(4_800)
    block = np.empty(480, np.float32)
    pieces = []
    for piece in samples.reshape(-1, 480):
        block[:] = piece
        pieces.append(mel.push(block))
        block[:] = 99
    assert_same_bits(np.concatenate(pieces, axis=1), mel_db(samples, PAPER))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_block_is_refused_and_leaves_the_stream_as_it_was(bad: float) -> None:
    samples, broken = noise(20_000), noise(1_000)
    broken[137] = bad
    mel = MelStream(PAPER)
    first = mel.push(samples[:7_000])
    with pytest.raises(AudioError, match="1 NaN or infinite, the first at 137"):
        mel.push(broken)
    assert_same_bits(np.concatenate([first, mel.push(samples[7_000:])], axis=1), mel_db(samples, PAPER))
    with pytest.raises(AudioError, match="NaN or infinite"):
        mel_db(broken, PAPER)


@pytest.mark.parametrize("bad", [np.zeros((2, 4_800), np.float32), np.zeros(4_800, np.int16), np.float32(1), ["a"]])
def test_other_things_than_mono_floats_are_refused(bad: object) -> None:
    for use in (MelStream(PAPER).push, lambda samples: mel_db(samples, PAPER)):
        with pytest.raises(AudioError, match="floating-point samples of one channel"):
            use(bad)  # type: ignore[arg-type]


def test_doubles_and_lists_are_taken_as_float32() -> None:
    samples = noise(5_000).astype(np.float64)
    assert_same_bits(mel_db(samples, PAPER), mel_db(samples.astype(np.float32), PAPER))
    assert mel_db([], PAPER).shape == (48, 0)


@pytest.mark.parametrize(("n", "n_frames"), [(0, 0), (2047, 0), (2048, 1), (3071, 1), (3072, 2), (480_000, 467)])
def test_only_complete_frames_count(n: int, n_frames: int) -> None:
    assert mel_db(np.zeros(n, np.float32), PAPER).shape == (48, n_frames)


def test_one_window_is_clamped_over_the_whole_of_it() -> None:
    samples = noise(480_000, level=1e-5)
    samples[400_000:410_000] = tone(10_000, level=1.0)
    db = mel_db(samples, PAPER)
    features = log_mel(samples, PAPER)
    assert features.shape == (48, 467)
    assert features.dtype == np.float32
    assert features.min() == features.max() - np.float32(80)
    assert_same_bits(features, clamp(db, PAPER))
    assert_same_bits(features, np.maximum(db, db.max() - np.float32(80)))
    np.testing.assert_allclose(features, librosa_db(samples[: PAPER.window_samples], PAPER, 80.0), rtol=0,
                               atol=TOLERANCE_DB)


def test_samples_after_the_window_do_not_matter() -> None:
    samples = np.concatenate([noise(PAPER.window_samples), [np.nan]])
    assert_same_bits(log_mel(samples, PAPER), log_mel(samples[:-1], PAPER))


def test_a_clip_shorter_than_a_window_is_an_error() -> None:
    with pytest.raises(AudioError, match=r"found 479231 samples \(9.984 s\); wanted 479232 samples"):
        log_mel(np.zeros(PAPER.window_samples - 1, np.float32), PAPER)


def test_clamp_edge_cases() -> None:
    db = np.array([[-100, 0], [10, -100]], np.float32)
    unclamped = clamp(db, dataclasses.replace(PAPER, top_db=None))
    assert_same_bits(unclamped, db)
    assert not np.shares_memory(unclamped, db)
    np.testing.assert_array_equal(clamp(db, PAPER), [[-70, 0], [10, -70]])
    assert clamp(db[:, :0], PAPER).shape == (2, 0)
    silence = log_mel(np.zeros(PAPER.window_samples, np.float32), PAPER)
    assert (silence == -100).all()


def test_memory_stays_small() -> None:
    """A batch needs a few MB besides its result, and a stream keeps less than one frame of samples."""
    samples = noise(480_000)
    mel = MelStream(PAPER)
    mel.push(samples)
    tracemalloc.start()
    try:
        mel_db(samples, PAPER)
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(30):
            mel.push(noise(48_000))
        assert tracemalloc.get_traced_memory()[0] - before < 4 * PAPER.n_fft + 4_000
    finally:
        tracemalloc.stop()


def test_the_front_end_needs_numpy_alone() -> None:
    code = ("import sys; before = set(sys.modules); import numpy, edge_asc.features; "
            "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))")
    imported = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"librosa", "scipy", "soundfile", "soxr", "tensorflow", "numba"} & set(imported)
