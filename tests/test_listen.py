"""Listening: the same events however the sound is cut, on the audio's clock, and decisions as tables."""

from __future__ import annotations

import io
import itertools
import json
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asc.bundle import Bundle
from edge_asc.classify import classify_file
from edge_asc.errors import AudioError, InputError
from edge_asc.features import log_mel, mel_db
from edge_asc.listen.decide import Decider, DecisionRules, relative_entropy
from edge_asc.listen.events import Block, SceneEvent
from edge_asc.listen.pipeline import FrameRing, WindowStream, listen
from edge_asc.listen.sinks.json_lines import JsonLines
from edge_asc.listen.sinks.text import Text
from edge_asc.listen.sources import file_source, pcm_source
from edge_asc.runtime import Ensemble, load_ensemble
from edge_asc.spec import LABELS, FeatureSpec
from tests.conftest import WavFile
from tests.program import BUNDLE
from tests.sounds import SPEC, sound

RATE = SPEC.sample_rate_hz


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return load_ensemble(Bundle.load(BUNDLE))


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.concatenate([sound(label, 1.7, seed=i) for i, label in enumerate(LABELS)])


def cut(samples: np.ndarray, sizes: Iterable[int]) -> Iterator[Block]:
    start = 0
    for size in sizes:
        if start >= len(samples):
            return
        yield Block(samples=samples[start : start + size])
        start += size


# --- windows ---------------------------------------------------------------------------------------------------

@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 6))
def test_the_ring_holds_the_newest_frames_in_order(sizes: list[int], n_frames: int) -> None:
    ring, everything = FrameRing(n_mels=2, n_frames=n_frames), np.zeros((2, 0), np.float32)
    counter = itertools.count()
    for size in sizes:
        new = np.array([[next(counter) for _ in range(size)]] * 2, np.float32).reshape(2, size)
        everything = np.concatenate([everything, new], axis=1)
        ring.push(new)
        np.testing.assert_array_equal(ring.window(), everything[:, -n_frames:])


SMALL = FeatureSpec(sample_rate_hz=1000, fmax_hz=500.0, n_fft=64, hop_length=24, n_mels=4, n_frames=7)


@given(st.lists(st.integers(0, 400), max_size=30), st.sampled_from([0.1, 0.25, 0.333, 1.0, 2.0]))
def test_any_cut_gives_the_windows_of_the_whole(sizes: list[int], hop_s: float) -> None:
    samples = np.random.default_rng(0).standard_normal(3000).astype(np.float32)
    stream = WindowStream(SMALL, hop_s=hop_s)
    found = [(window.end_sample, window.db.copy())
             for block in cut(samples, itertools.chain(sizes, itertools.repeat(500))) for window in stream.push(block)]
    ends = list(range(SMALL.window_samples, 3001, round(hop_s * 1000)))
    assert [end for end, _ in found] == ends
    for end, db in found:
        np.testing.assert_array_equal(db, mel_db(samples[:end], SMALL)[:, -SMALL.n_frames :])


def test_the_first_window_is_the_batch_window() -> None:
    spec = FeatureSpec()
    stream = WindowStream(spec, hop_s=1.0)
    samples = np.random.default_rng(0).standard_normal(480_000).astype(np.float32)
    (window,) = stream.push(Block(samples=samples))
    assert window.end_sample / spec.sample_rate_hz == 9.984
    np.testing.assert_array_equal(window.db, mel_db(samples[: spec.window_samples], spec))


@pytest.mark.parametrize("hop_s", [0.0, 0.05, -1.0, 61.0, float("nan"), float("inf")])
def test_an_impossible_hop_is_refused(hop_s: float) -> None:
    with pytest.raises(InputError, match="impossible hop"):
        WindowStream(SMALL, hop_s=hop_s)


