"""Plain PCM is read without libsndfile's conversion and comes out with the very same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from edge_asc import audio
from edge_asc.audio import read_audio, to_mono
from edge_asc.decoding import open_sound

RATE_HZ = 48_000
EDGES = np.array([-(2**31), 2**31 - 1, 0, -1, 256, -256, 65536, -65536], np.int64)


def by_libsndfile(path: Path) -> np.ndarray:
    return to_mono(soundfile.read(path, dtype="float32", always_2d=True)[0])


@pytest.mark.parametrize("n_channels", [1, 2, 3])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"])
@pytest.mark.parametrize(("container", "endian"), [("WAV", "FILE"), ("WAVEX", "FILE"), ("WAV", "BIG"),
                                                   ("AIFF", "FILE")])
def test_every_layout_gives_the_bits_of_libsndfile(tmp_path: Path, n_channels: int, subtype: str, container: str,
                                                   endian: str) -> None:
    if container == "AIFF" and subtype == "PCM_U8":
        subtype = "PCM_S8"
    rng = np.random.default_rng(n_channels)
    values = np.concatenate([np.resize(EDGES, (64, n_channels)), rng.integers(-(2**31), 2**31, (70_000, n_channels))])
    path = tmp_path / "x.wav"
    soundfile.write(path, values.astype(np.int32), RATE_HZ, subtype=subtype, format=container, endian=endian)
    wanted, found = by_libsndfile(path), read_audio(path, sample_rate_hz=RATE_HZ)
    assert np.array_equal(wanted.view(np.uint32), found.view(np.uint32))
    part = read_audio(path, sample_rate_hz=RATE_HZ, start_s=7 / RATE_HZ, duration_s=66_000 / RATE_HZ)
    assert np.array_equal(part, wanted[7:66_007])
    is_plain = container != "AIFF" and endian == "FILE" and n_channels < 3 and subtype in ("PCM_16", "PCM_24")
    with open_sound(path) as sound:
        assert (sound._pcm is not None) == is_plain  # type: ignore[attr-defined]


@given(st.data())
def test_any_samples_and_any_part(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    n_channels, subtype = data.draw(st.sampled_from([1, 2])), data.draw(st.sampled_from(["PCM_16", "PCM_24"]))
    values = data.draw(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=40))
    path = tmp_path_factory.mktemp("pcm") / "x.wav"
    soundfile.write(path, np.repeat(np.array(values, np.int32), 2).reshape(-1, 2)[:, :n_channels], RATE_HZ, subtype)
    start = data.draw(st.integers(0, len(values) - 1))
    found = read_audio(path, sample_rate_hz=RATE_HZ, start_s=start / RATE_HZ)
    assert np.array_equal(found, by_libsndfile(path)[start:])


def test_chunks_before_the_sound_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    audio.write_wav(path, np.linspace(-0.5, 0.5, 500), sample_rate_hz=RATE_HZ)
    plain, wanted = path.read_bytes(), by_libsndfile(path)
    extra = b"LIST" + (5).to_bytes(4, "little") + b"hello\0"  # odd lengths are padded
    size = (len(plain) - 8 + len(extra)).to_bytes(4, "little")
    path.write_bytes(plain[:4] + size + plain[8:12] + extra + plain[12:])
    assert np.array_equal(read_audio(path, sample_rate_hz=RATE_HZ), wanted)
