"""Benchmarks: the arithmetic on known numbers, the protocol between parent and worker, and one quick run for real."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asc.bench import advice, energy, guard, machine
from edge_asc.bench.cases import choose
from edge_asc.bench.contestants import Contestant
from edge_asc.bench.memory import memory_bytes
from edge_asc.bench.rounds import Worker, groups, start_workers, take_turns, turned
from edge_asc.bench.statistics import fit_line, ratio, summarize
from edge_asc.bundle import Bundle
from edge_asc.errors import EdgeAscError, InputError, VerificationError
from edge_asc.report import Section, Table, markdown
from tests.conftest import require_program
from tests.program import BUNDLE, ROOT, assert_one_error, edge_asc

SCHEMA = json.loads((ROOT / "edge_asc" / "bench" / "results.schema.json").read_text())


# --- statistics ------------------------------------------------------------------------------------------------

def test_summary_of_known_numbers() -> None:
    found = summarize(list(range(1, 201)))
    assert (found.n, found.p50, found.max, found.mean) == (200, 100.5, 200, 100.5)
    assert (found.p95, found.p99) == pytest.approx((190.05, 198.01))


def test_too_few_repetitions_have_no_p99() -> None:
    assert summarize([1.0] * 99).p99 is None
    assert summarize([1.0] * 100).p99 == 1.0
    with pytest.raises(InputError, match="nothing was measured"):
        summarize([])


def test_ratio_is_taken_within_rounds() -> None:
    """The machine is ten times slower in the second round; what ran in the same round still compares."""
    first, second = [[4.0, 4.0], [40.0, 44.0], [4.0]], [[2.0], [20.0, 22.0], [2.0]]
    found = ratio(first, second)
    assert found.value == pytest.approx(2.0)
    assert (found.low, found.high, found.n_rounds) == (pytest.approx(2.0), pytest.approx(2.0), 3)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=12), st.floats(0.1, 10))
def test_ratio_of_multiples(values: list[float], factor: float) -> None:
    found = ratio([[value * factor] for value in values], [[value] for value in values])
    assert found.low <= found.value * (1 + 1e-9)
    assert found.value == pytest.approx(factor)
    assert found.value <= found.high * (1 + 1e-9)


def test_ratio_needs_the_same_rounds() -> None:
    with pytest.raises(InputError, match="same rounds"):
        ratio([[1.0]], [[1.0], [1.0]])


@given(st.floats(-10, 10), st.floats(-10, 10))
def test_line_through_points_on_a_line(fixed: float, slope: float) -> None:
    line = fit_line([1, 2, 4, 8], [fixed + slope * x for x in (1, 2, 4, 8)])
    assert (line.fixed, line.slope) == (pytest.approx(fixed, abs=1e-6), pytest.approx(slope, abs=1e-6))
    assert line.at(3) == pytest.approx(fixed + 3 * slope, abs=1e-6)


def test_line_through_noise_says_so() -> None:
    assert fit_line([1, 2, 3, 4], [1.0, -1.0, 1.0, -1.0]).r_squared < 0.3
    with pytest.raises(InputError, match="two points"):
        fit_line([1, 1], [1, 2])


# --- the machine -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("text", "now", "before"), [
    ("throttled=0x0\n", (), ()),
    ("throttled=0x50005\n", ("under-voltage", "throttled"), ("under-voltage", "throttled")),
    ("throttled=0x80008", ("soft temperature limit",), ("soft temperature limit",)),
    ("throttled=0x20000", (), ("clock capped",)),
    ("VCHI initialization failed", (), ()), ("", (), ()),
])
def test_throttled_flags_of_a_pi(text: str, now: tuple[str, ...], before: tuple[str, ...]) -> None:
    assert machine.parse_throttled(text) == (now, before)


def state(**changes: Any) -> machine.State:
    values: dict[str, Any] = {"temperature_c": 50.0, "clock_mhz": 1500.0, "throttled": (), "n_throttle_events": 3,
                              "load": 0.1}
    return machine.State(**{**values, **changes})


def test_a_calm_run_has_no_remarks() -> None:
    # A governor that wakes up makes the clock rise; that is not throttling.
    assert machine.judge([state(clock_mhz=600.0), state(), state(temperature_c=60.0)]) == []
    assert machine.judge([]) == []


def test_a_throttled_run_says_so() -> None:
    assert machine.judge([state(), state(throttled=("throttled", "under-voltage")), state()]) == [
        "the machine was throttled at 1 of 3 looks: throttled, under-voltage"]
    assert machine.judge([state(), state(n_throttle_events=5)]) == ["the processor throttled 2 times for heat"]
    assert machine.judge([state(), state(), state(clock_mhz=1000.0), state(clock_mhz=1000.0)]) == [
        "the clock fell from 1500 to 1000 MHz"]
    silent = state(temperature_c=None, clock_mhz=None, n_throttle_events=None)
    assert machine.judge([silent, silent]) == []


def test_memory_is_the_kernels(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n")
    (tmp_path / "7" / "smaps_rollup").write_text("0-1 ---p [rollup]\nRss: 9 kB\nPss: 5 kB\nPrivate_Clean: 1 kB\n"
                                                 "Private_Dirty: 3 kB\nSwap: 0 kB\n")
    assert memory_bytes(7, proc=tmp_path) == {"peak": 2 << 20, "resident": 1 << 20, "proportional": 5120,
                                              "private": 4096, "swapped": 0}
    assert memory_bytes(8, proc=tmp_path) == {}
    own = memory_bytes(os.getpid())
    assert own["peak"] >= own["resident"] > 10 << 20


# --- energy ----------------------------------------------------------------------------------------------------

def test_the_estimate_is_named_one() -> None:
    found = energy.estimate(macs_per_s=1e9, bytes_per_s=1e6, precision="int8")
    assert found.j_per_s == pytest.approx(0.23e-3 + 0.16e-3)
    assert found.is_estimate
    assert found.how.startswith("estimate: ")
    wide = energy.estimate(macs_per_s=1e9, bytes_per_s=0, precision="float16")
    assert wide.j_per_s == energy.estimate(macs_per_s=1e9, bytes_per_s=0, precision="float32").j_per_s


def test_the_power_monitor_of_a_pi() -> None:
    text = "     VDD_CORE_A current(7)=2.00000000A\n     3V3_SYS_A current(1)=0.5A\n     VDD_CORE_V volt(15)=0.75V\n"
    assert energy.pi_watts(text + "     3V3_SYS_V volt(9)=3.3V\n EXT5V_V volt(24)=5.1V\n") == pytest.approx(3.15)
    assert energy.pi_watts("") is None


def test_rapl_counts_whole_packages_and_survives_its_wrap(tmp_path: Path) -> None:
    for name in ("intel-rapl:0", "intel-rapl:0:0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text("9000000\n")
        (tmp_path / name / "max_energy_range_uj").write_text("10000000\n")
    meter = energy.Meter.find(rapl=tmp_path)
    assert meter
    assert meter.used_by(lambda: (tmp_path / "intel-rapl:0" / "energy_uj").write_text("9500000"))[0] == 0.5
    assert meter.used_by(lambda: (tmp_path / "intel-rapl:0" / "energy_uj").write_text("500000"))[0] == 1.0
    assert energy.Meter.find(rapl=tmp_path / "absent") is None


# --- advice ----------------------------------------------------------------------------------------------------

COST = advice.cost(hop_ms=30.0, front_end_ms=4.0, ensemble_ms=20.0, member_ms=5.0, hop_s=1.0)


def test_headroom_by_hand() -> None:
    fits = {fit.hop_s: fit for fit in advice.advise(COST, hops_s=(0.01, 0.1, 1.0))}
    # At 1 s: 700 ms less 6 (rest) less 4 (front end) leave room for 138 of 5 ms.
    assert fits[1.0].n_members == 138
    assert fits[1.0].share == pytest.approx(0.030)
    assert fits[0.1].n_members == math.floor((70 - 6 - 0.4) / 5)
    assert (fits[0.01].n_members, fits[0.01].fits) == (0, False)


@given(st.floats(0.01, 500), st.floats(0, 100), st.floats(0, 50))
def test_what_is_advised_fits(member_ms: float, front_end_ms: float, rest_ms: float) -> None:
    cost = advice.cost(hop_ms=rest_ms + front_end_ms + member_ms, front_end_ms=front_end_ms, ensemble_ms=member_ms,
                       member_ms=member_ms, hop_s=1.0)
    for fit in advice.advise(cost):
        room_ms = advice.HEADROOM * fit.hop_s * 1000
        assert not fit.n_members or cost.hop_ms(fit.hop_s, n_members=fit.n_members) <= room_ms * (1 + 1e-9)
        assert cost.hop_ms(fit.hop_s, n_members=fit.n_members + 1) > room_ms * (1 - 1e-9)


def test_advice_in_words() -> None:
    good = advice.sentence(advice.advise(COST), n_members=4)
    assert good.startswith("All 4 members fit from a hop of 0.1 s on (26.4% of it used); at 1 s there is room for 138")
    slow = advice.cost(hop_ms=9000, front_end_ms=100, ensemble_ms=8900, member_ms=900, hop_s=1.0)
    assert "do not fit into a hop of 5 s with headroom; 3 would" in advice.sentence(advice.advise(slow), n_members=10)


# --- the guard -------------------------------------------------------------------------------------------------

def baseline(path: Path, **ratios: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"measured_on": "a machine", "ratios": ratios}))
    return path


def test_guard_fails_below_the_band_only(tmp_path: Path) -> None:
    expected = guard.read_baseline(baseline(tmp_path / "b.json", hop={"value": 5.0, "band": 0.2, "wanted": 4.5},
                                            start={"value": 10.0, "band": 0.1}))
    inside, outside = guard.judge({"hop": 4.1, "start": 8.9}, expected)
    assert (inside.ok, inside.keeps_promise) == (True, False)
    assert (outside.ok, outside.keeps_promise) == (False, None)
    assert str(outside) == "start: 8.90, wanted at least 10.00 less 10% of noise (9.00)"


def test_guard_misses_what_was_not_measured(tmp_path: Path) -> None:
    expected = guard.read_baseline(baseline(tmp_path / "b.json", hop={"value": 5.0, "band": 0.2}))
    (verdict,) = guard.judge({"hop": math.nan}, expected)
    assert not verdict.ok
    (verdict,) = guard.judge({}, expected)
    assert not verdict.ok
    assert "not measured" in str(verdict)
    assert guard.judge({}, expected, only=frozenset()) == []


@pytest.mark.parametrize("text", ["", "[]", '{"ratios": {"a": 5}}', '{"ratios": {"a": {"value": 1, "band": 1.5}}}',
                                  '{"ratios": {"a": {"value": -1, "band": 0.1}}}'])
def test_damaged_baseline_is_one_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(InputError, match=r"b\.json"):
        guard.read_baseline(tmp_path / "b.json")
    with pytest.raises(InputError, match=r"absent\.json"):
        guard.read_baseline(tmp_path / "absent.json")


def test_writing_a_baseline_keeps_bands_and_what_was_not_measured(tmp_path: Path) -> None:
    path = baseline(tmp_path / "b.json", hop={"value": 5.0, "band": 0.4}, start={"value": 9.0, "band": 0.1})
    guard.write_baseline(path, {"hop": 6.0, "new": 2.0}, machine="another", old=guard.read_baseline(path),
                         wanted={"new": 1.0})
    found = guard.read_baseline(path)
    assert (found["hop"].value, found["hop"].band, found["start"].value) == (6.0, 0.4, 9.0)
    assert (found["new"].band, found["new"].wanted) == (guard.DEFAULT_BAND, 1.0)


def test_the_committed_baseline_can_be_read() -> None:
    assert guard.read_baseline(ROOT / "benchmarks" / "baseline.json")


# --- workers ---------------------------------------------------------------------------------------------------

WORKER = """
import sys
from edge_asc.bench.serve import Prepared, check, serve
def prepare(settings):
    if settings["fails"]:
        raise ImportError("no module named peer")
    print("libraries print what they like")
    return Prepared(tasks={name: (lambda: sum(range(1000))) for name in settings["tasks"]}, description="a sum",
                    checks=[check("sum", settings["difference"], 0.1)])
