"""How much of a sound file is missing, by its own headers: decoders play what is left of a cut file and say nothing.

Only lengths are read, never sound. A header that leaves the length open, as a stream's does, promises nothing.
"""

from __future__ import annotations

import os
import re
from io import FileIO

# From here on a WAV data length means "written to a pipe": FFmpeg puts 0xFFFFFFFF, SoX 0x7FFFF000.
_OPEN_LENGTH = 0x7FFF_F000
_MAX_OGG_PAGE = 27 + 255 + 255 * 255
# Encoders disagree on whether the length in an MP3 counts its own frame; the largest frame has 2881 bytes.
_MP3_SLACK = 4096


def missing_bytes(file: FileIO) -> int:
    """Bytes by which a WAV, Ogg, MP3 or MP4 file is shorter than its headers say; 0 if whole, open or something else.

    Args:
        file: A regular file; its position is left alone.
    """
    size = os.fstat(file.fileno()).st_size
    head = _read(file, 0, 12)
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        end = _wav_end(file, size)
    elif head[:4] == b"OggS":
        end = _ogg_end(file, size)
    elif head[4:8] == b"ftyp":
        end = _mp4_end(file, size)
    else:
        end = _mp3_end(file)
    return max(0, end - size)


def wav_data(file: FileIO) -> tuple[int, int]:
    """Place and length of the data chunk of a little-endian WAV file, as its header says; (0, 0) if there is none.

    Args:
        file: As for `missing_bytes`.
    """
    head = _read(file, 0, 12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return 0, 0
    return _wav_chunk(file, os.fstat(file.fileno()).st_size)


def ogg_last_page_frame(file: FileIO) -> int:
    """The number of the first frame in the last page of an Ogg file; 0 if that cannot be told.

    Args:
        file: As for `missing_bytes`.
    """
    pages = _ogg_tail(file, os.fstat(file.fileno()).st_size)
    # A page's position is the count of frames up to its end; -1 stands in a page where no packet ends.
    positions = [int.from_bytes(page[6:14], "little", signed=True) for _, page in pages[:-1]]
    return max(positions, default=0) if pages else 0


def _wav_end(file: FileIO, size: int) -> int:
    """Where the data chunk ends."""
    at, length = _wav_chunk(file, size)
    return 0 if length >= _OPEN_LENGTH else at + length


def _wav_chunk(file: FileIO, size: int) -> tuple[int, int]:
    """Where the data chunk begins and how long it says it is."""
    at = 12
    while at + 8 <= size:
        chunk = _read(file, at, 8)
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            return at + 8, length
        at += 8 + length + length % 2
    return 0, 0


def _ogg_end(file: FileIO, size: int) -> int:
    """Where the last page ends."""
    pages = _ogg_tail(file, size)
    if not pages:
        return 0
    at, page = pages[-1]
    n_lengths = page[26] if len(page) > 26 else 1
    return at + 27 + max(n_lengths, 1) + sum(page[27 : 27 + n_lengths])


def _ogg_tail(file: FileIO, size: int) -> list[tuple[int, bytes]]:
    """Place and header of at least the last two pages, or of those there are."""
    tail_at = max(0, size - 2 * _MAX_OGG_PAGE)
    tail = _read(file, tail_at, 2 * _MAX_OGG_PAGE)
    starts = [match.start() for match in re.finditer(rb"OggS\0", tail)]
    return [(tail_at + start, tail[start : start + 27 + 255]) for start in starts]


def _mp4_end(file: FileIO, size: int) -> int:
    """Where the last top-level box ends."""
    at = 0
    while at + 8 <= size:
        box = _read(file, at, 16)
        length = int.from_bytes(box[:4], "big")
        if length == 1:
            length = int.from_bytes(box[8:], "big")
        if length < 8:
            return 0
        at += length
    return at


def _mp3_end(file: FileIO) -> int:
    """Where the sound ends, if the first frame has a Xing or Info header with the number of bytes."""
    at = 0
    head = _read(file, 0, 10)
    if head[:3] == b"ID3":
        at = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False))
    frame = _read(file, at, 64)
    tag = max(frame.find(b"Xing"), frame.find(b"Info"))
    if frame[:1] != b"\xff" or tag < 0 or len(frame) < tag + 16:
        return 0
    has_frames, has_bytes = frame[tag + 7] & 1, frame[tag + 7] & 2
    field = tag + 8 + 4 * has_frames
    return at + int.from_bytes(frame[field : field + 4], "big") - _MP3_SLACK if has_bytes else 0


def _read(file: FileIO, at: int, n: int) -> bytes:
    """Up to n bytes from `at` on, without moving the descriptor from where a decoder left it."""
    return os.pread(file.fileno(), n, at)
