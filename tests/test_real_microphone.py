"""The real program at a real PortAudio microphone: a PulseAudio null sink that a sound file is played into."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from edge_asc.audio import to_mono
from tests.broker import wait_until
from tests.program import BUNDLE, ROOT, assert_one_error, edge_asc, environment
from tests.pulse import Pulse
from tests.sounds import sound

pytestmark = [pytest.mark.tool, pytest.mark.xdist_group("pulse")]
LABELS = ("indoor", "outdoor", "transportation")
HOP_S = 0.25


class Listener:
    """`edge-asc listen --mic` as a subprocess."""

    def __init__(self, folder: Path, pulse: Pulse, **env: str) -> None:
        self.tap, self.out, self.err = (folder / name for name in ("heard.npz", "events.jsonl", "err.txt"))
        self._folder = folder
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "tests" / "tapped_listen.py"), str(self.tap), "listen", "--device", "pulse",
                 "--json", "--hop", str(HOP_S), "--bundle", str(BUNDLE)], stdout=out, stderr=err,
                env=environment(**pulse.environment, **env))

    def said(self, text: str, n: int = 1) -> bool:
        return self.err.read_text().count(text) >= n

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    def stop(self) -> tuple[list[dict[str, Any]], Any]:
        """The events and the tap."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0, self.err.read_text()
        return self.events(), np.load(self.tap)

    def events_of_a_file_with(self, samples: np.ndarray) -> list[dict[str, Any]]:
        """What `--wav` says to the same samples."""
        path = self._folder / "heard.wav"
        soundfile.write(path, samples, 48_000, subtype="FLOAT")
        done = edge_asc("listen", "--wav", path, "--json", "--hop", HOP_S, "--bundle", BUNDLE)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def listening(folder: Path, *, rate_hz: int = 48_000, n_channels: int = 1,
              **env: str) -> Iterator[tuple[Pulse, Listener]]:
    pulse = Pulse(folder, rate_hz=rate_hz, n_channels=n_channels)
    listener = Listener(folder, pulse, **env)
    try:
        # A whole window of silence has come through: it listens.
        wait_until(lambda: listener.said("digital silence"), timeout_s=30)
        yield pulse, listener
    finally:
        listener.process.kill()
        listener.process.wait()
        pulse.kill()


def street(rate_hz: int, n_channels: int) -> np.ndarray:
    """Three labels, 1.5 s each, [n, n_channels], within half a second of silence: a null sink may cut that."""
    mono = np.concatenate([sound(label, 1.5 * rate_hz / 48_000, seed=3 + i) for i, label in enumerate(LABELS)])
    mono[[0, -1]] = 0.25
    mono = np.pad(mono, rate_hz // 2)
    return np.stack([mono * (1 - 0.5 * i) for i in range(n_channels)], axis=1)


def without(events: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in event.items() if name not in names} for event in events]


def confident_labels(events: list[dict[str, Any]]) -> list[str]:
    """Each label once, in the order in which they came."""
    return list(dict.fromkeys(event["label"] for event in events if event["confidence"] > 0.75))


@pytest.mark.parametrize(("rate_hz", "n_channels"), [(48_000, 1), (48_000, 2), (44_100, 1), (16_000, 1)])
def test_a_microphone_says_what_a_file_says(tmp_path: Path, rate_hz: int, n_channels: int) -> None:
    played = street(rate_hz, n_channels)
    wav = tmp_path / "street.wav"
    soundfile.write(wav, played, rate_hz, subtype="PCM_16")
    with listening(tmp_path, rate_hz=rate_hz, n_channels=n_channels,
                   EDGE_ASC_TEST_RATE=str(rate_hz)) as (pulse, listener):
        assert pulse.play(wav).wait() == 0
        time.sleep(1.5)
        events, tap = listener.stop()
        heard = tap["samples"]
        assert tap["n_lost"].sum() == 0
        if rate_hz == 48_000:
            first, last = np.flatnonzero(heard)[[0, -1]]
            expected = to_mono(soundfile.read(wav, dtype="float32", always_2d=True)[0])
            np.testing.assert_array_equal(heard[first : last + 1], np.trim_zeros(expected))
        else:
            assert listener.said(f"{rate_hz} Hz")
        # Float samples pass through a WAV file unchanged, so that nothing but time of arrival may differ.
        from_file = listener.events_of_a_file_with(heard)
        assert without(events, "latency_ms") == without(from_file, "latency_ms")[: len(events)]
        assert len(from_file) - len(events) <= 1, "only the last block may have been under way"
        if rate_hz > 16_000:  # without its upper bands a hum is no hum to these members
            assert confident_labels(events) == list(LABELS)


def test_it_comes_back_after_the_sound_server_was_killed(tmp_path: Path) -> None:
    wav = tmp_path / "street.wav"
    soundfile.write(wav, street(48_000, 1), 48_000, subtype="PCM_16")
    with listening(tmp_path) as (pulse, listener):
        player = pulse.play(wav)
        wait_until(lambda: len(listener.events()) >= 3)
        killed_s = time.monotonic()
        pulse.kill()
        wait_until(lambda: listener.said("trying again"), timeout_s=10)
        assert time.monotonic() - killed_s <= 3.5, "noticed within 3 s, and half a second to say so"
        player.wait()
        time.sleep(1)
        pulse.start()
        wait_until(lambda: listener.said("the sound is back"), timeout_s=15)
        away_s = time.monotonic() - killed_s
        wait_until(lambda: listener.said("digital silence", 2), timeout_s=15)
        n_before = len(listener.events())
        assert pulse.play(wav).wait() == 0
        time.sleep(1.5)
        events, tap = listener.stop()
    # The clock went on: what was played after the break lies that much later.
    last_before, first_after = events[n_before - 1]["time_s"], events[n_before]["time_s"]
    assert first_after - last_before >= away_s - 1.5
    assert len(np.flatnonzero(tap["n_lost"])) == 0, "the tap sees what the microphone gave, not the break"
    assert not any(event["has_gap"] for event in events[n_before:])
    assert confident_labels(events[n_before:]) == list(LABELS)
    assert listener.said("1 restarts")


@pytest.mark.slow
def test_it_survives_being_stopped_for_ten_seconds(tmp_path: Path) -> None:
    wav = tmp_path / "street.wav"
    soundfile.write(wav, street(48_000, 1), 48_000, subtype="PCM_16")
    with listening(tmp_path) as (pulse, listener):
        listener.process.send_signal(signal.SIGSTOP)
        time.sleep(10)
        listener.process.send_signal(signal.SIGCONT)
        time.sleep(4)
        assert pulse.play(wav).wait() == 0
        time.sleep(1.5)
        events, _ = listener.stop()
    assert confident_labels(events) == list(LABELS)
    assert events[-1]["time_s"] > 18, "the clock went on over the break"


def test_no_microphone_is_one_error(tmp_path: Path) -> None:
    done = edge_asc("listen", "--device", "no such", "--bundle", BUNDLE, env=environment(HOME=str(tmp_path)))
    assert_one_error(done, "no microphone 'no such'")
