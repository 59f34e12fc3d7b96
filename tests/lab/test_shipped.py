"""The shipped recordings have what every experiment of the laboratory needs: three parts with all labels."""

from __future__ import annotations

from pathlib import Path

from edge_asc.data.dataset import TauDataset
from edge_asc.lab.shipped import shipped_dataset
from edge_asc.spec import LABELS


def test_every_label_is_trained_on_chosen_on_and_judged(tmp_path: Path) -> None:
    dataset = TauDataset.load(shipped_dataset(tmp_path))
    for label in LABELS:
        assert len({clip.recording for clip in dataset.train if clip.label == label}) >= 2
        assert any(clip.label == label for clip in dataset.validation)
    assert not {clip.recording for clip in dataset.train} & {clip.recording for clip in dataset.validation}
    before = {path: path.stat().st_mtime_ns for path in dataset.root.glob("audio/*")}
    shipped_dataset(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in dataset.root.glob("audio/*")} == before, "cut once"
