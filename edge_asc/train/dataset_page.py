"""`dataset stats` as one HTML page: clips by city and scene, their lengths, and how loud each scene is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from edge_asc.data.dataset_stats import ClipFigures, DatasetStats
from edge_asc.report import Picture, Section, Table, write_page
from edge_asc.train.plots import png


def write_stats_page(path: Path, stats: DatasetStats) -> Path:
    """The page, in one step; returns its path."""
    sections = [_split_section(stats, split, clips) for split, clips in stats.splits.items()]
    hours = sum(clip.length_s for clip in stats.clips) / 3600
    return write_page(path, title=f"What {Path(stats.root).name} is made of", sections=sections,
                      lead=f"{len(stats.clips)} clips, {hours:.1f} hours. Levels are of the mean of the channels, "
                           "root mean square in dB re full scale.")


def _split_section(stats: DatasetStats, split: str, clips: list[ClipFigures]) -> Section:
    labels: dict[str, list[ClipFigures]] = {}
    for clip in clips:
        labels.setdefault(clip.label or "(not published)", []).append(clip)
    rows = [[label, str(len(own)), f"{np.median([clip.length_s for clip in own]):.2f}",
             f"{np.median([clip.level_db for clip in own]):.1f}", f"{max(clip.peak_db for clip in own):.1f}"]
            for label, own in sorted(labels.items())]
    return Section(heading=split, table=Table(columns=["label", "clips", "median s", "median dB", "largest peak dB"],
                                              rows=rows),
                   pictures=[Picture(png=_cities(stats, split), caption="Clips by scene and city; empty: none"),
                             Picture(png=_lengths_and_levels(clips), caption="Lengths, and levels by scene: median, "
                                     "quartiles, 5 % and 95 %")])


def _cities(stats: DatasetStats, split: str) -> bytes:
    counts = stats.counts(split)
    cities = sorted({city for own in counts.values() for city in own})
    table = np.array([[own.get(city, 0) for city in cities] for own in counts.values()])
    figure = Figure(figsize=(2.5 + 0.6 * len(cities), 1.6 + 0.35 * len(counts)), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(table, cmap="Blues", vmin=0, aspect="auto")
    for (row, column), n in np.ndenumerate(table):
        if n:
            axes.text(column, row, str(n), ha="center", va="center", fontsize="small",
                      color="white" if n > table.max() / 2 else "black")
    axes.set_xticks(range(len(cities)), [city or "?" for city in cities], rotation=45, ha="right")
    axes.set_yticks(range(len(counts)), [scene or "?" for scene in counts])
    axes.set_xlabel("city")
    axes.set_ylabel("scene")
    return png(figure)


def _lengths_and_levels(clips: list[ClipFigures]) -> bytes:
    scenes = sorted({clip.scene for clip in clips})
    levels = [[clip.level_db for clip in clips if clip.scene == scene] for scene in scenes]
    figure = Figure(figsize=(11, 1.8 + 0.3 * len(scenes)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 2))
    left.hist([clip.length_s for clip in clips], bins=30)
    left.set_xlabel("length in s")
    left.set_ylabel("clips")
    right.boxplot(levels, orientation="horizontal", whis=(5, 95), tick_labels=[scene or "?" for scene in scenes],
                  showfliers=False)
    right.set_xlabel("level in dB re full scale")
    right.grid(axis="x", alpha=0.3)
    return png(figure)
