"""The queue on disk: first in, first out, whatever happens in between."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge_asc.errors import InputError
from edge_asc.listen.sinks.spool import Spool
from tests.full_disk import full_disk


class SpoolMachine(RuleBasedStateMachine):
    """Any sequence of calls, restarts included, against a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self._temporary.name)
        self.spool = self._open()
        self.waiting: list[str] = []
        self.taken: list[str] = []
        self.number = 0

    def _open(self) -> Spool:
        return Spool(self.folder, segment_bytes=40, max_bytes=1 << 20)

    def teardown(self) -> None:
        self.spool.close()
        self._temporary.cleanup()

    @rule(n=st.integers(1, 8))
    def append(self, n: int) -> None:
        for _ in range(n):
            self.number += 1
            self.spool.append(f"line {self.number}")
            self.waiting.append(f"line {self.number}")

    @rule(n=st.integers(1, 12))
    def take(self, n: int) -> None:
        for _ in range(n):
            line = self.spool.take()
            assert line == (self.waiting.pop(0) if self.waiting else None)
            if line:
                self.taken.append(line)

    @rule()
    def settle(self) -> None:
        self.spool.settle()
        self.taken.clear()

    @rule(n=st.integers(0, 5))
    def push_front(self, n: int) -> None:
        back = self.taken[-n:] if n else []
        self.spool.push_front(back)
        self.waiting[:0] = back
        self.taken.clear()

    @rule()
    def crash(self) -> None:
        """Nothing that waits is missing; what was taken and not settled may come again, in its place."""
        self.spool.close()
        self.spool = self._open()
        lines = []
        while (line := self.spool.take()) is not None:
            lines.append(line)
        n_again = len(lines) - len(self.waiting)
        assert n_again >= 0
        assert lines[n_again:] == self.waiting
        self.spool.push_front(self.waiting)
        self.taken.clear()

    @invariant()
    def counts(self) -> None:
        assert len(self.spool) == len(self.waiting)


SpoolMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=25, deadline=None)
TestSpoolMachine = SpoolMachine.TestCase


def test_bound_drops_the_oldest_and_counts_them(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=100, max_bytes=300)
    for number in range(100):
        spool.append(f"{number:09}")
    assert spool.n_bytes <= 300
    assert spool.take() == f"{spool.n_dropped:09}"
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 300


def test_settled_lines_leave_the_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=20)
    for number in range(10):
        spool.append(f"line {number}")
    while spool.take():
        pass
    spool.settle()
    assert list(tmp_path.iterdir()) == []


def test_torn_line_is_left_out(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    first.append("whole")
    first.close()
    (segment,) = tmp_path.iterdir()
    segment.write_bytes(segment.read_bytes() + b'{"half')
    spool = Spool(tmp_path)
    spool.append("after")
    assert [spool.take(), spool.take(), spool.take()] == ["whole", "after", None]


def test_a_folder_is_for_one_only(tmp_path: Path) -> None:
    first = Spool(tmp_path / "spool")
    with pytest.raises(InputError, match="another listener uses the state folder"):
        Spool(tmp_path / "spool")
    first.close()
    Spool(tmp_path / "spool").close()


def test_too_small(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too small"):
        Spool(tmp_path, max_bytes=10)


def test_full_disk_costs_the_line_and_nothing_else(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=1 << 20, max_bytes=1 << 22)
    spool.append("before")
    with full_disk(4096):
        for _ in range(4):
            spool.append("x" * 1000)
        with pytest.raises(OSError, match="large"):
            spool.append("x" * 1000)
    n = len(spool)
    spool.append("after")
    lines = [spool.take() for _ in range(n + 1)]
    assert lines == ["before", *["x" * 1000] * (n - 1), "after"]
