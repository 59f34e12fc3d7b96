"""A record server on loopback that can do all that goes wrong with real ones."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RECORD = 3670185


class FlakyServer:
    """Serves `files` (name -> bytes) as one record. Faults are set by file name, or for `record`."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.ignores_ranges = False
        self.n_drops: Counter[str] = Counter()
        """Answers still to be cut off after half of their bytes."""
        self.n_damaged: Counter[str] = Counter()
        """Answers still to have one byte changed."""
        self.refusals: dict[str, list[tuple[int, dict[str, str]]]] = {}
        """Status and headers of the next answers."""
        self.pause_s = 0.0
        """Between blocks of 16 KB."""
        self.asked: list[tuple[str, str]] = []
        """File and Range header of every request."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server._answer(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.api = f"http://127.0.0.1:{self._http.server_port}/api"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def record(self) -> dict[str, Any]:
        return {"files": [{"key": name, "size": len(data), "checksum": f"md5:{hashlib.md5(data).hexdigest()}",
                           "links": {"self": f"{self.api}/records/{RECORD}/files/{name}/content"}}
                          for name, data in self.files.items()]}

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        name = request.path.split("/")[-2] if request.path.endswith("/content") else "record"
        self.asked.append((name, request.headers.get("Range", "")))
        if self.refusals.get(name):
            status, headers = self.refusals[name].pop(0)
            _send(request, status, headers, b"")
            return
        if name == "record":
            _send(request, 200, {}, json.dumps(self.record()).encode())
            return
        data, status, headers = self.files[name], 200, {}
        begin = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if begin and not self.ignores_ranges:
            status, headers = 206, {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"}
            data = data[begin:]
        if self.n_damaged[name] > 0:
            self.n_damaged[name] -= 1
            data = data[:-1] + bytes([data[-1] ^ 1])
        n_sent = len(data)
        if self.n_drops[name] > 0:
            self.n_drops[name] -= 1
            n_sent = len(data) // 2
        _send(request, status, headers, data, n_sent=n_sent, pause_s=self.pause_s)


def _send(request: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str], data: bytes, *,
          n_sent: int | None = None, pause_s: float = 0.0) -> None:
    request.send_response(status)
    for key, value in {**headers, "Content-Length": str(len(data))}.items():
        request.send_header(key, value)
    request.end_headers()
    try:
        for start in range(0, len(data) if n_sent is None else n_sent, 1 << 14):
            request.wfile.write(data[start:min(start + (1 << 14), len(data) if n_sent is None else n_sent)])
            time.sleep(pause_s)
    except OSError:
        pass  # the other side was killed
    if n_sent is not None and n_sent < len(data):
        request.close_connection = True
