"""The whole listener as a subprocess: every sink at once, a clean stop, a source that comes and goes."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edge_asc import __version__
from edge_asc.errors import DeviceError
from edge_asc.features import mel_db
from edge_asc.listen.events import Block
from edge_asc.listen.pipeline import WindowStream
from edge_asc.listen.reopening import SteadySource
from tests.broker import Counter, Mosquitto, free_port, wait_until
from tests.conftest import WavFile, noise
from tests.program import BUNDLE, assert_one_error, command_line, edge_asc, environment
from tests.sounds import sound
from tests.test_listen import SMALL


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(f"[node]\nname = 'street'\nstate_folder = 'state'\nhealth_s = 1\n[listen]\nbundle = '{BUNDLE}'\n"
                    "[terminal]\nformat = 'json'\n[file]\npath = 'events.jsonl'\n")
    return path


@pytest.mark.tool
def test_every_sink_gets_every_event(config: Path, tmp_path: Path, wav_file: WavFile) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Mosquitto(folder)
    counter = Counter(broker.port)
    with config.open("a") as file:
        file.write(f"[mqtt]\nhost = '127.0.0.1'\nport = {broker.port}\n[metrics]\nport = {free_port()}\n[command]\n"
                   f"run = ['{sys.executable}', '-c', 'import sys; open(sys.argv[1], \"a\").write(sys.stdin.read())', "
                   f"'{tmp_path}/changes']\n")
    wav = wav_file(np.concatenate([sound(label, 4, seed=1) for label in ("indoor", "outdoor", "indoor")]))
    done = edge_asc("listen", "--wav", wav, "--config", config, "--hop", 0.5)
    assert done.returncode == 0, done.stderr
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    in_file = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    wait_until(lambda: len(counter.payloads("edge-asc/street/scene")) == len(printed))
    counter.close()
    broker.kill()
    assert len(printed) >= 10
    for announced in (in_file, counter.payloads("edge-asc/street/scene")):
        assert [{name: event[name] for name in printed[0]} for event in announced] == printed
        assert [event["sequence"] for event in announced] == list(range(1, len(printed) + 1))
        assert {event["run"] for event in announced} == {in_file[0]["run"]}
    n_changes = sum(event["changed"] for event in printed)
    assert n_changes >= 2
    assert (tmp_path / "changes").read_text().count('"sequence"') == n_changes
    said = [payload for topic, payload, *_ in counter.messages if topic == "edge-asc/street/availability"]
    assert said == [b"online", b"offline"]


def listening(config: Path, wav: Path) -> subprocess.Popen[str]:
    """The program in real time, an answer each half second."""
    return subprocess.Popen(command_line("listen", "--wav", wav, "--realtime", "--config", config, "--hop", 0.5),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())


@pytest.mark.tool
def test_sigterm_delivers_the_last_state_and_is_success(config: Path, tmp_path: Path, wav_file: WavFile) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Mosquitto(folder)
    counter = Counter(broker.port)
    port = free_port()
    with config.open("a") as file:
        file.write(f"[mqtt]\nhost = '127.0.0.1'\nport = {broker.port}\n[metrics]\nport = {port}\n")
    wav = wav_file(sound("outdoor", 60))
    with listening(config, wav) as process:
        assert process.stdout
        for _ in range(4):
            process.stdout.readline()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            assert 'edge_asc_scene{label="' in answer.read().decode()
        started_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert time.monotonic() - started_s < 5
    n_printed = 4 + len(rest.splitlines())
    wait_until(lambda: len(counter.payloads("edge-asc/street/scene")) == n_printed)
    counter.close()
    broker.kill()
    states = [payload["state"] for payload in counter.payloads("edge-asc/street/health")]
    assert (states[-1], "listening" in states) == ("stopping", True)
    last = counter.payloads("edge-asc/street/health")[-1]
    manifest = (BUNDLE / "manifest.json").read_bytes()
    assert (last["version"], last["bundle"]) == (__version__, hashlib.sha256(manifest).hexdigest()[:12])


@pytest.mark.tool
def test_a_closed_terminal_delivers_too_and_what_was_not_delivered_is_said(config: Path, tmp_path: Path,
                                                                           wav_file: WavFile) -> None:
    with config.open("a") as file:
        file.write(f"[mqtt]\nhost = '127.0.0.1'\nport = {free_port()}\n")
    wav = wav_file(sound("outdoor", 60))
    with listening(config, wav) as process:
        assert process.stdout
        process.stdout.readline()
        second = edge_asc("listen", "--wav", wav, "--config", config, "--set", f"file.path={tmp_path}/other")
        process.send_signal(signal.SIGHUP)
        rest, errors = process.communicate(timeout=20)
    assert_one_error(second, "another listener uses the state folder", "node.state_folder")
    n_printed = 1 + len(rest.splitlines())
    assert process.returncode == 0, errors
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == n_printed
    assert f"not every event was delivered: mqtt: {n_printed} waiting (no MQTT broker at 127.0.0.1" in errors


# --- a source that comes and goes ------------------------------------------------------------------------------

class Flaky:
    """Opens to a few blocks and then dies; sometimes it does not open at all."""

    def __init__(self, script: list[list[np.ndarray] | None]) -> None:
        self.script = script

    @contextmanager
    def __call__(self) -> Iterator[Iterator[Block]]:
        step = self.script.pop(0)
        if step is None:
            raise DeviceError("not plugged in")
        yield self._blocks(step)

    def _blocks(self, parts: list[np.ndarray]) -> Iterator[Block]:
        for part in parts:
            yield Block(samples=part)
        if not self.script:
            raise StopTest
        raise DeviceError("gone")


class StopTest(Exception):
    pass


def test_a_source_that_dies_is_opened_again_and_time_goes_on() -> None:
    part = noise(100)
    said: list[str] = []
    source = SteadySource(Flaky([[part, part], None, None, [part, part]]), sample_rate_hz=1000, notify=said.append,
                          back_off_s=(0.1, 0.2))
    started_s = time.monotonic()
    with pytest.raises(StopTest):
        list(source)
    assert time.monotonic() - started_s >= 0.49
    assert said[0].startswith("gone")
    assert said[1].startswith("the sound is back after 0.")
    assert len(said) == 2, "one sentence for each break, not for each attempt"


def test_the_first_block_after_a_break_says_so() -> None:
    part = noise(100)
    source = iter(SteadySource(Flaky([[part], None, [part, part], [part]]), sample_rate_hz=1000,
                               notify=lambda text: None, back_off_s=(0.1,)))
    first, second, third, fourth = (next(source) for _ in range(4))
    assert [block.is_restart for block in (first, second, third, fourth)] == [False, True, False, True]
    assert second.n_lost >= 100
    assert third.n_lost == 0


def test_a_break_is_counted_in_whole_blocks() -> None:
    part = noise(100)
    source = iter(SteadySource(Flaky([[part], None, [part]]), sample_rate_hz=1000, notify=lambda text: None,
                               block_s=0.1, back_off_s=(0.13,)))
    next(source)
    n_lost = next(source).n_lost
    assert (n_lost >= 200, n_lost % 100) == (True, 0)


def test_a_source_that_cannot_be_opened_at_the_start_is_an_error() -> None:
    with pytest.raises(DeviceError, match="not plugged in"):
        next(iter(SteadySource(Flaky([None]), sample_rate_hz=1000, notify=lambda text: None)))


@pytest.mark.parametrize("n_lost", [0, 1, 37, 1000, 12_345])
def test_after_a_restart_the_window_is_fresh_and_on_the_old_grid(n_lost: int) -> None:
    before, after = noise(777, seed=1), noise(3000, seed=2)
    stream = WindowStream(SMALL, hop_s=0.1)
    list(stream.push(Block(samples=before)))
    restart = len(before) + n_lost
    found = [(window.end_sample, window.db.copy(), window.has_gap)
             for window in stream.push(Block(samples=after, n_lost=n_lost, is_restart=True))]
    hop = stream.hop_samples
    assert all((end - SMALL.window_samples) % hop == 0 for end, _, _ in found), "the grid of before"
    assert found[0][0] - restart >= SMALL.window_samples > found[0][0] - restart - hop, "the first full window"
    # The same as a new stream that heard only what came after, cut at the same places.
    for end, db, has_gap in found:
        expected = mel_db(after[: end - restart], SMALL)[:, -SMALL.n_frames:]
        np.testing.assert_array_equal(db, expected)
        assert not has_gap


