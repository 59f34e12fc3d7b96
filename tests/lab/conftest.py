"""The small data set of the tests of training, and a finished sweep on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import tiny_sweep
from tests.program import edge_asc
from tests.train.conftest import sounds as sounds


@pytest.fixture(scope="session")
def swept(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep in one process, without Ray and without any interruption."""
    out = tmp_path_factory.mktemp("swept")
    done = edge_asc(*tiny_sweep.arguments(sounds, out), "--workers", 1, env=tiny_sweep.TERMINAL, timeout_s=280)
    assert done.returncode == 0, done.stderr
    return out
