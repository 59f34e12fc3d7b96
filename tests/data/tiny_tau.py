"""A data set in the published layout, small enough for a test: real WAV files, every city in every scene."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from edge_asc.data.tau_layout import LABEL_OF_SCENE, META, SETUP, clip_filename, write_table

Rows = list[tuple[str, str]]


def write_clip(path: Path, *, seed: int = 0, clip_s: float = 10.0, sample_rate_hz: int = 48_000) -> None:
    """Noise, 16-bit mono."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).standard_normal(round(clip_s * sample_rate_hz)).astype(np.float32) * 0.05
    soundfile.write(path, samples, sample_rate_hz, subtype="PCM_16")


def write_tables(root: Path, train: Rows, validation: Rows, *, unused: Sequence[tuple[str, str]] = ()) -> None:
    """The four published tables, from (filename, label)."""
    everything = [*train, *validation, *unused]
    write_table(root / META, ["filename", "scene_label", "identifier", "source_label"],
                [(name, label, "-".join(name.split("-")[1:3]), "a") for name, label in everything])
    write_table(root / SETUP["train"], ["filename", "scene_label"], train)
    write_table(root / SETUP["validation"], ["filename", "scene_label"], validation)
    write_table(root / SETUP["test"], ["filename"], [[name] for name, _ in validation])


def write_tiny(root: Path, *, scenes: Sequence[str] = ("airport", "park", "metro"),
               cities: Sequence[str] = ("oslo", "rome"), n_train: int = 1, n_validation: int = 1,
               clip_s: float = 10.0) -> tuple[Rows, Rows]:
    """For each scene and city, `n_train` clips of one place and `n_validation` of another."""
    train: Rows = []
    validation: Rows = []
    place = 0
    for scene in scenes:
        for city in cities:
            for rows, n in ((train, n_train), (validation, n_validation)):
                for segment in range(n):
                    name = clip_filename(scene, city, place, segment)
                    write_clip(root / name, seed=100 * place + segment, clip_s=clip_s)
                    rows.append((name, LABEL_OF_SCENE[scene]))
                place += 1
    write_tables(root, train, validation)
    return train, validation
