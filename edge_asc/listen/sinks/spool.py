"""A first-in, first-out queue of lines on disk, bounded in bytes: what a sink could not deliver yet.

Lines live in numbered segment files; only the segment being read is held in memory. A line that was taken leaves the
disk when `settle` says that the lines taken so far are safe. After a crash some lines may come again but none is
missing, so lines should carry a number by which the receiving end can tell.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from edge_asc.errors import InputError
from edge_asc.listen.sinks.sole_user import be_sole_user

_MIDDLE = 1_000_000_000
"""Number of the very first segment: far enough from 0 that `push_front` never runs out of smaller ones."""
_SUFFIX = ".jsonl"


class Spool:
    """Lines waiting in `folder`, which is locked until `close`.

    Args:
        folder: Made if it is not there. Lines left by an earlier run come first.
        max_bytes: Bound of all segments together; beyond it the oldest segment is dropped and counted.
        segment_bytes: Size at which a new segment is begun, also the grain of dropping.

    Raises:
        InputError: Another process uses the folder, or `max_bytes` is too small.
        OSError: The folder cannot be used.
    """

    def __init__(self, folder: Path, *, max_bytes: int = 16 << 20, segment_bytes: int = 64 << 10) -> None:
        if max_bytes < 2 * segment_bytes:
            raise InputError("the spool is too small", found=f"{max_bytes} bytes", wanted=f"from {2 * segment_bytes}")
        self._folder, self._max_bytes, self._segment_bytes = folder, max_bytes, segment_bytes
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._lock = os.open(folder, os.O_RDONLY)
        try:
            be_sole_user(self._lock, what=f"the state folder {folder.parent}", setting="node.state_folder")
        except InputError:
            os.close(self._lock)
            raise
        numbers = sorted(int(path.stem) for path in folder.glob(f"*{_SUFFIX}") if path.stem.isdigit())
        self._sizes = {number: self._path(number).stat().st_size for number in numbers}
        self._n_lines = {number: len(self._read(number)) for number in numbers}
        self._taken: list[int] = []
        self._head: deque[str] | None = None
        # The end of an earlier run's last segment may be torn: new lines go to a new one.
        self._tail: int | None = None
        self._newest = max(numbers, default=_MIDDLE)
        self.n_dropped = 0
        """Lines given up because the bound was reached."""

    def __len__(self) -> int:
        return sum(self._n_lines.values())

    @property
    def n_bytes(self) -> int:
        """Bytes of the lines that wait."""
        return sum(self._sizes.values())

    def close(self) -> None:
        """Leave the folder to others; nothing else may be called after."""
        os.close(self._lock)

    def append(self, line: str) -> None:
        """Put one line (without line breaks) at the end. OSError when the disk refuses: nothing was added then."""
        data = line.encode() + b"\n"
        tail = self._tail
        if tail not in self._sizes or self._sizes[tail] + len(data) > self._segment_bytes:
            tail = self._newest + 1
        assert tail is not None
        self._write(tail, data)
        self._tail = self._newest = tail
        self._n_lines[tail] = self._n_lines.get(tail, 0) + 1
        if self._head is not None and tail == min(self._sizes):
            self._head.append(line)
        while self.n_bytes > self._max_bytes and len(self._sizes) > 1:
            oldest = min(self._sizes)
            self.n_dropped += self._n_lines[oldest]
            self._forget(oldest)
            self._path(oldest).unlink(missing_ok=True)

    def take(self) -> str | None:
        """Take the first line out; None when there is none. It stays on disk until `settle` or `push_front`."""
        while self._sizes:
            number = min(self._sizes)
            if self._head is None:
                self._head = deque(self._read(number))
            if self._head:
                self._n_lines[number] -= 1
                return self._head.popleft()
            self._forget(number)
            self._taken.append(number)
        return None

    def settle(self) -> None:
        """All lines taken so far were delivered: free the disk of the segments that held nothing else."""
        if self._sizes and self._head is not None and not self._head:
            number = min(self._sizes)
            self._forget(number)
            self._taken.append(number)
        for number in self._taken:
            self._path(number).unlink(missing_ok=True)
        self._taken.clear()

    def push_front(self, lines: Iterable[str]) -> None:
        """Put lines back before all others, in their order. OSError when the disk refuses."""
        lines = list(lines)
        first = min([*self._sizes, *self._taken], default=self._newest + 1)
        # A segment that was taken in part is replaced by its rest, or the taken lines would come again.
        split = min(self._sizes) if self._sizes and self._head is not None else None
        lines += self._head or ()
        if lines:
            self._write(first - 1, "".join(f"{line}\n" for line in lines).encode())
            self._n_lines[first - 1] = len(lines)
        if split is not None:
            self._forget(split)
            self._taken.append(split)
        self._head = None
        self.settle()

    def _forget(self, number: int) -> None:
        if number == min(self._sizes):
            self._head = None
        del self._sizes[number], self._n_lines[number]

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}{_SUFFIX}"

    def _read(self, number: int) -> list[str]:
        # What follows the last line end is a line that was being written when the power went.
        return self._path(number).read_bytes().decode(errors="replace").split("\n")[:-1]

    def _write(self, number: int, data: bytes) -> None:
        """Add to the end of a segment, or nothing at all."""
        size = self._sizes.get(number, 0)
        handle = os.open(self._path(number), os.O_WRONLY | os.O_CREAT | (0 if size else os.O_TRUNC), 0o640)
        try:
            append_whole(handle, data, size=size)
        finally:
            os.close(handle)
        self._sizes[number] = size + len(data)


def append_whole(handle: int, data: bytes, *, size: int) -> None:
    """Write `data` at the end of an open file of `size` bytes, or, when the disk refuses, leave it as it was.

    Unlike a Python file object this leaves nothing behind in a buffer, so the next attempt starts clean.
    """
    at = size
    try:
        while data:
            n_written = os.pwrite(handle, data, at)
            data, at = data[n_written:], at + n_written
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(handle, size)
        raise
