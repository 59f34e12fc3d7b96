"""The live picture in a terminal: probabilities as bars, level, health, and the last window as a small spectrogram."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.style import Style
from rich.table import Table
from rich.text import Text

from edge_asc.errors import InputError
from edge_asc.listen.health import Level
from edge_asc.listen.sinks.base import Announcement, Health, Sink, SinkState

_ROWS, _COLUMNS = 12, 72
_QUIETEST_DBFS = -80.0
# From silence to loud: dark blue, violet, red, orange, pale yellow.
_RAMP = np.array([(8, 8, 32), (60, 20, 110), (170, 40, 90), (240, 130, 30), (255, 245, 170)], float)
_N_SHADES = 24


class ViewSink(Sink):
    """Draws until it is closed. `emit` only notes what to draw.

    Args:
        labels: In the order of their bars.
        title: One line at the top: what listens.
        level: Called at each drawing; None before the first sound.
        console: Standard output when None.

    Raises:
        InputError: The terminal's encoding lacks the characters that bars and spectrogram are made of.
    """

    name = "view"

    def __init__(self, *, labels: Sequence[str], title: str, level: Callable[[], Level | None],
                 console: Console | None = None) -> None:
        self._labels, self._title, self._level = labels, title, level
        self._newest: Announcement | None = None
        self._since: Announcement | None = None
        self._health: Health | None = None
        self._picture: Text | None = None
        self._n_drawn = 0
        console = console or Console()
        try:
            "▀━─│╭".encode(console.encoding)
        except UnicodeEncodeError as error:
            raise InputError("the live view cannot be drawn on this terminal", found=f"the encoding {console.encoding}",
                             wanted="UTF-8", fix="Set LANG=C.UTF-8, or leave out --view.") from error
        self._live = Live(get_renderable=self.render, console=console, refresh_per_second=5,
                          redirect_stdout=False)
        self._live.start()

    def emit(self, announcement: Announcement) -> None:
        if self._since is None or announcement.event.label != self._since.event.label:
            self._since = announcement
        self._newest = announcement
        self._n_drawn += 1

    def window(self, db: NDArray[np.float32]) -> None:
        """Take the window that was classified last, float32 [n_mels, n_frames], clamped."""
        self._picture = spectrogram(db)

    def health(self, health: Health) -> None:
        self._health = health

    def state(self) -> SinkState:
        return SinkState(n_delivered=self._n_drawn)

    def close(self) -> None:
        self._live.stop()

    def render(self) -> RenderableType:
        """The whole picture as it is now."""
        parts: list[RenderableType] = [self._headline(), self._bars(), self._footer()]
        if self._picture:
            parts.append(self._picture)
        return Panel(Group(*parts), title=self._title, title_align="left", width=_COLUMNS + 6)

    def _headline(self) -> Text:
        if self._newest is None or self._since is None:
            return Text("listening; the first answer comes when the window is full\n", style="dim")
        event = self._newest.event
        text = Text(f"{event.label} ", style="bold")
        text.append(f" {event.confidence:.0%}, for {event.time_s - self._since.event.time_s:.0f} s")
        if event.has_gap:
            text.append("  samples were lost in this window", style="yellow")
        return text.append("\n")

    def _bars(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for label in self._labels:
            value = self._newest.event.probabilities[label] if self._newest else 0.0
            table.add_row(label, ProgressBar(total=1.0, completed=value, width=40), f"{value:6.1%}")
        level = self._level()
        rms_dbfs = level.rms_dbfs if level else _QUIETEST_DBFS
        style = "red" if level and level.peak_dbfs > -0.1 else "green"
        bar = ProgressBar(total=-_QUIETEST_DBFS, completed=max(0.0, rms_dbfs - _QUIETEST_DBFS), width=40,
                          complete_style=style, finished_style=style)
        table.add_row("level", bar, f"{rms_dbfs:5.1f} dBFS" if level else "")
        return table

    def _footer(self) -> Text:
        health, parts = self._health, []
        if self._newest:
            parts.append(f"latency {self._newest.event.latency_ms:.0f} ms")
        if health:
            parts += [f"{name.replace('_', ' ')} {count}" for name, count in health.counts.items() if count]
            parts += [f"{name}: {state.problem or f'{state.n_waiting} waiting'}"
                      for name, state in health.sinks.items() if state.problem or state.n_waiting]
        troubled = health is not None and (health.state == "no audio" or any(health.counts.values()))
        if health and health.state != "listening":
            parts.insert(0, health.state)
        return Text("\n" + ", ".join(parts) + "\n", style="yellow" if troubled else "dim", overflow="fold")


def spectrogram(db: NDArray[np.float32]) -> Text:
    """A window [n_mels, n_frames] as coloured half blocks: low bands at the bottom, now at the right."""
    n_mels, n_frames = db.shape
    bands = np.array_split(np.arange(n_mels), min(2 * _ROWS, n_mels // 2 * 2 or 2))
    times = np.array_split(np.arange(n_frames), min(_COLUMNS, n_frames))
    cells = np.array([[db[np.ix_(band, time)].mean() for time in times] for band in bands if band.size])
    span = float(cells.max() - cells.min()) or 1.0
    shades = np.minimum((cells - cells.min()) / span * _N_SHADES, _N_SHADES - 1).astype(int)[::-1]
    text = Text()
    for upper, lower in zip(shades[::2], shades[1::2], strict=False):
        for top, bottom in zip(upper, lower, strict=True):
            text.append("▀", _style(int(top), int(bottom)))
        text.append("\n")
    text.rstrip()
    return text


def _style(top: int, bottom: int) -> Style:
    return Style(color=_COLOURS[top], bgcolor=_COLOURS[bottom])


def _colours() -> list[str]:
    places = np.linspace(0, len(_RAMP) - 1, _N_SHADES)
    mixed = np.stack([np.interp(places, np.arange(len(_RAMP)), _RAMP[:, channel]) for channel in range(3)], axis=1)
    return [f"rgb({r},{g},{b})" for r, g, b in mixed.astype(int)]


_COLOURS = _colours()
