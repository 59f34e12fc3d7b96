"""Announcements as JSON lines in a file that is rotated by size; a full disk costs lines, never half a line.

Whoever else rotates, empties or deletes the file (logrotate, a person) is followed.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from edge_asc.errors import InputError
from edge_asc.listen.sinks.base import Announcement, Sink, SinkState
from edge_asc.listen.sinks.sole_user import be_sole_user
from edge_asc.listen.sinks.spool import append_whole


class LogFileSink(Sink):
    """Appends to `path`; at `max_bytes` the file becomes `path.1`, the one before `path.2`, and so on.

    Args:
        path: Its folder is made if it is not there.
        max_bytes: Size of one file.
        n_files: Files kept, the current one included.

    Raises:
        InputError: `path` cannot be written or is written by another listener, or a bound is too small.
    """

    name = "file"

    def __init__(self, path: Path, *, max_bytes: int = 10 << 20, n_files: int = 5) -> None:
        if max_bytes < 4096 or n_files < 1:
            raise InputError("the log file is too small", found=f"{n_files} files of {max_bytes} bytes",
                             wanted="at least 1 of 4096")
        self._path, self._max_bytes, self._n_files = path, max_bytes, n_files
        self._n_delivered = self._n_lost = 0
        self._problem: str | None = None
        self._handle: int | None = None
        self._size = 0
        self._identity = (0, 0)
        try:
            self._open()
        except OSError as error:
            raise InputError(f"cannot write the log file {path}", found=error.strerror,
                             fix="Choose another `file.path`, or give this user the right to write there.") from error

    def emit(self, announcement: Announcement) -> None:
        assert self._handle is not None
        data = json.dumps(announcement.to_json(), separators=(",", ":")).encode() + b"\n"
        try:
            self._follow()
            if self._size and self._size + len(data) > self._max_bytes:
                self._rotate()
            append_whole(self._handle, data, size=self._size)
        except (OSError, InputError) as error:
            self._n_lost += 1
            self._problem = f"{self._path}: {error.strerror}" if isinstance(error, OSError) else str(error)
        else:
            self._size += len(data)
            self._n_delivered += 1
            self._problem = None

    def state(self) -> SinkState:
        return SinkState(n_delivered=self._n_delivered, n_lost=self._n_lost, problem=self._problem)

    def close(self) -> None:
        assert self._handle is not None
        os.close(self._handle)

    def _follow(self) -> None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._open()
            return
        if (found.st_dev, found.st_ino) != self._identity:
            self._open()
        else:
            self._size = min(self._size, found.st_size)

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            size = self._claim(handle)
        except BaseException:
            os.close(handle)
            raise
        if self._handle is not None:
            os.close(self._handle)
        self._handle, self._size = handle, size

    def _claim(self, handle: int) -> int:
        """See that the file is one and ours alone; its size, with the last line ended."""
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{self._path} is not a file that can be rotated", wanted="the path of a file",
                             fix="Choose another `file.path`.")
        be_sole_user(handle, what=f"the log file {self._path}", setting="file.path")
        size = status.st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            # The power went in the middle of a line: what follows must not be glued to it.
            append_whole(handle, b"\n", size=size)
            size += 1
        self._identity = (status.st_dev, status.st_ino)
        return size

    def _rotate(self) -> None:
        for number in range(self._n_files - 1, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        if self._n_files == 1:
            self._path.unlink()
        self._open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path