def test_a_gap_moves_the_clock_and_marks_the_windows_it_touches() -> None:
    """208 samples a window, a hop of 100: 100 samples are lost after sample 300."""
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal(n).astype(np.float32) for n in (300, 600))
    stream = WindowStream(SMALL, hop_s=0.1)
    windows = [*stream.push(Block(samples=first)), *stream.push(Block(samples=second, n_lost=100))]
    assert [(window.end_sample, window.has_gap) for window in windows] == [
        (208, False), (308, True), (408, True), (508, True), (608, True), (708, False), (808, False), (908, False)]
    assert stream.n_samples == 1000
    filled = np.concatenate([first, np.zeros(100, np.float32), second])
    last = [*WindowStream(SMALL, hop_s=0.1).push(Block(samples=filled))][-1]
    assert not windows[-1].is_silent
    assert last.end_sample == 908


def test_a_gap_of_hours_takes_no_memory() -> None:
    stream = WindowStream(SMALL, hop_s=60.0)
    n_silent = sum(window.is_silent for window in stream.push(Block(samples=np.ones(1, np.float32),
                                                                   n_lost=3_600_000)))
    assert n_silent == 60
    assert stream.n_samples == 3_600_001


# --- events ----------------------------------------------------------------------------------------------------

def without_latency(events: Iterable[SceneEvent]) -> list[tuple[float, str, tuple[float, ...]]]:
    return [(event.time_s, event.label, tuple(event.probabilities.values())) for event in events]


def test_events_name_the_scene_of_the_last_window(ensemble: Ensemble, samples: np.ndarray) -> None:
    events = list(listen(cut(samples, itertools.repeat(4800)), ensemble, hop_s=1.7))
    assert [event.label for event in events] == list(LABELS)
    assert [round(event.time_s, 3) for event in events] == [0.992, 2.692, 4.392]
    for event in events:
        assert event.confidence == max(event.probabilities.values())
        assert event.latency_ms >= 0
        end = round(event.time_s * RATE)
        start = end - SPEC.window_samples
        # The frame grid began at sample 0, so a window that does not start on it is a few samples older.
        start -= start % SPEC.hop_length
        batch = ensemble.probabilities(log_mel(samples[start:end], SPEC))
        np.testing.assert_allclose(list(event.probabilities.values()), batch, atol=1e-6)


@pytest.mark.parametrize("size", [1, 777, 48_000, 10_000_000])
def test_events_do_not_depend_on_the_blocks(ensemble: Ensemble, samples: np.ndarray, size: int) -> None:
    samples = samples[: 60_000 if size == 1 else None]
    usual = without_latency(listen(cut(samples, itertools.repeat(4800)), ensemble, hop_s=0.5))
    assert without_latency(listen(cut(samples, itertools.repeat(size)), ensemble, hop_s=0.5)) == usual


def test_sound_that_ends_before_the_first_window_is_an_error(ensemble: Ensemble) -> None:
    with pytest.raises(AudioError, match=r"found 0.500 s; wanted 0.992 s or more"):
        list(listen(cut(sound("indoor", 0.5), [99_999]), ensemble))


def test_digital_silence_throughout_is_an_error(ensemble: Ensemble) -> None:
    notes: list[str] = []
    with pytest.raises(AudioError, match="digital silence throughout"):
        list(listen(cut(np.zeros(4 * RATE, np.float32), itertools.repeat(4800)), ensemble, notify=notes.append))
    assert notes == ["0.992 s: digital silence, nothing to classify"], "said once, not each hop"


def test_a_silent_stretch_is_passed_over_and_said(ensemble: Ensemble) -> None:
    notes: list[str] = []
    silence = np.zeros(3 * RATE, np.float32)
    samples = np.concatenate([sound("indoor", 2), silence, sound("outdoor", 2)])
    events = list(listen(cut(samples, itertools.repeat(4800)), ensemble, notify=notes.append))
    assert [round(event.time_s) for event in events] == [1, 2, 3, 6, 7]
    assert notes == ["3.992 s: digital silence, nothing to classify"]


