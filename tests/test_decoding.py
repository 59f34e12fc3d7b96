"""Decoders against damaged files: an array or an AudioError, whatever the bytes. And AAC, which needs `av`."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import av
import numpy as np
import pytest

import edge_asc
from edge_asc.audio import audio_info, blocks, read_audio
from edge_asc.errors import AudioError, MissingDependencyError
from tests.conftest import WavFile, noise, tone

CLIPS = sorted((Path(edge_asc.__file__).parent / "assets" / "clips").glob("*.ogg"))


@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.stem)
def test_every_shipped_clip_reads_to_its_end(path: Path) -> None:
    """One of them promises 20 samples more than its last block holds, as encoders do."""
    info = audio_info(path)
    n_samples = sum(block.size for block in blocks(path, sample_rate_hz=info.sample_rate_hz))
    assert info.n_frames - 100 < n_samples <= info.n_frames
    assert read_audio(path, sample_rate_hz=info.sample_rate_hz).size == n_samples


# In a process of its own: a decoder that crashes or takes all memory must fail one test and not the whole run.
FUZZ = textwrap.dedent("""
    import pathlib, random, resource, sys
    import numpy as np
    from edge_asc.audio import audio_info, blocks, read_audio
    from edge_asc.errors import AudioError

    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    path, n = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    whole = path.read_bytes()
    refused = 0
    for seed in range(n):
        dice, data = random.Random(seed), bytearray(whole)
        for _ in range(dice.choice([1, 2, 5, 30])):
            at = dice.randrange(min(len(data), dice.choice([64, 256, len(data)])))
            data[at] = dice.choice([0, 127, 128, 255, dice.randrange(256), data[at] ^ 1 << dice.randrange(8)])
        if dice.random() < 0.1:
            at = dice.randrange(len(data))
            data[at:at] = dice.randbytes(dice.randrange(100))
        if dice.random() < 0.2:
            del data[dice.randrange(len(data)):]
        path.write_bytes(data)
        for use in (read_audio, audio_info, lambda p: sum(map(len, blocks(p))),
                    lambda p: read_audio(p, sample_rate_hz=16_000, start_s=0.1, duration_s=0.1)):
            try:
                samples = use(path)
                assert not isinstance(samples, np.ndarray) or np.isfinite(samples).all(), seed
            except AudioError:
                refused += 1
            except BaseException:
                print("seed", seed, file=sys.stderr)
                raise
    print(refused)
""")


def aac_file(path: Path, samples: np.ndarray, *, sample_rate_hz: int = 44_100) -> Path:
    """Writes stereo float32 [n, 2] as AAC in the container that the name asks for."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=sample_rate_hz, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout="stereo")
        frame.sample_rate = sample_rate_hz
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.m4a", "a.aac"])
def test_damaged_files_give_an_array_or_an_audio_error(wav_file: WavFile, tmp_path: Path, name: str) -> None:
    samples = noise(24_000).reshape(-1, 2)
    path = aac_file(tmp_path / name, samples) if name in ("a.m4a", "a.aac") else wav_file(samples, name=name)
    done = subprocess.run([sys.executable, "-c", FUZZ, str(path), "150"], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 50


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors as Linux does")
def test_every_descriptor_is_closed_once(wav_file: WavFile, tmp_path: Path) -> None:
    good, bad = wav_file(), tmp_path / "bad.wav"
    bad.write_bytes(good.read_bytes()[:30])
    n_open = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        read_audio(good, duration_s=0.1)
        next(blocks(good))
        with pytest.raises(AudioError):
            read_audio(bad)
    assert len(list(Path("/proc/self/fd").iterdir())) == n_open


@pytest.mark.parametrize("name", ["a.wav", "a.ogg"])
def test_a_disk_that_fails_in_the_middle_is_named(wav_file: WavFile, monkeypatch: pytest.MonkeyPatch,
                                                  name: str) -> None:
    """Each of our own reads fails in turn; libsndfile's are its own and end as its errors."""
    path, pread = wav_file(name=name), os.pread
    refusals: list[str] = []

    def failing(descriptor: int, n: int, at: int) -> bytes:
        if next(calls) == len(refusals):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(descriptor, n, at)

    monkeypatch.setattr(os, "pread", failing)
    for _ in range(100):
        calls = itertools.count()
        try:
            read_audio(path, start_s=0.1)
        except AudioError as error:
            refusals.append(str(error))
        else:
            break
    assert 4 <= len(refusals) < 100
    assert all(text.startswith(f"{path} cannot be read: {os.strerror(errno.EIO)}") for text in refusals)


@pytest.mark.parametrize("name", ["a.m4a", "a.aac", "a.mp4"])
def test_aac(tmp_path: Path, name: str) -> None:
    samples = tone(44_100 * 3, hz=300, sample_rate_hz=44_100)
    path = aac_file(tmp_path / name, np.stack([samples, samples], axis=1))
    info = audio_info(path)
    assert (info.sample_rate_hz, info.n_channels) == (44_100, 2)
    assert info.duration_s == pytest.approx(3, abs=0.2)
    whole = read_audio(path)
    assert whole.dtype == np.float32
    assert len(whole) == pytest.approx(144_000, abs=5_000)
    assert np.sqrt(np.mean(whole[9_600:-9_600] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    np.testing.assert_array_equal(np.concatenate(list(blocks(path))), whole)
    part = read_audio(path, start_s=1.2345, duration_s=0.5)
    np.testing.assert_allclose(part, whole[59_256 : 59_256 + 24_000], rtol=0, atol=1e-6)


def test_a_cut_m4a(tmp_path: Path) -> None:
    path = aac_file(tmp_path / "a.m4a", noise(88_200).reshape(-1, 2))
    data = path.read_bytes()
    for cut in (20, len(data) // 3, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(AudioError, match=r"a\.m4a"):
            read_audio(path)


def test_an_mp4_file_without_sound(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for packet in [*stream.encode(av.VideoFrame(32, 32, "yuv420p")), *stream.encode(None)]:
            container.mux(packet)
    with pytest.raises(AudioError, match=r"film.mp4 .* no audio track"):
        read_audio(path)


def test_aac_without_the_package_av(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = aac_file(tmp_path / "a.m4a", noise(8_820).reshape(-1, 2))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependencyError, match=r"ffmpeg -i a.m4a a.wav .* pip install 'edge-asc\[train\]'"):
        read_audio(path)
