"""A TCP connection that can be made to fail: the way out works and the way back does not, or it is cut."""

from __future__ import annotations

import contextlib
import socket
import threading


class Proxy:
    """Passes what comes to `port` on to `target_port`, both on loopback."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._open: list[socket.socket] = []
        self._answers_pass = threading.Event()
        self._answers_pass.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def hold_answers(self) -> None:
        """From now on nothing comes back."""
        self._answers_pass.clear()

    def cut(self) -> None:
        """Break every connection; what was held back is gone. New ones work."""
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()
        self._answers_pass.set()

    def close(self) -> None:
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", self._target_port))
                self._open += [near, far]
                threading.Thread(target=self._copy, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._copy, args=(far, near, True), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError), source:
            while data := source.recv(4096):
                if is_answer:
                    self._answers_pass.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
