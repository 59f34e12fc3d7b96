"""What a sweep shows of itself: a live table on a terminal, a line per finished task in a log, or nothing.

How far a task is, is read from the history that it writes after every epoch, so it does not matter where it runs or
who started it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from edge_asc.lab.tasks import Outcome, Task

_SHOWN = 16


class Board:
    """Which tasks run and how many are done; this one is silent."""

    def __init__(self, n_tasks: int, n_known: int) -> None:
        self.n_tasks, self.n_known, self.n_done, self.n_failed = n_tasks, n_known, 0, 0
        self.running: dict[str, tuple[Task, Path, float]] = {}
        """By key: the task, its folder and when it was started."""
        self._start_s = time.monotonic()

    def start(self, task: Task, folder: Path) -> None:
        """A task begins."""
        self.running[task.key] = task, folder, time.monotonic()

    def finish(self, task: Task, outcome: Outcome) -> None:
        """A task has a result."""
        del self.running[task.key]
        self.n_done += 1
        last = outcome.result["figures"]["last"]["validation"]
        self.say(f"{self.summary()}: {task}: macro accuracy {last['macro_accuracy']:.3f}, "
                 f"log-loss {last['log_loss']:.3f}")

    def fail(self, task: Task, why: str) -> None:
        """A task ended without a result."""
        del self.running[task.key]
        self.n_failed += 1
        self.say(f"{task}: {why}")

    def say(self, text: str) -> None:
        """One line that must be seen."""

    def summary(self) -> str:
        """How many are done, and the time left at the mean pace so far."""
        n_left = self.n_tasks - self.n_known - self.n_done
        left_s = (time.monotonic() - self._start_s) / max(self.n_done, 1) * n_left
        left = f", about {left_s / 60:.0f} min left" if self.n_done and n_left else ""
        return f"{self.n_known + self.n_done} of {self.n_tasks} tasks done{left}"


class _Lines(Board):
    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class LiveTable(Board):
    """Redrawn in place."""

    def __init__(self, n_tasks: int, n_known: int, console: Console) -> None:
        super().__init__(n_tasks, n_known)
        self._console = console

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def __rich__(self) -> Table:
        """Called by rich several times a second, from a thread of its own."""
        table = Table(box=None, title=self.summary(), title_justify="left", pad_edge=False)
        for column in ("running", "epoch", "", "minutes"):
            table.add_column(column)
        for task, folder, start_s in list(self.running.values())[:_SHOWN]:
            n_epochs = task.recipe.training.epochs
            n_done = epochs_done(folder)
            table.add_row(str(task), f"{n_done}/{n_epochs}", ProgressBar(n_epochs, n_done, width=20),
                          f"{(time.monotonic() - start_s) / 60:.1f}")
        return table


def epochs_done(folder: Path) -> int:
    """Epochs that a task has finished, as its folder tells; 0 while it cannot be read, as happens over a network."""
    try:
        return max(0, len((folder / "history.csv").read_text(encoding="utf-8").splitlines()) - 1)
    except OSError:
        return 0


@contextmanager
def board(*, n_tasks: int, n_known: int, shown: bool) -> Iterator[Board]:
    """The board that fits stderr."""
    console = Console(stderr=True)
    if not shown:
        yield Board(n_tasks, n_known)
    elif not console.is_terminal:
        yield _Lines(n_tasks, n_known)
    else:
        table = LiveTable(n_tasks, n_known, console)
        with Live(table, console=console, refresh_per_second=2):
            yield table
