"""The doctor: plain answers, each with what to do, and exit 1 when something stops listening."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_asc.listen.config import Command, Config, Listen, LogFile, Metrics, Mqtt, Node
from edge_asc.listen.doctor import BAD, GOOD, NOTE, Finding, examine
from edge_asc.listen.doctor import sound as doctor_sound
from edge_asc.listen.events import Block
from edge_asc.listen.health import Level
from tests.broker import Mosquitto, free_port
from tests.conftest import noise
from tests.program import BUNDLE, edge_asc


class Ear:
    """A microphone that hears what it is given."""

    description, device_rate_hz = "ear, 48000 Hz, 1 channel(s)", 48_000

    def __init__(self, samples: np.ndarray) -> None:
        self._samples = samples
        self.ring = SimpleNamespace(n_overflows=0)

    def __call__(self, device: Any, *, sample_rate_hz: int) -> Ear:
        return self

    def __enter__(self) -> Ear:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __iter__(self) -> Any:
        while True:
            yield Block(samples=self._samples.astype(np.float32))


@pytest.fixture
def hear(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(samples: np.ndarray) -> Ear:
        ear = Ear(samples)
        monkeypatch.setattr(doctor_sound, "Microphone", ear)
        monkeypatch.setattr(doctor_sound, "devices", list)
        return ear

    return put


def findings(config: Config) -> dict[str, Finding]:
    return {finding.about: finding for finding in examine(config, listen_s=0.5)}


def config(tmp_path: Path, **sections: Any) -> Config:
    return Config(listen=sections.pop("listen", Listen(bundle=BUNDLE)), node=Node(state_folder=tmp_path / "state"),
                  **sections)


def test_a_healthy_machine(tmp_path: Path, hear: Any) -> None:
    hear(noise(4800, level=0.05))
    found = findings(config(tmp_path))
    assert {"bundle", "engine", "speed", "microphone", "level", "clock", "disk", "broker"} <= set(found)
    assert BAD not in {finding.verdict for finding in found.values()}
    assert "would fit in real time" in found["speed"].found


def test_what_is_wrong_with_the_sound(tmp_path: Path, hear: Any) -> None:
    hear(np.zeros(4800))
    assert findings(config(tmp_path))["level"].verdict == BAD
    hear(np.clip(noise(4800, level=2.0), -1, 1))
    assert findings(config(tmp_path))["clipping"].verdict == NOTE
    hear(noise(4800) + 0.2)
    assert "offset" in findings(config(tmp_path))
    ear = hear(noise(4800))
    ear.device_rate_hz, ear.ring.n_overflows = 16_000, 3
    found = findings(config(tmp_path))
    assert "8000 Hz is missing" in found["rate"].fix
    assert "3 times" in found["losses"].found


@pytest.mark.parametrize(("rms_dbfs", "verdict", "word"), [(-30.0, GOOD, ""), (-65.0, NOTE, "quieter"),
                                                           (-5.0, NOTE, "louder"), (-50.0, GOOD, "")])
def test_level_against_training(rms_dbfs: float, verdict: str, word: str) -> None:
    level = Level(rms_dbfs=rms_dbfs, peak_dbfs=rms_dbfs + 10, dc_offset=0)
    finding = doctor_sound._compare(level, {"level_dbfs": {"mean": -32.0, "p5": -45.0, "p95": -20.0}})
    assert finding.verdict == verdict
    assert word in finding.found
    assert doctor_sound._compare(level, {}).verdict == GOOD


def test_no_microphone_no_bundle_and_no_room_are_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> list[Any]:
        return []

    monkeypatch.setattr("edge_asc.listen.microphone.devices", nothing)
    monkeypatch.setattr(doctor_sound, "devices", nothing)
    (tmp_path / "file").write_text("")
    found = findings(config(tmp_path, listen=Listen(bundle=tmp_path / "none"),
                            file=LogFile(path=tmp_path / "file" / "x" / "log")))
    assert found["bundle"].verdict == BAD
    assert found["microphone"].verdict == BAD
    assert found["disk"].verdict == BAD
    assert all(finding.fix for finding in found.values() if finding.verdict == BAD)


def test_what_the_listener_would_refuse_is_bad_and_what_it_would_warn_of_a_note(tmp_path: Path, hear: Any) -> None:
    hear(noise(4800))
    bad = findings(config(tmp_path, command=Command(run=("/no/such",))))["settings"]
    assert (bad.verdict, "/no/such" in bad.found) == (BAD, True)
    assert findings(config(tmp_path, metrics=Metrics(host="0.0.0.0")))["settings"].verdict == NOTE
    assert findings(config(tmp_path))["settings"].verdict == GOOD


def test_a_folder_that_may_not_be_looked_into_ends_no_examination(tmp_path: Path, hear: Any,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    hear(noise(4800))

    def closed(folder: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("shutil.disk_usage", closed)
    found = findings(config(tmp_path))
    assert (found["disk"].verdict, "Permission denied" in found["disk"].found) == (BAD, True)
    assert "broker" in found


def test_too_slow_is_said(tmp_path: Path, hear: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hear(noise(4800))
    monkeypatch.setattr("edge_asc.listen.doctor.examination.HEADROOM", 1e-9)
    assert findings(config(tmp_path))["speed"].verdict == BAD


def test_a_window_must_be_done_before_the_sound_that_waits_is_too_much(tmp_path: Path, hear: Any,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    hear(noise(4800))
    slow = config(tmp_path, listen=Listen(bundle=BUNDLE, hop_s=10.0))
    assert findings(slow)["speed"].verdict == GOOD
    monkeypatch.setattr("edge_asc.listen.doctor.examination.RING_S", 1e-6)
    found = findings(slow)["speed"]
    assert found.verdict == BAD
    assert "A longer hop does not help" in found.fix


@pytest.mark.tool
def test_broker(tmp_path: Path, hear: Any) -> None:
    hear(noise(4800))
    away = findings(config(tmp_path, mqtt=Mqtt(host="127.0.0.1", port=free_port())))["broker"]
    assert (away.verdict, "no MQTT broker" in away.found) == (NOTE, True)
    broker = Mosquitto(tmp_path)
    there = findings(config(tmp_path, mqtt=Mqtt(host="127.0.0.1", port=broker.port)))["broker"]
    broker.kill()
    assert there.verdict == GOOD
    # It will not let us in by waiting either.
    closed = Mosquitto(tmp_path, settings="allow_anonymous false")
    refused = findings(config(tmp_path, mqtt=Mqtt(host="127.0.0.1", port=closed.port)))["broker"]
    closed.kill()
    assert (refused.verdict, "ot authorized" in refused.found) == (BAD, True)


def test_verb(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text(f"[listen]\nbundle = '{tmp_path}/none'\n")
    done = edge_asc("doctor", "--config", path, "--json", "--listen", "0.5")
    assert done.returncode == 1
    assert {"about": "bundle", "verdict": "bad"}.items() <= json.loads(done.stdout)[0].items()
    assert "  bundle" in edge_asc("doctor", "--config", path, "--listen", "0.5").stdout


