"""Files cut anywhere: a decoder would play what is left, we say how much is missing."""

from __future__ import annotations

import struct
from io import FileIO
from pathlib import Path

import numpy as np
import pytest

from edge_asc.audio import read_audio
from edge_asc.containers import missing_bytes
from edge_asc.errors import AudioError
from tests.conftest import WavFile, noise


def missing(path: Path) -> int:
    with FileIO(path) as file:
        return missing_bytes(file)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_a_cut_file_is_never_taken_for_a_whole_one(wav_file: WavFile, name: str) -> None:
    path = wav_file(noise(96_000).reshape(-1, 2), name=name)
    data = path.read_bytes()
    assert missing(path) == 0
    assert len(read_audio(path)) == 48_000
    cuts = [*range(1, 200, 7), *np.linspace(200, len(data) - 1, 60).astype(int).tolist()]
    slack = 4096 + 1 if name == "a.mp3" else 0  # encoders disagree on what the length in an MP3 counts
    for cut in cuts:
        path.write_bytes(data[:cut])
        if cut < len(data) - slack:
            with pytest.raises(AudioError, match=name):
                read_audio(path)


def test_what_is_missing_is_counted(wav_file: WavFile) -> None:
    path = wav_file(subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:-1234])
    assert missing(path) == 1234
    with pytest.raises(AudioError, match="cut short; found 1234 bytes fewer than its header says"):
        read_audio(path)


@pytest.mark.parametrize("length", [0xFFFF_FFFF, 0x7FFF_F000 + 36, 0x7FFF_FFFF])
def test_a_wav_from_a_pipe_promises_no_length(wav_file: WavFile, length: int) -> None:
    path = wav_file(subtype="PCM_16")
    data = path.read_bytes()
    at = data.index(b"data") + 4
    open_length = struct.pack("<I", length)
    path.write_bytes(data[:4] + open_length + data[8:at] + open_length + data[at + 4 :])
    assert missing(path) == 0
    assert len(read_audio(path)) == 48_000


def test_chunks_around_the_sound_are_skipped(wav_file: WavFile) -> None:
    path = wav_file(subtype="PCM_16")
    data = path.read_bytes()
    note = b"note" + struct.pack("<I", 3) + b"abc\0"
    path.write_bytes(data[:12] + note + data[12:] + note)
    assert missing(path) == 0
    assert len(read_audio(path)) == 48_000


def test_tags_before_an_mp3_are_skipped(wav_file: WavFile) -> None:
    path = wav_file(noise(480_000), name="a.mp3")
    data = path.read_bytes()
    tagged = b"ID3\x03\x00\x00\x00\x00\x02\x00" + bytes(256) + data
    path.write_bytes(tagged)
    assert missing(path) == 0
    assert len(read_audio(path)) == 480_000
    path.write_bytes(tagged[: len(tagged) // 2])
    assert missing(path) > len(tagged) // 3


@pytest.mark.parametrize("head", [b"RIFF\0\0\0\0WAVE", b"OggS", b"OggS\0" + bytes(22), b"ID3\x03\0\0\xff\xff\xff\xff",
                                  b"\0\0\0\1ftypM4A ", b"\0\0\0\0ftypM4A ", b"\xff\xfbInfo", b"R", b""])
@pytest.mark.parametrize("rest", [b"", bytes(100), b"\xff" * 100])
def test_headers_that_are_nothing_but_a_beginning(tmp_path: Path, head: bytes, rest: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(head + rest)
    assert missing(path) >= 0
