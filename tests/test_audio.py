"""Reading sound: exact samples, parts equal to slices, only what is asked for, and one clear error for bad input."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_asc.audio import AudioInfo, StreamResampler, audio_info, blocks, read_audio, require_sound, to_mono, write_wav
from edge_asc.errors import AudioError, InputError, MissingDependencyError
from tests.conftest import WavFile, noise, tone

Samples = NDArray[np.float32]
RATES = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]


@pytest.mark.parametrize(("name", "subtype", "error"), [
    ("a.wav", "PCM_16", 0), ("a.wav", "PCM_24", 0), ("a.wav", "PCM_32", 0), ("a.wav", "FLOAT", 0),
    ("a.wav", "DOUBLE", 0), ("a.flac", "PCM_16", 0), ("a.flac", "PCM_24", 0), ("a.ogg", "VORBIS", 0.1),
    ("a.mp3", "MPEG_LAYER_III", 0.1),
])
def test_formats(wav_file: WavFile, name: str, subtype: str, error: float) -> None:
    levels = np.rint((tone(48_000) + noise(48_000, level=0.01)) * 2**15).astype(np.int32)
    samples = (levels / 2**15).astype(np.float32)
    is_float = subtype in ("FLOAT", "DOUBLE")
    path = wav_file(samples if is_float else levels << 16, name=name, subtype=subtype)
    read = read_audio(path)
    assert read.dtype == np.float32
    assert read.shape == samples.shape
    assert np.abs(read - samples).max() <= error
    assert audio_info(path) == AudioInfo(sample_rate_hz=48_000, n_channels=1, n_frames=48_000, duration_s=1.0)


def test_what_a_file_is_comes_from_its_bytes_not_its_name(wav_file: WavFile) -> None:
    path = wav_file(noise(4_800), subtype="FLOAT")
    expected = noise(4_800)
    for name in ("sound.mp3", "sound.raw", "sound.m4a", "sound"):
        path = path.rename(path.with_name(name))
        np.testing.assert_array_equal(read_audio(path), expected)


@pytest.mark.parametrize("n_channels", [1, 2, 3, 6])
def test_channels_are_averaged(wav_file: WavFile, n_channels: int) -> None:
    samples = noise(4_800 * n_channels).reshape(-1, n_channels)
    read = read_audio(wav_file(samples, subtype="FLOAT"))
    np.testing.assert_allclose(read, samples.mean(axis=1, dtype=np.float64), rtol=0, atol=3e-8)
    assert audio_info(wav_file(samples)).n_channels == n_channels


def test_to_mono_takes_any_float_and_copies() -> None:
    block = noise(20).reshape(10, 2)
    expected = (block[:, 0] + block[:, 1]) / 2
    for array in (block, np.asfortranarray(block), block.astype(np.float64), block.astype(">f4")):
        mono = to_mono(array)
        assert mono.dtype == np.float32
        np.testing.assert_array_equal(mono, expected)
    one = noise(10)
    assert not np.shares_memory(to_mono(one), one)
    assert to_mono(block[:0]).shape == (0,)
    for bad in (np.zeros((4, 2), np.int16), np.float32(1), np.zeros((1, 2, 3)), np.zeros((4, 0))):
        with pytest.raises(AudioError, match="floating-point"):
            to_mono(bad)


@pytest.mark.parametrize("rate_hz", RATES)
def test_resampling_keeps_a_tone(wav_file: WavFile, rate_hz: int) -> None:
    path = wav_file(tone(rate_hz, hz=1_000, sample_rate_hz=rate_hz), sample_rate_hz=rate_hz, subtype="FLOAT")
    read = read_audio(path)
    assert read.shape == (48_000,)
    assert np.abs(read - tone(48_000, hz=1_000))[2_000:-2_000].max() < 1e-3


@pytest.mark.parametrize("rate_hz", RATES)
def test_blocks_and_the_whole_file_are_the_same(wav_file: WavFile, rate_hz: int) -> None:
    samples = noise(2 * rate_hz + 77)
    path = wav_file(samples, sample_rate_hz=rate_hz, subtype="FLOAT")
    whole = read_audio(path)
    np.testing.assert_array_equal(whole, samples if rate_hz == 48_000 else soxr.resample(samples, rate_hz, 48_000))
    for block_s in (0.01, 0.1, 5.0):
        parts = list(blocks(path, block_s=block_s))
        assert all(part.size and part.dtype == np.float32 for part in parts)
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert len(list(blocks(path, block_s=0.1))) > 10


def test_blocks_have_the_length_asked_for(wav_file: WavFile) -> None:
    assert [block.size for block in blocks(wav_file(), block_s=0.3)] == [14_400, 14_400, 14_400, 4_800]


@pytest.mark.parametrize(("name", "file_hz", "subtype"), [
    ("a.wav", 48_000, None), ("a.wav", 44_100, None), ("a.wav", 11_025, None), ("a.wav", 44_101, None),
    ("a.flac", 48_000, None), ("a.ogg", 44_100, None), ("a.ogg", 48_000, "VORBIS"), ("a.ogg", 24_000, "OPUS"),
    ("a.mp3", 48_000, None), ("a.mp3", 16_000, None),
])
def test_a_part_is_a_slice_of_the_whole(tmp_path: Path, name: str, file_hz: int, subtype: str | None) -> None:
    path, length_s = tmp_path / name, 5
    soundfile.write(path, noise(length_s * file_hz), file_hz, subtype=subtype)
    wholes = {rate_hz: read_audio(path, sample_rate_hz=rate_hz) for rate_hz in (48_000, 16_000)}
    # Near the end too: libsndfile is not exact when it seeks to the last page of an Ogg file.
    start = st.one_of(st.floats(0, length_s - 0.01), st.floats(length_s - 0.3, length_s - 0.01))

    @given(start_s=start, duration_s=st.floats(0.001, 2), rate_hz=st.sampled_from(list(wholes)))
    @settings(max_examples=60)
    def check(start_s: float, duration_s: float, rate_hz: int) -> None:
        first = round(start_s * rate_hz)
        expected = wholes[rate_hz][first : first + round(duration_s * rate_hz)]
        part = read_audio(path, sample_rate_hz=rate_hz, start_s=start_s, duration_s=duration_s)
        # Between rates with no common measure soxr rounds its step, and that adds up over the file.
        np.testing.assert_allclose(part, expected, rtol=0, atol=5e-5 if file_hz == 44_101 else 1e-6)

    check()


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_parts_that_begin_anywhere_in_a_compressed_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    soundfile.write(path, noise(100_000), 48_000)
    whole = read_audio(path)
    for start in range(0, 100_000, 997):
        part = read_audio(path, start_s=start / 48_000, duration_s=0.01)
        np.testing.assert_allclose(part, whole[start : start + 480], rtol=0, atol=1e-6, err_msg=str(start))


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts bytes as Linux does")
@pytest.mark.parametrize(("rate_hz", "start_s"), [(48_000, 0.0), (48_000, 7_000.5), (44_100, 7_000.5)])
def test_a_second_of_two_hours_reads_a_second(tmp_path: Path, rate_hz: int, start_s: float) -> None:
    path = tmp_path / "long.wav"
    n_bytes = 2 * 3600 * rate_hz * 2
    path.write_bytes(struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 36 + n_bytes, b"WAVEfmt ", 16, 1, 1, rate_hz, 2 * rate_hz,
                                 2, 16, b"data", n_bytes))
    os.truncate(path, 44 + n_bytes)  # sparse: takes no space

    def bytes_read() -> int:
        return int(Path("/proc/self/io").read_text().split("rchar:")[1].split()[0])

    before = bytes_read()
    assert read_audio(path, start_s=start_s, duration_s=1.0).shape == (48_000,)
    assert bytes_read() - before < 2 * rate_hz + 50_000
    before = bytes_read()
    assert audio_info(path).duration_s == 7200
    assert bytes_read() - before < 10_000


@given(st.sampled_from([(44_100, 48_000), (48_000, 16_000), (8_000, 48_000), (48_000, 48_000)]),
       st.lists(st.integers(0, 3_000), max_size=20))
def test_stream_resampling_does_not_depend_on_the_cuts(rates_hz: tuple[int, int], lengths: list[int]) -> None:
    samples = noise(sum(lengths))
    resampler = StreamResampler(*rates_hz)
    for _ in range(2):  # `finish` leaves it ready for the next stream
        parts = [resampler.push(part) for part in np.split(samples, np.cumsum(lengths))]
        resampled = np.concatenate([*parts, resampler.finish()])
        np.testing.assert_array_equal(resampled, soxr.resample(samples, *rates_hz) if samples.size else samples)


def test_a_file_that_ends_early_gives_fewer_samples(wav_file: WavFile) -> None:
    assert read_audio(wav_file(), start_s=0.75, duration_s=10).shape == (12_000,)
    assert read_audio(wav_file(), duration_s=0).shape == (0,)


def test_reading_beyond_the_end_is_an_error(wav_file: WavFile) -> None:
    with pytest.raises(AudioError, match=r"no sound from 3 s on; found a length of 1 s"):
        read_audio(wav_file(), start_s=3.0)


@pytest.mark.parametrize("part", [{"start_s": -1.0}, {"duration_s": -0.1}, {"start_s": float("nan")}])
def test_impossible_parts(wav_file: WavFile, part: dict[str, float]) -> None:
    with pytest.raises(InputError, match="impossible"):
        read_audio(wav_file(), **part)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("rate_hz", [48_000, 44_100])
def test_a_sample_that_is_no_number(wav_file: WavFile, bad: float, rate_hz: int) -> None:
    samples = noise(rate_hz)
    samples[rate_hz // 2] = bad
    path = wav_file(samples, sample_rate_hz=rate_hz, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"sound.wav has samples that are no numbers; found NaN .* at 0.500 s"):
        read_audio(path)
    with pytest.raises(AudioError, match="no numbers"):
        list(blocks(path))
    assert read_audio(path, duration_s=0.4).shape == (19_200,)


def test_files_that_are_not_sound(tmp_path: Path) -> None:
    text = b"hello world\n" * 99
    contents = {"missing.wav": None, "empty.wav": b"", "text.wav": text, "text.mp3": text, "zeros.mp3": bytes(10_000),
                "noise.vox": noise(999).tobytes(), "picture.ogg": b"\x89PNG\r\n\x1a\n" * 99,
                "header.flac": b"fLaC\x80\x00\x00\x22"}
    for name, data in contents.items():
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
        for use in (read_audio, audio_info, lambda path: list(blocks(path))):
            with pytest.raises(AudioError, match=name):
                use(path)
    for path in (tmp_path, Path("/dev/null")):
        with pytest.raises(AudioError, match=r"directory|not a regular file"):
            read_audio(path)


def test_a_header_without_samples(wav_file: WavFile) -> None:
    path = wav_file(np.zeros(0, np.float32))
    assert audio_info(path).n_frames == 0
    for use in (read_audio, lambda path: list(blocks(path))):
        with pytest.raises(AudioError, match="no sound"):
            use(path)


def test_an_impossible_rate(wav_file: WavFile) -> None:
    with pytest.raises(AudioError, match="impossible sample rate; found 3 Hz; wanted 1000 to 768000 Hz"):
        read_audio(wav_file(sample_rate_hz=3))


def test_require_sound() -> None:
    quiet = np.zeros(10, np.float32)
    with pytest.raises(AudioError, match=r"a.wav is digital silence; found 10 samples, all zero"):
        require_sound(quiet, "a.wav")
    with pytest.raises(AudioError, match="silence"):
        require_sound(quiet[:0], "a.wav")
    quiet[3] = 1e-9
    assert require_sound(quiet, "a.wav") is quiet


@pytest.mark.parametrize(("subtype", "error"), [
    ("PCM_16", 2**-16), ("PCM_24", 2**-24), ("PCM_32", 2**-32), ("FLOAT", 0)])
def test_write_wav(tmp_path: Path, subtype: str, error: float) -> None:
    samples, path = noise(44_100), tmp_path / "new.wav"
    write_wav(path, samples, sample_rate_hz=44_100, subtype=subtype)
    assert soundfile.info(path).subtype == subtype
    assert np.abs(read_audio(path, sample_rate_hz=44_100) - samples).max() <= error
    assert list(tmp_path.iterdir()) == [path]
    write_wav(path, again := read_audio(path, sample_rate_hz=44_100), sample_rate_hz=44_100, subtype=subtype)
    np.testing.assert_array_equal(read_audio(path, sample_rate_hz=44_100), again)


def test_write_wav_clips(tmp_path: Path) -> None:
    for subtype in ("PCM_16", "PCM_24", "PCM_32"):
        write_wav(tmp_path / "new.wav", np.array([-3, 0.5, 3]), sample_rate_hz=48_000, subtype=subtype)
        np.testing.assert_allclose(read_audio(tmp_path / "new.wav"), [-1, 0.5, 1], atol=2**-15)


def test_write_wav_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new.wav"
    write_wav(path, noise(100), sample_rate_hz=48_000)
    before = path.read_bytes()
    with pytest.raises(AudioError, match="no numbers"):
        write_wav(path, [0.0, np.nan], sample_rate_hz=48_000)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError):
        write_wav(tmp_path / "nowhere" / "new.wav", noise(100), sample_rate_hz=48_000)


def test_without_libsndfile_the_error_says_what_to_install(wav_file: WavFile, monkeypatch: pytest.MonkeyPatch) -> None:
    path = wav_file()
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingDependencyError, match="apt install libsndfile1"):
        read_audio(path)


def test_importing_it_imports_no_decoder() -> None:
    code = "import sys, edge_asc.audio; print(*sorted(sys.modules))"
    imported = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"librosa", "scipy", "soundfile", "av", "tensorflow"} & set(imported)
