"""The shipped recordings as a data set of three parts, for a laboratory that runs through everything in minutes.

Two of the labels have two recordings only. The longer ones are cut in two, so that there is a second recording to
choose on; that it is the other half of one that was trained on is one more reason why a smoke run says nothing.
"""

from __future__ import annotations

import csv
from pathlib import Path

import soundfile

from edge_asc.atomic import replacing, write_text
from edge_asc.data.import_plan import ImportSettings
from edge_asc.data.import_recordings import import_recordings
from edge_asc.train.demo import CLIPS_DIR, HOP_S

_HALVED = ("indoor-fireplace.ogg", "transportation-train.ogg")
_JUDGED = ("indoor-restaurant.ogg", "outdoor-city.ogg", "outdoor-wind.ogg", "transportation-boat.ogg")
"""The validation split; everything else is trained or chosen on."""


def shipped_dataset(folder: Path) -> Path:
    """Cuts the shipped recordings below `folder`, once, and returns the data set's folder."""
    halves, dataset = folder / "recordings", folder / "dataset"
    halves.mkdir(parents=True, exist_ok=True)
    with (CLIPS_DIR / "recordings.csv").open(encoding="utf-8", newline="") as file:
        rows = [row | {"use": "test" if row["file"] in _JUDGED else "train"} for row in csv.DictReader(file)]
    lines = [",".join(rows[0])]
    for row in rows:
        path = CLIPS_DIR / row["file"]
        if row["file"] not in _HALVED:
            lines.append(",".join((row | {"file": str(path.resolve())}).values()))
            continue
        samples, rate_hz = soundfile.read(path)
        middle = len(samples) // 2
        for number, half in enumerate((samples[:middle], samples[middle:]), start=1):
            name = f"{path.stem}-{number}.wav"
            if not (halves / name).exists():
                with replacing(halves / name) as file:
                    soundfile.write(file, half, rate_hz, format="WAV")
            lines.append(",".join((row | {"file": name, "source_id": f"{row['source_id']}-{number}"}).values()))
    write_text(halves / "recordings.csv", "\n".join(lines) + "\n")
    import_recordings(halves / "recordings.csv", dataset, settings=ImportSettings(hop_s=HOP_S))
    return dataset
