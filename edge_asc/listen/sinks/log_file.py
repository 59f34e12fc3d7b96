"""Announcements as JSON lines in a file that is rotated by size; a full disk costs lines, never half a line."""

from __future__ import annotations

import json
import os
from pathlib import Path

from edge_asc.errors import InputError
from edge_asc.listen.sinks.base import Announcement, Sink, SinkState
from edge_asc.listen.sinks.spool import append_whole


class LogFileSink(Sink):
    """Appends to `path`; at `max_bytes` the file becomes `path.1`, the one before `path.2`, and so on.

    Args:
        path: Its folder is made if it is not there.
        max_bytes: Size of one file.
        n_files: Files kept, the current one included.

    Raises:
        InputError: `path` cannot be written, or a bound is too small.
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
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            raise InputError(f"cannot write the log file {path}", found=error.strerror,
                             fix="Choose another `file.path`, or give this user the right to write there.") from error

    def emit(self, announcement: Announcement) -> None:
        assert self._handle is not None
        data = json.dumps(announcement.to_json(), separators=(",", ":")).encode() + b"\n"
        try:
            if self._size and self._size + len(data) > self._max_bytes:
                self._rotate()
            append_whole(self._handle, data, size=self._size)
        except OSError as error:
            self._n_lost += 1
            self._problem = f"{self._path}: {error.strerror}"
        else:
            self._size += len(data)
            self._n_delivered += 1
            self._problem = None

    def state(self) -> SinkState:
        return SinkState(n_delivered=self._n_delivered, n_lost=self._n_lost, problem=self._problem)

    def close(self) -> None:
        assert self._handle is not None
        os.close(self._handle)

    def _open(self) -> None:
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            # The power went in the middle of a line: what follows must not be glued to it.
            append_whole(handle, b"\n", size=size)
            size += 1
        if self._handle is not None:
            os.close(self._handle)
        self._handle, self._size = handle, size

    def _rotate(self) -> None:
        # Without the first file the last rotation failed half way, after the renaming.
        if self._path.exists():
            for number in range(self._n_files - 1, 0, -1):
                older = self._numbered(number - 1)
                if older.exists():
                    older.replace(self._numbered(number))
            if self._n_files == 1:
                self._path.unlink()
        self._open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path
