"""The files that make an export a CMake project, an Arduino and a PlatformIO library, a Zephyr module and an ESP-IDF
component at once: all of them look at different names in the same folder, and share src/.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path

from edge_asc import __version__
from edge_asc.spec import FeatureSpec

_TEMPLATES = Path(__file__).parents[1] / "ports" / "package"
# Template -> where it goes.
_FILES = {
    "cmake/CMakeLists.txt": "CMakeLists.txt",
    "arduino/library.properties": "library.properties",
    "arduino/Listen.ino": "examples/Listen/Listen.ino",
    "platformio/library.json": "library.json",
    "zephyr/module.yml": "zephyr/module.yml",
    "zephyr/CMakeLists.txt": "zephyr/CMakeLists.txt",
    "zephyr/Kconfig": "zephyr/Kconfig",
    "esp-idf/idf_component.yml": "idf_component.yml",
    "LICENSE": "LICENSE",
}


def packaging_files(spec: FeatureSpec, *, labels: tuple[str, ...], state_bytes: int,
                    n_spare_frames: int) -> dict[str, str]:
    """The packaging of an export, all but the C itself.

    Args:
        spec: The front end.
        labels: What the ensemble can answer.
        state_bytes: RAM of one state.
        n_spare_frames: The default of ASC_SPARE_FRAMES.

    Returns:
        Path in the export -> content.
    """
    values: Mapping[str, object] = {
        "version": __version__, "labels": " ".join(", ".join(labels).split()), "sample_rate_hz": spec.sample_rate_hz,
        "state_bytes": state_bytes, "spare_frames": n_spare_frames, "frame_bytes": spec.n_mels + 1,
    }
    return {where: _filled((_TEMPLATES / name).read_text(), values) for name, where in _FILES.items()}


class _Names(string.Template):
    """$name, and no braces: those are CMake's."""

    braceidpattern = "(?!)"


def _filled(text: str, values: Mapping[str, object]) -> str:
    return _Names(text).safe_substitute(values)
