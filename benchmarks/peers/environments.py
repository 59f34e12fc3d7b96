"""Environments of the peers: a venv each, made from PyPI when it is first needed; or the reason why there is none."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".venv-peers"

REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "librosa": ("librosa>=0.11,<0.12", "ai-edge-litert>=2.3,<3"),
    "tensorflow": ("tensorflow>=2.21,<2.22", "tf2onnx>=1.17,<2", "onnx>=1.20,<2"),
    "litert": ("ai-edge-litert>=2.3,<3", "numpy>=2"),
    "onnxruntime": ("onnxruntime>=1.23,<2", "onnx>=1.20,<2", "numpy>=2"),
    "scipy": ("scipy>=1.15,<2", "numpy>=2"),
    "torchaudio": ("torchaudio>=2.9,<3", "torch>=2.9,<3", "numpy>=2"),
}
GIGABYTES = {"tensorflow": 3, "torchaudio": 7}
"""Room that an environment takes on the disk, where it is much."""


class NoEnvironmentError(Exception):
    """It cannot be made; the message says why."""


def python_of(name: str) -> str:
    """The Python of a peer's environment, made now if it is not there or its requirements have changed.

    Raises:
        NoEnvironmentError: pip could not install it, or the disk is too full.
    """
    requirements = REQUIREMENTS[name]
    folder = FOLDER / name
    python, stamp = folder / "bin" / "python", folder / "requirements.sha256"
    digest = hashlib.sha256("\n".join((sys.version, *requirements)).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest and python.exists():
        return str(python)
    free, wanted = shutil.disk_usage(ROOT).free / 1e9, GIGABYTES.get(name, 1)
    if free < wanted + 1:
        raise NoEnvironmentError(f"its environment needs about {wanted} GB of disk, {free:.1f} GB are free")
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(folder)])
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements])
    stamp.write_text(digest)
    return str(python)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if "ERROR" in line] or done.stderr.splitlines()
        raise NoEnvironmentError(f"pip could not install it: {' '.join(lines[-2:])[:300]}")
