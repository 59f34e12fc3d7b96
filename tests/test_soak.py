"""A short soak: half an hour of sound through the whole listener. `make soak` does a day."""

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
