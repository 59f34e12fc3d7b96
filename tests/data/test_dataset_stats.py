"""`dataset stats` counts what is there, and measures length and level as they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from edge_asc.data.dataset_stats import FLOOR_DB, dataset_stats
from edge_asc.errors import DatasetError
from tests.data.tiny_tau import write_tables, write_tiny
from tests.program import edge_asc, environment

pytestmark = pytest.mark.train


def sine_clip(path: Path, *, amplitude: float, clip_s: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = amplitude * np.sin(2 * np.pi * 1000 * np.arange(round(48_000 * clip_s)) / 48_000)
    soundfile.write(path, np.stack([samples, samples], axis=1), 48_000, subtype="PCM_24")


def test_levels_lengths_and_counts(tmp_path: Path) -> None:
    rows = [("audio/park-oslo-0-0-a.wav", "outdoor"), ("audio/park-oslo-0-1-a.wav", "outdoor"),
            ("audio/tram-rome-1-0-a.wav", "transportation")]
    sine_clip(tmp_path / rows[0][0], amplitude=1.0, clip_s=0.5)
    sine_clip(tmp_path / rows[1][0], amplitude=0.1, clip_s=0.25)
    sine_clip(tmp_path / rows[2][0], amplitude=0.0, clip_s=0.5)
    write_tables(tmp_path, rows[:2], rows[2:])
    found = dataset_stats(tmp_path, n_jobs=1)
    assert [clip.level_db for clip in found.clips] == pytest.approx([-3.01, -23.01, FLOOR_DB], abs=0.02)
    assert [clip.peak_db for clip in found.clips[:2]] == pytest.approx([0, -20], abs=0.02)
    assert [clip.length_s for clip in found.clips] == [0.5, 0.25, 0.5]
    assert found.counts("train") == {"park": {"oslo": 2}}
    splits = found.to_json()["splits"]
    assert splits["train"]["length_s"]["p0"] == 0.25
    assert splits["validation"]["labels"] == {"transportation": 1}


def test_the_program_prints_a_table_json_and_a_page(tmp_path: Path) -> None:
    write_tiny(tmp_path / "d", clip_s=0.3)
    done = edge_asc("dataset", "stats", tmp_path / "d", "-o", tmp_path / "page.html", "--jobs", "2",
                    env=environment(COLUMNS="120"))
    assert done.returncode == 0, done.stderr
    assert "train: 6 clips, 0.00 hours" in done.stdout
    assert "airport" in done.stdout
    assert "-26.0" in done.stdout  # noise of 0.05 on one channel
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/png") == 4
    done = edge_asc("dataset", "stats", tmp_path / "d", "--json")
    assert len(json.loads(done.stdout)["clips"]) == 12


def test_clips_that_cannot_be_decoded_are_named(tmp_path: Path) -> None:
    rows, _ = write_tiny(tmp_path, clip_s=0.3)
    (tmp_path / rows[0][0]).write_bytes(b"no sound")
    with pytest.raises(DatasetError, match=rf"(?s)1 clips cannot be decoded.*{rows[0][0]}"):
        dataset_stats(tmp_path, n_jobs=1)
