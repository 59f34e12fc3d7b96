"""Runs the real command line as a subprocess, as a user or a service would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BUNDLE = ROOT / "tests" / "golden" / "bundle"


def environment(**extra: str) -> dict[str, str]:
    """The environment in which a subprocess finds this source tree."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **extra}


def command_line(*arguments: object, python: str = sys.executable) -> list[str]:
    """What to run for `edge-asc ARGUMENTS`."""
    return [python, "-m", "edge_asc", *map(str, arguments)]


def edge_asc(*arguments: object, python: str = sys.executable, env: dict[str, str] | None = None,
             timeout_s: float = 120, **keywords: Any) -> subprocess.CompletedProcess[str]:
    """Run `edge-asc ARGUMENTS` to its end; nothing is raised for an exit status."""
    keywords = {"stdout": subprocess.PIPE, "text": True, **keywords}
    return subprocess.run(command_line(*arguments, python=python), stderr=subprocess.PIPE,
                          env=environment() if env is None else env, timeout=timeout_s, check=False, **keywords)


def assert_one_error(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """Exit status 1, exactly one message on standard error, no traceback, and every part in the message."""
    assert done.returncode == 1, done
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("edge-asc: ")
    for part in parts:
        assert part in lines[0]