def test_lost_samples_are_said_and_marked(ensemble: Ensemble) -> None:
    notes: list[str] = []
    blocks = [Block(samples=sound("indoor", 1.5)), Block(samples=sound("indoor", 1.5), n_lost=4800)]
    events = list(listen(blocks, ensemble, hop_s=0.5, notify=notes.append))
    assert [event.has_gap for event in events] == [False, False, True, True, False]
    assert notes == ["1.500 s: 4800 samples were lost"]


def test_latency_counts_from_the_windows_own_last_sample(ensemble: Ensemble) -> None:
    """A block that came just now and whose last half second is of no concern to the window: that half second counts."""
    samples = sound("indoor", SPEC.window_s + 0.5)
    (event,) = listen([Block(samples=samples, arrived_s=time.monotonic())], ensemble, hop_s=1.0)
    assert 500 <= event.latency_ms < 1500


# --- sources ---------------------------------------------------------------------------------------------------

def test_a_file_is_yielded_whole_and_at_once(wav_file: WavFile) -> None:
    samples = sound("hum", 2)
    began_s = time.monotonic()
    blocks = list(file_source(wav_file(samples, subtype="FLOAT"), sample_rate_hz=RATE))
    assert time.monotonic() - began_s < 1.5
    np.testing.assert_array_equal(np.concatenate([block.samples for block in blocks]), samples)
    assert all(block.arrived_s is None for block in blocks)


def test_a_file_in_real_time_takes_its_time(wav_file: WavFile) -> None:
    began_s = time.monotonic()
    blocks = list(file_source(wav_file(sound("hum", 0.5)), sample_rate_hz=RATE, realtime=True))
    assert 0.49 < time.monotonic() - began_s < 2
    assert all(block.arrived_s for block in blocks)


class Dribble(io.BytesIO):
    """A pipe whose reads end anywhere, also inside a sample."""

    def read1(self, size: int | None = -1) -> bytes:
        return super().read1(7 if size else 0)


@pytest.mark.parametrize(("pcm_format", "pack"), [
    ("s16le", lambda values: b"".join(struct.pack("<h", round(v * 32768)) for v in values)),
    ("f32le", lambda values: struct.pack(f"<{len(values)}f", *values))], ids=["s16le", "f32le"])
@pytest.mark.parametrize("n_channels", [1, 2, 3])
def test_raw_pcm_is_decoded_and_mixed(pcm_format: str, pack: Callable[[list[float]], bytes], n_channels: int) -> None:
    values = [-1.0, 0.5, 0.25, -0.125, 0.0, 0.75, 0.5, 0.25, -0.5, 0.0, 0.0, 0.0]
    blocks = pcm_source(Dribble(pack(values)), from_hz=RATE, n_channels=n_channels, pcm_format=pcm_format,
                        sample_rate_hz=RATE)
    found = np.concatenate([block.samples for block in blocks])
    np.testing.assert_allclose(found, np.reshape(values, (-1, n_channels)).mean(axis=1), atol=1e-7)


def test_raw_pcm_is_resampled() -> None:
    data = (sound("outdoor", 1)[:44_100] * 32768).astype("<i2").tobytes()
    blocks = list(pcm_source(io.BytesIO(data), from_hz=44_100, n_channels=1, pcm_format="s16le", sample_rate_hz=RATE))
    assert sum(block.samples.size for block in blocks) == RATE


@pytest.mark.parametrize(("data", "changed", "message"), [
    (b"123", {}, "ends inside a sample; found 1 bytes left over"),
    (struct.pack("<f", float("nan")), {"pcm_format": "f32le"}, "no numbers. Check --format"),
    (b"", {"pcm_format": "u8"}, "unknown PCM format"),
    (b"", {"n_channels": 0}, "impossible PCM stream"),
])
def test_raw_pcm_that_is_wrong(data: bytes, changed: dict[str, Any], message: str) -> None:
    values: dict[str, Any] = {"from_hz": RATE, "n_channels": 1, "pcm_format": "s16le", "sample_rate_hz": RATE}
    with pytest.raises((AudioError, InputError), match=message):
        list(pcm_source(io.BytesIO(data), **values | changed))


# --- classify --------------------------------------------------------------------------------------------------

