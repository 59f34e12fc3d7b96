"""What asc.h promises, said again in Python: the order of events around the networks, with the stand-in networks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.firmware.native import Frontend

DONE, MORE, NOT_READY, DROPPED = 0, 1, 2, 3
N_MEMBERS, N_LABELS = 2, 3


def noise(n: int) -> NDArray[np.int16]:
    """The samples of api_driver.c."""
    values, state = np.empty(n, np.int16), 1
    for i in range(n):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        values[i] = (state >> 16) - 32768
    return values


class Reference:
    """One AscState. `frames` are all frames of the samples in order, quantised, with their floors."""

    def __init__(self, frontend: Frontend, samples: NDArray[np.int16], *, n_spare: int) -> None:
        self.frontend, self.samples, self.n_spare, self.n_pushed = frontend, samples, n_spare, 0
        self.spec = frontend.spec
        self.init()

    def init(self) -> int:
        self.start, self.n_kept, self.n_new, self.n_dropped = self.n_pushed, 0, 0, 0
        self.held: list[NDArray[np.float32]] = []
        self.window: list[NDArray[np.float32]] | None = None
        self.lost, self.n_since, self.result = False, 0, None
        self.member, self.n_done = -1, 0
        return DONE

    def push(self, n: int) -> int:
        end, self.n_pushed = self.n_pushed + n, self.n_pushed + n
        if self.lost and self.window is not None:
            self.n_dropped += n
            return DROPPED
        while (frame_end := self.start + self.n_kept * self.spec.hop_length + self.spec.n_fft) <= end:
            self.n_kept += 1
            if self.window is not None:
                room = self.n_spare + (self.n_done if self.member == N_MEMBERS - 1 else 0)
                if self.n_since >= room:
                    self.lost = True
                    self.n_dropped += end - frame_end + self.spec.hop_length
                    return DROPPED
            frame = self.frontend.frames(self.samples[frame_end - self.spec.n_fft : frame_end])
            self.held.append(frame[:, 0])
            self.n_since += 1
            self.n_new += 1
        return DONE

    @property
    def ready(self) -> int:
        return self.n_new if len(self.held) >= self.spec.n_frames else 0

    def step(self, budget: int) -> int:
        if self.window is None:
            if not self.ready:
                return NOT_READY
            self.window = self.held[-self.spec.n_frames :]
            self.n_new = self.n_since = self.member = self.n_done = 0
        n_frames = max(1, -(-budget // self.spec.n_mels))
        self.n_done = min(self.n_done + n_frames, self.spec.n_frames)
        if self.n_done < self.spec.n_frames:
            return MORE
        self.member += 1
        if self.member < N_MEMBERS:
            self.n_done = 0
            return MORE
        self.finish()
        return DONE

    def classify(self) -> int:
        while (status := self.step(1 << 31)) == MORE:
            pass
        return status

    def finish(self) -> None:
        assert self.window is not None
        library = self.frontend.library
        floor = max(library.asc_frontend_floor(float(frame.max())) for frame in self.window)
        digest = 0
        for frame in self.window:
            for level in frame:
                digest = (31 * digest + (max(library.asc_frontend_quantise(float(level)), floor) & 255)) & 0xFFFFFFFF
        outputs = np.array([[((digest * (member + 1)) & 0xFFFFFFFF) >> (8 * label) & 255 for label in range(N_LABELS)]
                            for member in range(N_MEMBERS)], np.uint8).view(np.int8)
        real = (outputs.astype(np.float32) + 128) / 256
        self.result = real.sum(axis=0) / np.float32(N_MEMBERS)
        self.window, self.member = None, -1
        if self.lost:
            self.lost, self.held, self.n_new, self.n_since = False, [], 0, 0
            self.start, self.n_kept = self.n_pushed, 0

    def show(self) -> str:
        busy = int(self.window is not None)
        if self.result is None:
            return f"{self.ready} {busy} -1 none {self.n_dropped}"
        best = int(self.result.argmax())
        label = ("first", "second", "third")[best]
        values = " ".join(f"{float(value):.9g}" for value in self.result)
        return f"{self.ready} {busy} {best} {label} {values} {self.n_dropped}"
