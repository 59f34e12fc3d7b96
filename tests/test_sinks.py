"""Sinks: a slow or broken one costs its own announcements and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from edge_asc.errors import InputError
from edge_asc.listen.health import Level
from edge_asc.listen.sinks.base import Announcement, Health, Queued, Sink, Sinks, SinkState
from edge_asc.listen.sinks.command import CommandSink
from edge_asc.listen.sinks.log_file import LogFileSink
from edge_asc.listen.sinks.metrics import MetricsSink, render
from edge_asc.listen.sinks.view import ViewSink, spectrogram
from tests.announcements import LABELS, announcement, event, health
from tests.broker import wait_until
from tests.full_disk import full_disk


class Stuck(Sink):
    """Takes an announcement and does not come back until it is released."""

    name = "stuck"

    def __init__(self) -> None:
        self.release = threading.Event()
        self.got: list[int] = []
        self.health_seen: list[Health] = []
        self.is_closed = False

    def emit(self, announcement: Announcement) -> None:
        self.release.wait()
        self.got.append(announcement.sequence)

    def health(self, health: Health) -> None:
        self.health_seen.append(health)

    def state(self) -> SinkState:
        return SinkState(n_delivered=len(self.got))

    def close(self) -> None:
        self.is_closed = True


# --- queue and hub ---------------------------------------------------------------------------------------------

def test_a_stuck_sink_stalls_nobody_and_its_oldest_are_dropped_and_counted() -> None:
    stuck = Stuck()
    queued = Queued(stuck, capacity=10)
    started_s = time.monotonic()
    for number in range(1, 1001):
        queued.emit(announcement(number))
    assert time.monotonic() - started_s < 0.5
    state = queued.state()
    assert state.n_lost in (989, 990)  # one may be in the sink's hands
    assert state.problem == "too slow, its queue is full"
    stuck.release.set()
    queued.close()
    assert stuck.got[-10:] == list(range(991, 1001))
    assert queued.state().n_lost + queued.state().n_delivered == 1000
    assert stuck.is_closed


def test_close_does_not_wait_for_ever() -> None:
    stuck = Stuck()
    queued = Queued(stuck, close_timeout_s=0.1)
    queued.emit(announcement(1))
    started_s = time.monotonic()
    queued.close()
    assert time.monotonic() - started_s < 1
    stuck.release.set()


def test_only_the_newest_health_is_kept() -> None:
    stuck = Stuck()
    queued = Queued(stuck)
    queued.emit(announcement(1))
    for uptime_s in range(50):
        queued.health(health(uptime_s=float(uptime_s)))
    stuck.release.set()
    queued.close()
    assert [seen.uptime_s for seen in stuck.health_seen][-1] == 49
    assert len(stuck.health_seen) <= 2


def test_hub_numbers_events_and_reports_every_sink() -> None:
    sink = Stuck()
    sink.release.set()
    hub = Sinks([sink], node="here")
    for number in range(3):
        hub.emit(event(number))
    hub.health(health())
    hub.close()
    assert sink.got == [1, 2, 3]
    assert sink.health_seen == [health()]
    assert hub.states() == {"stuck": SinkState(n_delivered=3)}
    assert len(hub.run) == 8
    assert Sinks([]).run != hub.run


# --- file ------------------------------------------------------------------------------------------------------

def sequences(*paths: Path) -> list[int]:
    return [json.loads(line)["sequence"] for path in paths for line in path.read_text().splitlines()]


def test_log_file_rotates_and_keeps_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "events.jsonl"
    sink = LogFileSink(path, max_bytes=4096, n_files=3)
    for number in range(1, 101):
        sink.emit(announcement(number))
    sink.close()
    files = [path.with_name("events.jsonl.2"), path.with_name("events.jsonl.1"), path]
    assert sorted(path.parent.iterdir()) == sorted(files)
    assert all(file.stat().st_size <= 4096 for file in files)
    kept = sequences(*files)
    assert kept == list(range(kept[0], 101))
    assert sink.state() == SinkState(n_delivered=100)


def test_log_file_goes_on_after_a_restart_even_in_mid_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for number in (1, 2):
        sink = LogFileSink(path)
        sink.emit(announcement(number))
        sink.close()
    path.write_bytes(path.read_bytes() + b'{"half')
    sink = LogFileSink(path)
    sink.emit(announcement(3))
    sink.close()
    lines = path.read_text().splitlines()
    assert [json.loads(line)["sequence"] for line in (*lines[:2], lines[3])] == [1, 2, 3]
    assert lines[2] == '{"half'


def test_full_disk_costs_lines_and_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = LogFileSink(path)
    with full_disk(1000):
        for number in range(1, 11):
            sink.emit(announcement(number))
    state = sink.state()
    assert state.n_lost + state.n_delivered == 10
    assert "large" in (state.problem or "")
    sink.emit(announcement(11))
    assert sink.state().problem is None
    assert sequences(path)[-1] == 11
    assert len(sequences(path)) == state.n_delivered + 1
    sink.close()


def test_rotation_on_a_full_disk_loses_no_old_file(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = LogFileSink(path, max_bytes=4096, n_files=3)
    for number in range(1, 25):
        sink.emit(announcement(number))
    tmp_path.chmod(0o500)
    before = sequences(path.with_name("events.jsonl.1"))
    with full_disk(0):
        for number in range(25, 60):
            sink.emit(announcement(number))
    tmp_path.chmod(0o700)
    sink.emit(announcement(60))
    sink.close()
    kept = sequences(*sorted(tmp_path.iterdir(), reverse=True))
    assert set(before) <= set(kept)
    assert kept == sorted(kept)
    assert kept[-1] == 60


def test_log_file_follows_whoever_else_rotates_empties_or_deletes_it(tmp_path: Path) -> None:
    path, aside = tmp_path / "log" / "events.jsonl", tmp_path / "aside"
    sink = LogFileSink(path)
    sink.emit(announcement(1))
    path.rename(aside)
    sink.emit(announcement(2))
    assert (sequences(aside), sequences(path)) == ([1], [2])
    os.truncate(path, 0)
    sink.emit(announcement(3))
    assert sequences(path) == [3]
    shutil.rmtree(path.parent)
    sink.emit(announcement(4))
    assert sequences(path) == [4]
    sink.close()
    assert sink.state() == SinkState(n_delivered=4)


def test_a_log_file_has_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    first = LogFileSink(path, max_bytes=4096)
    for number in range(1, 30):  # through a rotation
        first.emit(announcement(number))
    with pytest.raises(InputError, match="another listener uses the log file"):
        LogFileSink(path)
    first.close()
    LogFileSink(path).close()


def test_unusable_log_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a file that can be rotated"):
        LogFileSink(Path("/dev/null"))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write the log file"):
        LogFileSink(tmp_path / "file" / "events.jsonl")
    with pytest.raises(InputError, match="too small"):
        LogFileSink(tmp_path / "events.jsonl", max_bytes=10)


# --- command ---------------------------------------------------------------------------------------------------

def script(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_command_gets_the_event_and_no_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    monkeypatch.setenv("EDGE_ASC_MQTT_PASSWORD", "secret")
    sink = CommandSink([*script(
        "import os, sys, pathlib\n"
        "assert 'EDGE_ASC_MQTT_PASSWORD' not in os.environ\n"
        "parts = [os.environ['EDGE_ASC_LABEL'], sys.argv[2], sys.stdin.read()]\n"
        "pathlib.Path(sys.argv[1]).write_text('|'.join(parts))"),
        str(out), "$(touch /nowhere); `x`"])
    sink.emit(announcement(5, label='in"door; rm', changed=True))
    label, argument, payload = out.read_text().split("|")
    assert label == 'in"door; rm'
    assert argument == "$(touch /nowhere); `x`"
    assert json.loads(payload)["sequence"] == 5
    assert sink.state() == SinkState(n_delivered=1)


def test_command_is_only_called_for_changes_unless_asked(tmp_path: Path) -> None:
    sink = CommandSink(script("pass"))
    sink.emit(announcement(1))
    assert sink.state().n_delivered == 0
    every = CommandSink(script("pass"), only_changes=False)
    every.emit(announcement(1))
    assert every.state().n_delivered == 1


def test_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    sink = CommandSink(script("import subprocess, time, pathlib, sys\n"
                              "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
                              f"pathlib.Path({str(pid_file)!r}).write_text(str(child.pid))\ntime.sleep(60)"),
                       timeout_s=1.5, only_changes=False)
    sink.emit(announcement(1))
    assert "longer than 1.5 s" in (sink.state().problem or "")
    child = Path(f"/proc/{pid_file.read_text()}/stat")
    wait_until(lambda: not child.exists() or child.read_text().split()[2] == "Z")


def test_command_that_fails_is_counted() -> None:
    sink = CommandSink(script("import sys; sys.exit(3)"), only_changes=False)
    sink.emit(announcement(1))
    assert sink.state().n_lost == 1
    assert "status 3" in (sink.state().problem or "")
    with pytest.raises(InputError, match="cannot run"):
        CommandSink(["/no/such/program"])


# --- metrics ---------------------------------------------------------------------------------------------------

def test_prometheus_reads_the_page() -> None:
    sink = MetricsSink(port=0)
    sink.emit(announcement(1, label="indoor"))
    sink.emit(announcement(2))
    sink.health(health(version="1.2", bundle="0123456789ab"))
    with urllib.request.urlopen(f"http://127.0.0.1:{sink.port}/metrics", timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        page = answer.read().decode()
    families = {family.name: family for family in text_string_to_metric_families(page)}
    assert {sample.labels["label"]: sample.value for sample in families["edge_asc_events"].samples} == {
        "indoor": 1, "outdoor": 1}
    assert {sample.labels["label"]: sample.value for sample in families["edge_asc_scene"].samples} == {
        "indoor": 0, "outdoor": 1, "transportation": 0}
    assert families["edge_asc_latency_seconds"].samples[0].value == 0.012
    assert families["edge_asc_info"].samples[0].labels == {"version": "1.2", "bundle": "0123456789ab"}
    assert families["edge_asc_sink_up"].samples[0].value == 1
    assert families["edge_asc_sink_waiting"].samples[0].labels == {"sink": "mqtt"}
    sink.close()


def test_metrics_before_anything_was_heard_and_odd_labels() -> None:
    assert list(text_string_to_metric_families(render(None, None, {})))
    page = render(None, None, {'a"b\\c\nd': 2})
    (family,) = text_string_to_metric_families(page)
    assert family.samples[0].labels == {"label": 'a"b\\c\nd'}


def test_metrics_refuse_what_they_do_not_have_and_survive_nonsense() -> None:
    sink = MetricsSink(port=0)
    for path, data, status in (("/", None, 404), ("/metrics", b"x=1", 405)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://127.0.0.1:{sink.port}{path}", data=data, timeout=5)
        assert caught.value.code == status
        caught.value.close()
    for nonsense in (b"", b"\x00" * 9000, b"GET\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", sink.port)) as client:
            client.sendall(nonsense)
    with (socket.create_connection(("127.0.0.1", sink.port)),  # dawdles and is cut off
          urllib.request.urlopen(f"http://127.0.0.1:{sink.port}/metrics", timeout=10) as answer):
        assert answer.status == 200
    taken = sink.port
    with pytest.raises(InputError, match=str(taken)):
        MetricsSink(port=taken)
    sink.close()


def test_metrics_are_on_loopback() -> None:
    sink = MetricsSink(port=0)
    assert sink._server.getsockname()[0] == "127.0.0.1"
    sink.close()


# --- view ------------------------------------------------------------------------------------------------------

def test_view_shows_everything() -> None:
    out = StringIO()
    console = Console(file=out, width=100, height=40, force_terminal=True, color_system="truecolor")
    level = Level(rms_dbfs=-31.5, peak_dbfs=-3.0, dc_offset=0.0)
    view = ViewSink(labels=LABELS, title="test", level=lambda: level, console=console)
    view.window(np.random.default_rng(0).uniform(-80, 0, (48, 467)).astype(np.float32))
    view.emit(announcement(1))
    view.emit(announcement(4))
    view.health(health())
    view.close()
    plain = Console(file=StringIO(), width=100, record=True)
    plain.print(view.render())
    text = plain.export_text()
    for part in ("outdoor", "70.0%", "for 3 s", "-31.5 dBFS", "latency 12 ms", "overflows 2", "mqtt: 1 waiting",
                 "▀" * 72):
        assert part in text, part
    assert "outdoor" in out.getvalue()


def test_view_on_a_terminal_that_cannot_show_it() -> None:
    console = Console(file=TextIOWrapper(BytesIO(), encoding="latin-1"))
    with pytest.raises(InputError, match="found the encoding latin-1; wanted UTF-8"):
        ViewSink(labels=LABELS, title="test", level=lambda: None, console=console)


@pytest.mark.parametrize("shape", [(48, 467), (4, 7), (1, 1), (40, 100), (3, 500)])
def test_spectrogram_of_any_shape(shape: tuple[int, int]) -> None:
    lines = spectrogram(np.zeros(shape, np.float32)).plain.splitlines()
    assert 0 <= len(lines) <= 12
    assert all(0 < len(line) <= 72 for line in lines)
