"""From blocks of samples to scene events: each mel frame is computed once, each hop one window is classified.

Everything here runs on the count of samples, so it gives the same events however the sound is cut into blocks and
however fast it comes.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_asc.errors import AudioError, InputError
from edge_asc.features import MelStream, clamp
from edge_asc.listen.events import Block, SceneEvent
from edge_asc.runtime import Ensemble
from edge_asc.spec import FeatureSpec

MIN_HOP_S, MAX_HOP_S = 0.1, 60.0
_BATCH_FRAMES = 8


class FrameRing:
    """The last `n_frames` frames, always as one contiguous-in-time view, in constant memory."""

    def __init__(self, *, n_mels: int, n_frames: int) -> None:
        self._frames = np.zeros((n_mels, 2 * n_frames), np.float32)
        self._n_frames = n_frames
        self._end = 0

    def push(self, frames: NDArray[np.float32]) -> None:
        """Append frames [n_mels, k], any k."""
        frames = frames[:, -self._n_frames:]
        n_new = frames.shape[1]
        if self._end + n_new > self._frames.shape[1]:
            n_kept = self._n_frames - n_new
            self._frames[:, :n_kept] = self._frames[:, self._end - n_kept : self._end].copy()
            self._end = n_kept
        self._frames[:, self._end : self._end + n_new] = frames
        self._end += n_new

    def window(self) -> NDArray[np.float32]:
        """The newest frames [n_mels, n_frames], oldest first: a view, good until the next push."""
        return self._frames[:, max(0, self._end - self._n_frames) : self._end]


@dataclass(frozen=True, kw_only=True)
class Window:
    """One window that is due."""

    end_sample: int
    db: NDArray[np.float32]
    """float32 [n_mels, n_frames], not clamped: a view, good until the next window."""
    has_gap: bool
    is_silent: bool
    """Digital silence throughout: there is nothing to classify."""


class WindowStream:
    """Cuts a stream into windows: the first when n_frames frames are complete, then one each hop.

    Args:
        spec: The front end.
        hop_s: Seconds between windows, rounded to whole samples.
    """

    def __init__(self, spec: FeatureSpec, *, hop_s: float) -> None:
        if not MIN_HOP_S <= hop_s <= MAX_HOP_S:
            raise InputError("impossible hop", found=f"{hop_s} s", wanted=f"{MIN_HOP_S} to {MAX_HOP_S} s")
        self.spec = spec
        self.hop_samples = round(hop_s * spec.sample_rate_hz)
        self._floor_db = 10 * np.log10(spec.amin) + 1e-3
        self._mel = MelStream(spec)
        self._ring = FrameRing(n_mels=spec.n_mels, n_frames=spec.n_frames)
        self.n_samples = 0
        """Samples since the start, lost ones included."""
        self._due = spec.window_samples
        self._gap_end = -1
        self._first_frame = 0
        self._waiting: list[NDArray[np.float32]] = []
        self._n_waiting = 0

    def push(self, block: Block) -> Iterator[Window]:
        """Take in a block and yield the windows that it completes."""
        if block.is_restart:
            self._start_afresh(block.n_lost)
        elif block.n_lost:
            # Silence in place of what was lost keeps frames and clock where they were; a second at a time, for a
            # process that was stopped for hours.
            second = np.zeros(self.spec.sample_rate_hz, np.float32)
            for start in range(0, block.n_lost, second.size):
                yield from self._advance(second[: block.n_lost - start], is_gap=True)
        yield from self._advance(block.samples, is_gap=False)

    def n_due(self, n_samples: int) -> int:
        """How many windows the next `n_samples` samples complete."""
        return max(0, (self.n_samples + n_samples - self._due) // self.hop_samples + 1)

    def _start_afresh(self, n_lost: int) -> None:
        # Time goes on; the next window is the first on the old grid that holds nothing from before.
        self.n_samples += n_lost
        self._mel.reset()
        self._waiting, self._n_waiting = [], 0
        self._first_frame, self._gap_end = self.n_samples, -1
        self._due = self.spec.window_samples + -(-self.n_samples // self.hop_samples) * self.hop_samples

    def _advance(self, samples: NDArray[np.float32], *, is_gap: bool) -> Iterator[Window]:
        while samples.size:
            n_missing = self._due - self.n_samples
            part, samples = samples[:n_missing], samples[n_missing:]
            self._waiting.append(part)
            self._n_waiting += part.size
            self.n_samples += part.size
            if is_gap:
                self._gap_end = self.n_samples
            # Frames in batches: with cold caches, as between two blocks of a microphone, one costs as much as five.
            if self.n_samples == self._due or self._n_waiting >= _BATCH_FRAMES * self.spec.hop_length:
                self._ring.push(self._mel.push(np.concatenate(self._waiting)))
                self._waiting, self._n_waiting = [], 0
            if self.n_samples == self._due:
                db = self._ring.window()
                # Frames lie on the grid of the whole stream: the oldest may begin a little before one window ago.
                begin = self._due - self.spec.window_samples
                begin -= (begin - self._first_frame) % self.spec.hop_length
                yield Window(end_sample=self._due, db=db, is_silent=bool(db.max() <= self._floor_db),
                             has_gap=self._gap_end > begin)
                self._due += self.hop_samples


def listen(source: Iterable[Block], ensemble: Ensemble, *, hop_s: float = 1.0,
           notify: Callable[[str], None] | None = None,
           on_skip: Callable[[int], None] | None = None) -> Iterator[SceneEvent]:
    """Name the scene of the last window, each hop.

    When a live source has got ahead by two hops or more, the machine cannot keep up: then only the newest window is
    classified.

    Args:
        source: Blocks at the ensemble's sample rate; see `edge_asc.listen.sources`.
        ensemble: From `edge_asc.runtime.load_ensemble`.
        hop_s: Seconds between events, 0.1 to 60. Event k is at window_s + k * hop_s on the audio's clock.
        notify: Called with a sentence about what a listener should know (silence, lost samples).
        on_skip: Called with the number of windows that were left out because the machine is too slow.

    Raises:
        AudioError: The source ended before the first event, or never held anything but digital silence.
        InputError: The hop is out of range.
    """
    spec = ensemble.features
    windows = WindowStream(spec, hop_s=hop_s)
    notify = notify or (lambda message: None)
    n_events, was_silent = 0, False
    for block in source:
        # A file's block could have come any time: its windows are timed from when they are asked for.
        asked_s = time.monotonic()
        block_end = windows.n_samples + block.n_lost + block.samples.size
        if block.n_lost:
            notify(f"{windows.n_samples / spec.sample_rate_hz:.3f} s: {block.n_lost} samples were lost")
        n_skipped = _n_behind(block, windows)
        if n_skipped and on_skip:
            on_skip(n_skipped)
        for window in itertools.islice(windows.push(block), n_skipped, None):
            if window.is_silent:
                if not was_silent:
                    notify(f"{window.end_sample / spec.sample_rate_hz:.3f} s: digital silence, nothing to classify")
                was_silent = True
                continue
            was_silent = False
            n_events += 1
            probabilities = ensemble.probabilities(clamp(window.db, spec))
            started_s = (asked_s if block.arrived_s is None
                         else block.arrived_s - (block_end - window.end_sample) / spec.sample_rate_hz)
            yield _event(window, probabilities, ensemble, started_s)
            asked_s = time.monotonic()
    if not n_events:
        raise _nothing_heard(windows)


def _n_behind(block: Block, windows: WindowStream) -> int:
    """How many of the windows that a block completes are not worth a look any more."""
    is_behind = block.arrived_s is not None and block.samples.size >= 2 * windows.hop_samples
    if not is_behind or block.is_restart:
        return 0
    return max(0, windows.n_due(block.n_lost + block.samples.size) - 1)


def _event(window: Window, probabilities: NDArray[np.float32], ensemble: Ensemble, started_s: float) -> SceneEvent:
    best = int(probabilities.argmax())
    return SceneEvent(time_s=window.end_sample / ensemble.features.sample_rate_hz, label=ensemble.labels[best],
                      confidence=float(probabilities[best]), has_gap=window.has_gap,
                      probabilities=dict(zip(ensemble.labels, map(float, probabilities), strict=True)),
                      latency_ms=(time.monotonic() - started_s) * 1000)


def _nothing_heard(windows: WindowStream) -> AudioError:
    spec = windows.spec
    if windows.n_samples < spec.window_samples:
        return AudioError("the sound ended before the first window was full",
                          found=f"{windows.n_samples / spec.sample_rate_hz:.3f} s",
                          wanted=f"{spec.window_s:.3f} s or more", fix="Give a longer recording.")
    return AudioError("the sound is digital silence throughout", wanted="at least one sample that is not zero",
                      fix="Check the cable, the mute switch and the recording level.")
