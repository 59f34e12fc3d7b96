"""The demonstration from shipped recordings to a report, as a user runs it, with shallow networks to save time."""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edge_asc.bundle import Bundle
from edge_asc.train.demo import HELD_OUT

pytestmark = pytest.mark.train

QUICK = ['members={ v1 = "V(0,0,1,1)", i1 = "I(1,0,1)" }', "training.epochs=3", "training.windows_per_epoch=16",
         "pruning.begin_epoch=0", "pruning.end_epoch=2"]


def test_demo_ends_with_a_report_a_bundle_and_the_next_commands(tmp_path: Path) -> None:
    settings = [word for setting in QUICK for word in ("--set", setting)]
    command = [sys.executable, "-m", "edge_asc", "demo", "-o", str(tmp_path / "demo"), *settings]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    bundle = Bundle.load(tmp_path / "demo" / "bundle")
    assert [member.name for member in bundle.members] == ["v1", "i1"]
    commands = [line.strip() for line in done.stdout.partition("Next:\n")[2].splitlines()]
    assert [line.split()[0] for line in commands] == ["edge-asc"] * 3
    assert "demonstration" in done.stderr

    html = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    for expected in (HELD_OUT, "not the accuracy of the paper", "int8-sparse", "zeros in kernels", *commands):
        assert expected in html
    pictures: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "img":
                pictures.append(dict(attrs)["src"] or "")

    Reader().feed(html)
    assert len(pictures) == 2
    assert all(picture.startswith("data:image/png;base64,") and len(picture) > 10_000 for picture in pictures)
