"""How a run tells what it is doing: a bar with the time left on a terminal, a line per epoch in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class Reporter(Protocol):
    """What training calls; all do nothing in `Silent`."""

    def begin(self, n_windows: int) -> None:
        """Training starts; so many windows are still to be trained on, over all members and epochs."""

    def advance(self, n_windows: int) -> None:
        """So many more are done."""

    def skip(self, n_windows: int) -> None:
        """So many turn out to be done already, by an earlier process."""

    def epoch(self, text: str) -> None:
        """One line about a finished epoch."""

    def say(self, text: str) -> None:
        """One line that must be seen."""


class Silent:
    """Says nothing."""

    def begin(self, n_windows: int) -> None:
        """Nothing."""

    def advance(self, n_windows: int) -> None:
        """Nothing."""

    def skip(self, n_windows: int) -> None:
        """Nothing."""

    def epoch(self, text: str) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""


class Lines:
    """For a log file: each epoch as a line with the time left."""

    def __init__(self) -> None:
        self._total = self._done = 0
        self._start_s = time.monotonic()

    def begin(self, n_windows: int) -> None:
        """Starts the clock."""
        self._total, self._done, self._start_s = n_windows, 0, time.monotonic()

    def advance(self, n_windows: int) -> None:
        """Counts."""
        self._done += n_windows

    def skip(self, n_windows: int) -> None:
        """Less is left."""
        self._total -= n_windows

    def epoch(self, text: str) -> None:
        """The line, with the time left at the mean pace so far."""
        elapsed_s = time.monotonic() - self._start_s
        left_s = elapsed_s / max(self._done, 1) * (self._total - self._done)
        self.say(f"{text}  {100 * self._done / max(self._total, 1):3.0f} %, about {_clock(left_s)} left")

    def say(self, text: str) -> None:
        """To stderr."""
        print(text, file=sys.stderr, flush=True)


class Bar:
    """For a terminal: one bar over the whole run, the latest epoch beside it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._total = 0

    def begin(self, n_windows: int) -> None:
        """Shows the bar."""
        self._total = n_windows
        self._task = self._progress.add_task("training", total=n_windows, latest="")

    def advance(self, n_windows: int) -> None:
        """Moves the bar."""
        if self._task is not None:
            self._progress.advance(self._task, n_windows)

    def skip(self, n_windows: int) -> None:
        """Shortens the bar."""
        if self._task is not None:
            self._total -= n_windows
            self._progress.update(self._task, total=self._total)

    def epoch(self, text: str) -> None:
        """Replaces the text beside the bar."""
        if self._task is not None:
            self._progress.update(self._task, latest=text)

    def say(self, text: str) -> None:
        """Above the bar."""
        self._progress.console.print(text, markup=False, highlight=False)


@contextmanager
def reporter() -> Iterator[Reporter]:
    """A `Bar` where stderr is a terminal, else `Lines`."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines()
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("windows"), TimeRemainingColumn(),
               TextColumn("{task.fields[latest]}", markup=False))
    with Progress(*columns, console=console, speed_estimate_period=120) as progress:
        yield Bar(progress)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
