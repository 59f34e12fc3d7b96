"""Runs a program for each announcement, with the announcement as JSON on its standard input.

No shell is involved: the program and its arguments are a list. One runs at a time, and one that hangs is killed
with everything it started.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence

from edge_asc.errors import InputError
from edge_asc.listen.sinks.base import Announcement, Sink, SinkState


class CommandSink(Sink):
    """Calls `command` with EDGE_ASC_LABEL and EDGE_ASC_CONFIDENCE in its environment.

    Args:
        command: Program and arguments.
        timeout_s: A program that takes longer is killed.
        only_changes: Leave out announcements that repeat the label before.

    Raises:
        InputError: There is no such program.
    """

    name = "command"

    def __init__(self, command: Sequence[str], *, timeout_s: float = 10.0, only_changes: bool = True) -> None:
        program = shutil.which(command[0]) if command else None
        if program is None:
            raise InputError("cannot run the command for each event", found=list(command),
                             wanted="a program on the PATH or a full path, then its arguments")
        self._command = [program, *command[1:]]
        self._timeout_s, self._only_changes = timeout_s, only_changes
        self._n_delivered = self._n_lost = 0
        self._problem: str | None = None

    def emit(self, announcement: Announcement) -> None:
        event = announcement.event
        if self._only_changes and not event.changed:
            return
        self._problem = self._run(json.dumps(announcement.to_json()).encode(), environment={
            "EDGE_ASC_LABEL": event.label, "EDGE_ASC_CONFIDENCE": f"{event.confidence:.3f}"})
        if self._problem:
            self._n_lost += 1
        else:
            self._n_delivered += 1

    def state(self) -> SinkState:
        return SinkState(n_delivered=self._n_delivered, n_lost=self._n_lost, problem=self._problem)

    def _run(self, data: bytes, *, environment: dict[str, str]) -> str | None:
        """What went wrong, or None."""
        inherited = {name: value for name, value in os.environ.items() if name != "EDGE_ASC_MQTT_PASSWORD"}
        try:
            process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                       env={**inherited, **environment}, start_new_session=True)
        except OSError as error:
            return f"{self._command[0]}: {error.strerror}"
        try:
            process.communicate(data, timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            # Its children too: they may hold what it was waiting for.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"{self._command[0]} took longer than {self._timeout_s:g} s and was killed"
        finally:
            if process.stdin:
                process.stdin.close()
        return f"{self._command[0]} ended with status {process.returncode}" if process.returncode else None
