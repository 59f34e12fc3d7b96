"""Sound files as arrays: libsndfile for WAV, FLAC, Ogg and MP3, FFmpeg (package `av`) for AAC and M4A.

A file is opened by descriptor, so what it is is told by its bytes and never by its name, and read in chunks, so a
damaged header cannot ask for more memory than one chunk. `edge_asc.audio` is what the rest of the package calls.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_asc.containers import missing_bytes, ogg_last_page_frame, wav_data
from edge_asc.errors import AudioError, MissingDependencyError
from edge_asc.pcm import pcm_layout

Float32 = NDArray[np.float32]

# Outside this range a rate is a damaged header, and resampling from it would ask for absurd amounts of memory.
MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000
_CHUNK_VALUES = 1 << 20
_LONGEST_VORBIS_BLOCK = 8192


class SoundSource(Protocol):
    """An open file. `n_frames` is what its header says: exact, but for MP3 without a length header and for AAC."""

    sample_rate_hz: int
    n_channels: int
    n_frames: int

    def chunks(self, *, start: int, stop: int | None, size: int) -> Iterator[Float32]:
        """Frames `start` to before `stop`, or to the end; once per open file. float32 [n <= size, n_channels], or
        [n <= size] where the mean of the channels is what is read."""


@contextlib.contextmanager
def open_sound(path: str | os.PathLike[str]) -> Iterator[SoundSource]:
    """Opens a sound file for reading.

    Raises:
        AudioError: Missing, empty, cut short, not sound, damaged, or on a disk that fails, now or while it is read.
        MissingDependencyError: A decoder that this format needs is not installed.
    """
    path = Path(path)
    with _open_file(path) as file:
        try:
            opened = _source(path, file)
        except OSError as error:
            raise _unreadable(path, error) from error
        with contextlib.closing(opened) as source:
            if not MIN_RATE_HZ <= source.sample_rate_hz <= MAX_RATE_HZ:
                raise AudioError(f"{path} has an impossible sample rate", found=f"{source.sample_rate_hz} Hz",
                                 wanted=f"{MIN_RATE_HZ} to {MAX_RATE_HZ} Hz", fix="The file is probably damaged.")
            yield source


def _open_file(path: Path) -> FileIO:
    try:
        # Unbuffered: libsndfile reads on from where the descriptor stands.
        file = FileIO(path, "rb")
    except FileNotFoundError as error:
        raise AudioError(f"no such file: {path}", wanted="a sound file", fix="Check the path.") from error
    except OSError as error:
        raise AudioError(f"{path} cannot be opened: {error.strerror}", wanted="a sound file") from error
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_size:
        return file
    file.close()
    raise AudioError(f"{path} cannot be read as sound", wanted="a sound file",
                     found="an empty file" if stat.S_ISREG(status.st_mode) else "something that is not a regular file")


def _source(path: Path, file: FileIO) -> _SndfileSource | _AvSource:
    head = os.pread(file.fileno(), 16, 0)
    lost = missing_bytes(file)
    if lost:
        raise AudioError(f"{path} is cut short", found=f"{lost} bytes fewer than its header says",
                         wanted="the whole file", fix="Copy or download it again.")
    # An MP4 family file, or the sync word of an AAC frame with the layer bits that MP3 never has.
    is_aac = head[4:8] == b"ftyp" or int.from_bytes(head[:2], "big") & 0xFFF6 == 0xFFF0
    return _AvSource(path, file) if is_aac else _SndfileSource(path, file)


def _unreadable(path: Path, error: OSError) -> AudioError:
    """What the disk or the network share says in the middle of a file."""
    return AudioError(f"{path} cannot be read: {error.strerror or error}", wanted="a file that can be read to its end",
                      fix="Check the disk or the network share that it is on.")


class _SndfileSource:
    def __init__(self, path: Path, file: FileIO) -> None:
        self._path, self._file, self._sndfile = path, file, import_soundfile()
        try:
            # A descriptor of its own, to close: libsndfile 1.2.0 closes one it cannot use, even if told not to.
            self._sound = self._sndfile.SoundFile(os.dup(file.fileno()), closefd=True)
        except self._sndfile.SoundFileError as error:
            reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
            raise AudioError(f"{path} cannot be read as sound", found=f"libsndfile: {reason}",
                             wanted="WAV, FLAC, Ogg or MP3",
                             fix=f"If it is sound, convert it: ffmpeg -i {path.name} {path.stem}-converted.wav"
                             ) from error
        self.sample_rate_hz: int = self._sound.samplerate
        self.n_channels: int = self._sound.channels
        self.n_frames: int = self._sound.frames
        self._pcm = pcm_layout(subtype=self._sound.subtype, n_channels=self.n_channels, n_frames=self.n_frames,
                               data=wav_data(file))

    def close(self) -> None:
        self._sound.close()

    def _read(self, position: int, n: int) -> Float32:
        if self._pcm is not None:
            return self._pcm.read_mono(self._file.fileno(), start=position, n=n)
        return self._sound.read(n, dtype="float32", always_2d=True)  # type: ignore[no-any-return]

    def chunks(self, *, start: int, stop: int | None, size: int) -> Iterator[Float32]:
        size = max(1, min(size, _CHUNK_VALUES // self.n_channels))
        stop = self.n_frames if stop is None else min(stop, self.n_frames)
        try:
            position = self._seek_for(min(start, self.n_frames))
            if self._pcm is None:
                self._sound.seek(position)
            while position < stop:
                wanted = min(size, stop - position)
                chunk = self._read(position, wanted)
                if position + len(chunk) > start:
                    yield chunk[max(0, start - position) :]
                position += len(chunk)
                if len(chunk) < wanted:
                    break
        except self._sndfile.SoundFileError as error:
            raise AudioError(f"{self._path} is damaged near {position / self.sample_rate_hz:.2f} s",
                             found=str(error).strip().rstrip("."), fix="Copy or download it again.") from error
        except OSError as error:
            raise _unreadable(self._path, error) from error
        # The length of an MP3 without a length header is a guess from its size, and often a little too long.
        if position + self._slack < stop and self._sound.format != "MP3":
            raise AudioError(f"{self._path} is cut short", found=f"the end after {position} samples",
                             wanted=f"{self.n_frames}, as its header says", fix="Copy or download it again.")

    @property
    def _slack(self) -> int:
        """Frames that may be missing at the end: some encoders promise a part of a last block that never comes."""
        return _LONGEST_VORBIS_BLOCK if self._sound.format == "OGG" else 0

    def _seek_for(self, start: int) -> int:
        """Where to seek so that decoding on from there gives exactly the frames from `start` on."""
        if self._sound.format == "OGG":
            # libsndfile counts back from the end of a page, but in the last page that is wherever the sound ends.
            return min(start, ogg_last_page_frame(self._file))
        if self._sound.format == "MP3":
            # A frame's bits may begin 511 bytes earlier: at low bit rates that is many frames, mpg123 goes back 4.
            return max(0, start - 16 * 1152)
        return start


class _AvSource:
    """Always decodes from the start: seeking in AAC is not sample-exact."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self._path, self._av = path, _import_av(path)
        try:
            self._container = self._av.open(file, mode="r", metadata_errors="replace")
            stream: Any = next(iter(self._container.streams.audio), None)
        except self._av.error.FFmpegError as error:
            raise self._damaged(error) from error
        codec = stream.codec_context if stream else None
        if not (codec and codec.sample_rate and codec.channels):
            raise AudioError(f"{path} cannot be read as sound", wanted="AAC or M4A sound",
                             found="no audio track that can be decoded", fix="Copy or download it again.")
        self._stream = stream
        self.sample_rate_hz: int = codec.sample_rate
        self.n_channels: int = codec.channels
        self.n_frames: int = round((stream.duration or 0) * (stream.time_base or 0) * self.sample_rate_hz)

    def close(self) -> None:
        self._container.close()

    def chunks(self, *, start: int, stop: int | None, size: int) -> Iterator[Float32]:
        position = 0
        try:
            for planes in self._planes():
                end = position + planes.shape[1]
                part = planes[:, max(0, start - position) : None if stop is None else max(0, stop - position)]
                for at in range(0, part.shape[1], size):
                    yield np.ascontiguousarray(part[:, at : at + size].T)
                position = end
                if stop is not None and position >= stop:
                    return
        except self._av.error.FFmpegError as error:
            raise self._damaged(error) from error
        except OSError as error:
            raise _unreadable(self._path, error) from error

    def _planes(self) -> Iterator[Float32]:
        """float32 [n_channels, n] of every decoded packet."""
        planar = self._av.AudioResampler(format="fltp")
        for frame in self._container.decode(self._stream):
            for converted in planar.resample(frame):
                yield converted.to_ndarray()

    def _damaged(self, error: Exception) -> AudioError:
        return AudioError(f"{self._path} cannot be decoded", found=error, wanted="whole AAC or M4A sound",
                          fix="Copy or download it again.")


def import_soundfile() -> ModuleType:
    """The module soundfile, imported late: listening to a microphone needs no libsndfile."""
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise MissingDependencyError("reading and writing sound files needs the package soundfile and libsndfile",
                                     found=error, fix="Run: apt install libsndfile1") from error
    return soundfile  # type: ignore[no-any-return]


def _import_av(path: Path) -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError(
            f"{path} is AAC sound, for which the package av is needed",
            fix=f"Convert it: ffmpeg -i {path.name} {path.stem}.wav  or run: pip install 'edge-asc[train]'") from error
    return av
