"""libsoxr through ctypes gives what the package `soxr` gives, however the stream is cut."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asc import resampling
from edge_asc.audio import StreamResampler
from edge_asc.errors import MissingDependencyError
from edge_asc.resampling import SystemSoxr, open_resampler
from tests.conftest import noise

pytestmark = pytest.mark.tool
RATES = [(44_100, 48_000), (16_000, 48_000), (96_000, 48_000), (48_000, 44_100), (8_000, 48_000), (22_050, 16_000)]


@pytest.mark.parametrize("rates", RATES)
@given(sizes=st.lists(st.integers(0, 5000), max_size=12))
def test_the_library_gives_what_the_package_gives(rates: tuple[int, int], sizes: list[int]) -> None:
    samples, at = noise(sum(sizes)), 0
    ours, theirs = SystemSoxr(*rates), open_resampler(*rates)
    parts = []
    for size in sizes:
        parts.append(ours.resample_chunk(samples[at : at + size]))
        at += size
    parts.append(ours.resample_chunk(samples[:0], last=True))
    expected = theirs.resample_chunk(samples, last=True)
    got = np.concatenate(parts)
    assert got.dtype == np.float32
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_without_the_package_the_library_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soxr", None)
    assert isinstance(open_resampler(44_100, 48_000), SystemSoxr)
    stream = StreamResampler(44_100, 48_000)
    n = stream.push(noise(44_100)).size + stream.finish().size
    assert n == 48_000
    # `finish` begins a new stream.
    assert stream.push(noise(44_100)).size + stream.finish().size == 48_000


def test_without_either_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setitem(sys.modules, "soxr", None)
    monkeypatch.setattr(resampling.ctypes, "CDLL", missing)
    with pytest.raises(MissingDependencyError, match="apt install libsoxr0"):
        open_resampler(44_100, 48_000)