serve(prepare)
"""


def worker(name: str = "w", *, difference: float = 0.0, fails: bool = False,
           tasks: tuple[str, ...] = ("hop",)) -> Contestant:
    return Contestant(name=name, serve=(sys.executable, "-c", WORKER),
                      settings={"difference": difference, "fails": fails, "tasks": tasks})


def test_worker_verifies_then_times() -> None:
    with Worker(worker()) as running:
        assert (running.description, running.tasks) == ("a sum", ["hop"])
        wall_ms, cpu_ms = running.run("hop", budget_s=0.0, n_least=7)
        assert len(wall_ms) == len(cpu_ms) == 7
        assert min(wall_ms) > 0
        assert running.memory_bytes()["peak"] > 1 << 20


@pytest.mark.parametrize("difference", [0.2, math.nan, math.inf])
def test_worker_with_a_wrong_answer_is_not_timed(difference: float) -> None:
    with pytest.raises(VerificationError, match="does not compute what was recorded"):
        Worker(worker(difference=difference))


@pytest.mark.parametrize(("broken", "reason"), [
    (worker(fails=True), "no module named peer"),
    (Contestant(name="gone", serve=("/nowhere/python",), settings={}), "cannot be started"),
    (Contestant(name="dead", serve=(sys.executable, "-c", "raise SystemExit('I am dead')"), settings={}), "I am dead"),
], ids=["fails", "gone", "dead"])
def test_worker_that_cannot_start_says_why(broken: Contestant, reason: str) -> None:
    with pytest.raises(EdgeAscError, match=reason):
        Worker(broken)
    absent: dict[str, str] = {}
    with start_workers([broken, worker("good")], absent.__setitem__) as workers:
        assert [each.name for each in workers] == ["good"]
    assert reason in absent[broken.name]


def test_turns_give_everyone_the_same_rounds() -> None:
    with start_workers([worker("a", tasks=("hop", "other")), worker("b")], lambda name, why: None) as workers:
        found = take_turns(workers, n_rounds=3, budget_s=0.0, n_least=2)
    assert {name: sorted(tasks) for name, tasks in found.items()} == {"a": ["hop", "other"], "b": ["hop"]}
    assert [len(values) for values in found["b"]["hop"].wall_ms] == [2, 2, 2]
    assert len(found["a"]["hop"].all_cpu_ms()) == 6


@given(st.integers(1, 9), st.integers(0, 40))
def test_every_order_holds_everyone_once(n: int, number: int) -> None:
    assert sorted(turned(range(n), number)) == list(range(n))


def test_nobody_always_comes_first() -> None:
    assert {turned(["a", "b", "c"], number)[0] for number in range(3)} == {"a", "b", "c"}


@given(st.integers(1, 20), st.integers(1, 8))
def test_the_reference_is_in_every_group(n: int, size: int) -> None:
    contestants = [worker(str(i)) for i in range(n)]
    found = groups(contestants, size=size)
    assert all(group[0].name == "0" and len(group) <= max(2, size) for group in found)
    assert sorted({each.name for group in found for each in group}, key=int) == [str(i) for i in range(n)]


# --- the page --------------------------------------------------------------------------------------------------

def test_markdown_holds_tables_and_escapes_bars() -> None:
    text = markdown("T", "lead", [Section(heading="A", text="words", table=Table(columns=["x", "y"],
                                                                                rows=[["a|b", "1"]]))])
    assert text == "# T\n\nlead\n\n## A\n\nwords\n\n| x | y |\n|---|---:|\n| a\\|b | 1 |\n"


# --- for real --------------------------------------------------------------------------------------------------

@pytest.mark.tool
def test_quick_run_for_real(tmp_path: Path) -> None:
    require_program("gcc")
    done = edge_asc("bench", BUNDLE, "--quick", "--json", "--out", tmp_path / "out", "--engine", "litert",
                    "--engine", "native", "--variant", "int8-dense")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    jsonschema.validate(found, SCHEMA)
    assert [case["engine"] for case in found["cases"]] == ["litert", "native"]
    tasks = {"hop", "front end, hop", "front end, window", "ensemble", "member v1", "member i1"}
    for case in found["cases"]:
        assert tasks <= set(case["tasks"])
        assert all(times["wall_ms"]["p50"] > 0 for times in case["tasks"].values())
        assert case["program"]["memory_bytes"]["peak"] > 20 << 20
        assert case["program"]["cpu_s_per_s"] > 0
        assert 0.05 < case["program"]["first_event_s"] < 60
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == found
    assert "## Headroom" in (tmp_path / "out" / "results.md").read_text()


def test_damaged_bundle_is_one_error(tmp_path: Path) -> None:
    assert_one_error(edge_asc("bench", tmp_path / "nothing", "--quick"), "nothing")


@pytest.mark.parametrize(("arguments", "part"), [(("--engine", "abacus"), "no such engine here: abacus"),
                                                 (("--variant", "int4-dense"), "no variant 'int4-dense'")])
def test_unknown_choice_is_one_error(arguments: tuple[str, str], part: str) -> None:
    assert_one_error(edge_asc("bench", BUNDLE, "--quick", *arguments), part)


@pytest.mark.tool
def test_an_engine_that_has_no_variant_to_run_is_not_left_out_silently() -> None:
    require_program("gcc")
    bundle = Bundle.load(BUNDLE)
    cases, absent = choose(bundle, engines=["litert", "native"], variants=["float32-sparse"], quick=True)
    assert [case.about["engine"] for case in cases] == ["litert"]
    assert absent["native"] == "computes int8 only, and not float32-sparse"
    cases, absent = choose(bundle, engines=["litert"], variants=["float32-sparse"], quick=True)
    assert "native" not in absent, "nobody asked for it"


def test_samples_reach_the_program_as_they_are() -> None:
    """The golden clip of a bundle lies on the grid of 16 bits, so the program hears exactly what the worker hears."""
    samples = Bundle.load(BUNDLE).golden().samples
    assert np.array_equal(np.rint(samples * 32768), samples * np.float32(32768))
