"""Short soaks: half an hour of sound through the whole listener, seconds at a microphone. `make soak` does a day."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import require_program
from tests.program import BUNDLE, ROOT, environment


@pytest.mark.tool
def test_half_an_hour_leaves_nothing_behind() -> None:
    require_program("mosquitto")
    program = [sys.executable, "-m", "benchmarks.soak", "--bundle", str(BUNDLE)]
    done = subprocess.run([*program, "--hours", "0.6", "--look-every", "240"], capture_output=True, text=True,
                          check=False, env=environment(), cwd=ROOT)
    result = json.loads(done.stdout)
    assert result["errors"] == []
    assert done.returncode == 0
    assert result["n_events"] > 2000
    assert len(result["looks"]) >= 8


@pytest.mark.tool
@pytest.mark.slow
def test_seconds_at_a_microphone_give_the_four_numbers() -> None:
    require_program("pulseaudio")
    program = [sys.executable, "-m", "benchmarks.soak_microphone", "--minutes", "0.2", "--starts", "1"]
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=environment(), cwd=ROOT)
    result = json.loads(done.stdout)
    assert (done.returncode, result["errors"]) == (0, [])
    assert result["n_events"] >= 3
    assert set(result["goals"]) <= set(result)
