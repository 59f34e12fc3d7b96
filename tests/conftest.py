"""What tests share: programs that must be there, sound files to read, one Hypothesis profile.

Use `from tests.conftest import require_program`.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import soundfile
from numpy.typing import ArrayLike, NDArray

# No deadline: a busy machine is not a failure. In CI the same examples every time.
hypothesis.settings.register_profile("edge-asc", deadline=None, derandomize="CI" in os.environ, database=None)
hypothesis.settings.load_profile("edge-asc")

# A shell that starts the tests in the background has them ignore Ctrl-C, nohup a closed terminal, and so would every
# program they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# What is trained in tests is the same on every machine.
os.environ["EDGE_ASC_STEPS"] = "plain"

WavFile = Callable[..., Path]


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests compile is not the user's."""
    os.environ.pop("CACHE_DIRECTORY", None)
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.getbasetemp() / "cache")


def require_program(name: str) -> str:
    """The path of a system program; without it the test is skipped, or fails if EDGE_ASC_NO_SKIP=1."""
    found = shutil.which(name)
    if found:
        return found
    reason = f"needs the system program {name}"
    if os.environ.get("EDGE_ASC_NO_SKIP") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def noise(n: int, *, seed: int = 0, level: float = 0.1) -> NDArray[np.float32]:
    """White noise, float32 [n], with `level` as its standard deviation."""
    return (np.random.default_rng(seed).standard_normal(n) * level).astype(np.float32)


def tone(n: int, *, hz: float = 440.0, sample_rate_hz: int = 48_000, level: float = 0.5) -> NDArray[np.float32]:
    """A sine, float32 [n], with `level` as its peak."""
    return (level * np.sin(2 * np.pi * hz / sample_rate_hz * np.arange(n))).astype(np.float32)


@pytest.fixture
def wav_file(tmp_path: Path) -> WavFile:
    """Writes samples [n] or [n, channels] (default: 1 s of noise) to a new sound file and returns its path."""

    def write(samples: ArrayLike | None = None, *, name: str = "sound.wav", sample_rate_hz: int = 48_000,
              subtype: str | None = None) -> Path:
        path = tmp_path / name
        soundfile.write(path, noise(sample_rate_hz) if samples is None else np.asarray(samples), sample_rate_hz,
                        subtype=subtype)
        return path

    return write
