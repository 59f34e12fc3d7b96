"""One progress bar, on stderr, so that stdout stays clean for results; on no terminal it prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def progress_bar(description: str, *, total: float, done: float = 0, shown: bool = True
                 ) -> Iterator[Callable[[float], None]]:
    """A bar with time left, advanced by calling what it yields with the amount of new work done."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as progress:
        task = progress.add_task(description, total=total, completed=int(done))
        yield lambda amount: progress.advance(task, amount)