def test_a_long_file_is_the_mean_of_its_windows(ensemble: Ensemble, samples: np.ndarray, wav_file: WavFile) -> None:
    answer = classify_file(wav_file(samples, subtype="FLOAT"), ensemble)
    size = SPEC.window_samples
    rows = [ensemble.probabilities(log_mel(samples[start : start + size], SPEC))
            for start in range(0, len(samples) - size + 1, size)]
    assert answer.n_windows == len(rows) == 5
    np.testing.assert_allclose(list(answer.probabilities.values()), np.mean(rows, axis=0), atol=1e-6)
    assert answer.label == LABELS[int(np.argmax(np.mean(rows, axis=0)))]


def test_silent_windows_of_a_file_have_no_vote(ensemble: Ensemble, wav_file: WavFile) -> None:
    size = SPEC.window_samples
    with_silence = np.concatenate([sound("outdoor", 2)[:size], np.zeros(2 * size, np.float32)])
    answer = classify_file(wav_file(with_silence), ensemble)
    assert (answer.n_windows, answer.label) == (1, "outdoor")
    with pytest.raises(AudioError, match="is digital silence; found 2 windows of zeros"):
        classify_file(wav_file(np.zeros(2 * size)), ensemble)


# --- decisions -------------------------------------------------------------------------------------------------

def decided(rules: DecisionRules, table: Iterable[tuple[float, float, float]], *, hop_s: float = 1.0) -> list[str]:
    """The labels said for rows of probabilities of a, b, c; "-" where nothing is said, "!" where it is a change."""
    decider, said = Decider(rules), []
    for index, row in enumerate(table):
        event = SceneEvent(time_s=10 + index * hop_s, label="?", confidence=0, latency_ms=1,
                           probabilities=dict(zip("abc", row, strict=True)))
        decision = decider.update(event)
        said.append("-" if decision is None else decision.label + "!" * decision.changed)
    return said


A, B, C = (0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8)
WEAK_A, WEAK_B, FLAT = (0.45, 0.3, 0.25), (0.35, 0.5, 0.15), (0.34, 0.33, 0.33)

TABLES: list[tuple[str, DecisionRules, list[tuple[float, float, float]], str]] = [
    ("as it comes", DecisionRules(), [A, A, B, FLAT, C], "a! a b! a! c!"),
    ("only changes", DecisionRules(each_hop=False), [A, A, B, B, A], "a! - b! - a!"),
    ("enter", DecisionRules(enter=0.6), [WEAK_A, A, WEAK_B, B], "unknown! a! unknown! b!"),
    ("enter and leave", DecisionRules(enter=0.6, leave=0.3), [A, WEAK_B, WEAK_A, B, WEAK_B, FLAT, C],
     "a! a a b! b b c!"),
    ("left, and nobody strong enough", DecisionRules(enter=0.6, leave=0.4), [A, WEAK_B, WEAK_B, B],
     "a! unknown! unknown b!"),
    ("hold", DecisionRules(min_hold_s=3), [A, B, B, B, A, B, B, A], "a! a a b! b b a!".replace("b b a!", "b b b a!")),
    ("unknown is not held", DecisionRules(min_hold_s=3, unknown_below=0.4), [FLAT, A, FLAT, FLAT, FLAT, B],
     "unknown! a! a a unknown! b!"),
    ("unknown below", DecisionRules(unknown_below=0.4), [A, FLAT, WEAK_A, B], "a! unknown! a! b!"),
    ("unknown by entropy", DecisionRules(unknown_entropy=0.95), [A, FLAT, WEAK_A, B], "a! unknown! unknown b!"),
    ("mean of three", DecisionRules(mean_of=3), [A, B, B, A, B], "a! a b! b b"),
    ("never said before the first", DecisionRules(each_hop=False, unknown_below=0.5), [FLAT, FLAT, A], "unknown! - a!"),
]


@pytest.mark.parametrize(("rules", "table", "expected"), [row[1:] for row in TABLES], ids=[row[0] for row in TABLES])
def test_decisions(rules: DecisionRules, table: list[tuple[float, float, float]], expected: str) -> None:
    assert decided(rules, table) == expected.split()


