"""A sound card without one: a private PulseAudio daemon whose null sink is both loudspeaker and microphone."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from tests.broker import wait_until
from tests.conftest import require_program


class Pulse:
    """A daemon on a socket of its own, with one null sink, `street`; its monitor is the default source.

    Args:
        folder: For its socket and state.
        rate_hz: Of the sink.
        n_channels: Of the sink.
    """

    def __init__(self, folder: Path, *, rate_hz: int = 48_000, n_channels: int = 1) -> None:
        self._program, self._player = require_program("pulseaudio"), require_program("paplay")
        self._control = require_program("pactl")
        self._socket = folder / "pulse.socket"
        self._log = folder / "pulse.log"
        self._modules = (f"module-native-protocol-unix socket={self._socket} auth-anonymous=1",
                         f"module-null-sink sink_name=street rate={rate_hz} channels={n_channels} format=s16le")
        self.environment = {"PULSE_SERVER": f"unix:{self._socket}", "PULSE_RUNTIME_PATH": str(folder),
                            "PULSE_STATE_PATH": str(folder), "HOME": str(folder)}
        self._daemon: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        modules = [part for module in self._modules for part in ("-L", module)]
        with self._log.open("ab") as log:
            self._daemon = subprocess.Popen(
                [self._program, "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm=yes", "--use-pid-file=no",
                 *modules], env={**os.environ, **self.environment}, stdout=log, stderr=log)
        wait_until(lambda: subprocess.run([self._control, "info"], env={**os.environ, **self.environment},
                                          capture_output=True, check=False).returncode == 0)

    def play(self, path: Path) -> subprocess.Popen[bytes]:
        """Start playing a sound file."""
        return subprocess.Popen([self._player, "--device=street", str(path)], env={**os.environ, **self.environment})

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self._daemon:
            self._daemon.send_signal(number)
            self._daemon.wait()
            self._daemon = None
            self._socket.unlink(missing_ok=True)
            time.sleep(0)