def test_smoothing_goes_by_time_not_by_events() -> None:
    """After 2 s of b with a time constant of 2 s, a has fallen to e^-1 of its place, at any hop."""
    for hop_s in (0.25, 0.5, 1.0, 2.0):
        decider = Decider(DecisionRules(smooth_s=2.0))
        rows = [(1.0, 0.0)] + [(0.0, 1.0)] * round(2 / hop_s)
        for index, row in enumerate(rows):
            decision = decider.update(SceneEvent(time_s=index * hop_s, label="?", confidence=0, latency_ms=0,
                                                 probabilities=dict(zip("ab", row, strict=True))))
        assert decision is not None
        assert decision.probabilities["a"] == pytest.approx(np.exp(-1))
        assert decision.label == "b"
        assert decision.confidence == pytest.approx(1 - np.exp(-1))


probability_rows = st.lists(st.lists(st.floats(0.001, 1), min_size=3, max_size=3), min_size=1, max_size=20)


@given(probability_rows, st.floats(0, 5), st.floats(0, 1), st.floats(0, 1), st.floats(0, 10))
def test_decisions_are_distributions_and_holds_are_kept(rows: list[list[float]], smooth_s: float, enter: float,
                                                        leave: float, min_hold_s: float) -> None:
    decider = Decider(DecisionRules(smooth_s=smooth_s, enter=enter, leave=leave, min_hold_s=min_hold_s))
    since_s, scene = -100.0, ""
    for index, row in enumerate(rows):
        probabilities = dict(zip("abc", (np.array(row) / sum(row)).tolist(), strict=True))
        decision = decider.update(SceneEvent(time_s=float(index), label="?", confidence=0, latency_ms=0,
                                             probabilities=probabilities))
        assert decision is not None
        assert sum(decision.probabilities.values()) == pytest.approx(1)
        assert decision.changed == (decision.label != scene)
        if decision.changed:
            assert scene in ("", "unknown") or index - since_s >= min_hold_s
            since_s, scene = index, decision.label


@pytest.mark.parametrize("changed", [{"enter": 1.5}, {"leave": -0.1}, {"smooth_s": -1}, {"min_hold_s": float("inf")},
                                     {"mean_of": 0}, {"mean_of": 2, "smooth_s": 1}, {"unknown_entropy": float("nan")}])
def test_impossible_rules_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"impossible decision setting ({'|'.join(changed)})"):
        DecisionRules(**changed)


def test_relative_entropy() -> None:
    assert relative_entropy({"a": 1.0, "b": 0.0}) == 0
    assert relative_entropy({"a": 0.5, "b": 0.5}) == pytest.approx(1)
    assert relative_entropy({"a": 1.0}) == 0


# --- sinks -----------------------------------------------------------------------------------------------------

EVENT = SceneEvent(time_s=9.984, label="outdoor", confidence=0.9, latency_ms=12.3456, has_gap=True, changed=True,
                   probabilities={"indoor": 0.05, "outdoor": 0.9, "transportation": 0.05})


def test_json_lines() -> None:
    stream = io.StringIO()
    JsonLines(stream).emit(EVENT)
    assert stream.getvalue().count("\n") == 1
    assert json.loads(stream.getvalue()) == {
        "time_s": 9.984, "label": "outdoor", "confidence": 0.9, "latency_ms": 12.346, "has_gap": True, "changed": True,
        "probabilities": {"indoor": 0.05, "outdoor": 0.9, "transportation": 0.05}}


def test_text() -> None:
    stream = io.StringIO()
    Text(stream).emit(EVENT)
    assert stream.getvalue() == ("     9.984 s  outdoor         indoor   5.0%  outdoor  90.0%  transportation   5.0%"
                                 "  (samples lost)\n")


def test_a_missing_file_is_an_error_of_the_source(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such file"):
        list(file_source(tmp_path / "gone.wav", sample_rate_hz=RATE))
