"""The comparison with peers: ratios and verdicts on made-up times, the page, what peers are asked, block mixing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from benchmarks import block_mixing, claims, data_path, fresh_tracks, history, page, scaling
from benchmarks.peers.environments import REQUIREMENTS
from benchmarks.peers.field import NAIVE, ONNX_INT8, ONNX_OWN_INT8, PEERS, QUICK, TENSORFLOW, gather
from benchmarks.peers.prepare import prepare_question, variant_of
from benchmarks.peers.question import Question
from benchmarks.run import add_part
from benchmarks.sound_files import write_clips
from edge_asc.bench.contestants import Contestant
from edge_asc.bench.machine import State, describe_machine
from edge_asc.bench.measure import QUICK as QUICK_EFFORT
from edge_asc.bench.measure import Measured, Run
from edge_asc.bench.program import Observation
from edge_asc.bench.rounds import Times, Worker
from edge_asc.bench.statistics import ratio, summarize
from edge_asc.bench.summary import results
from edge_asc.bundle import Bundle
from edge_asc.errors import InputError, VerificationError
from tests.program import BUNDLE, ROOT

pytestmark = pytest.mark.train

N_MEMBERS = 3
HELD = {"value": 2.0, "low": 1.9, "high": 2.1, "n_rounds": 3, "wanted": 1.5}
DATA_PATH = {"ratios": {"front end, one hop": {**HELD, "wanted": 3.0}, "block mixing": HELD},
             "start of a member": {"first_batch_s": 9.0, "cpu_s": 8.0, "wanted_s": 15.0},
             "features over cores": {"1 processes, s": 2.0},
             "mixing on the fly": {"tracks_per_cpu_s": 200.0, "V": {"in memory": {"step_s": 0.4},
                                                                    "on the fly": {"step_s": 0.5, "waiting": 0.01}}}}
STATE = State(temperature_c=None, clock_mhz=None, throttled=(), n_throttle_events=None, load=0.0)


def measured(name: str, *, resident: int = 0, first_event_s: float = 0.0, about: dict[str, Any] | None = None,
             **tasks_ms: float) -> Measured:
    """A contestant that takes the same time in each of three rounds."""
    times = {task.replace("__", ", ").replace("_", " "): Times(wall_ms=[[ms] * 2] * 3, cpu_ms=[[ms] * 2] * 3)
             for task, ms in tasks_ms.items()}
    program = Observation(first_event_s=first_event_s, latency_ms=summarize([1.0]), cpu_s_per_s=0.01, n_hops=1,
                          memory_bytes={"resident": resident, "peak": resident}) if resident else None
    ratios = {task: ratio(each.cpu_ms, each.cpu_ms) for task, each in times.items()}
    return Measured(contestant=Contestant(name=name, serve=(), settings={}, about={
        "engine": name, "n_threads": 1, "hop_s": 1.0, **(about or {"peer": True})}), times=times, program=program,
        starts_s=[first_event_s] * 2, ratios=ratios, wall_ratios=ratios,
        checks=[{"name": "x", "difference": 0.0, "tolerance": 1.0, "ok": True}])


def a_run(*others: Measured) -> Run:
    ours = measured("litert, int8-dense", resident=100, first_event_s=0.5, hop=6.0, ensemble=5.0, front_end__hop=0.5,
                    front_end__window=5.0, member_v1=2.0, about={
                        "engine": "litert", "variant": "int8-dense", "n_members": N_MEMBERS})
    return Run(measured=[ours, *others], absent={"torchaudio": "no room"}, machine=describe_machine(), remarks=[],
               states=[STATE, STATE], effort=QUICK_EFFORT)


def test_claims_hold_miss_or_say_why_not() -> None:
    found = {each.claim.name: each for each in claims.judge(a_run(
        measured(NAIVE, resident=290, hop=24.0, ensemble=14.0, front_end__hop=1.0, front_end__window=8.0),
        measured(ONNX_INT8, ensemble=9.0), measured(ONNX_OWN_INT8, ensemble=7.5),
        measured(TENSORFLOW, resident=600, first_event_s=6.0)))}
    whole = found["CPU of a whole hop: naive / LiteRT int8"]
    assert whole.ratio
    assert (whole.ratio.value, whole.verdict) == (4.0, "holds")
    onnx = found["CPU of the networks: best ONNX Runtime int8 / LiteRT int8"]
    assert onnx.ratio
    assert onnx.ratio.value == pytest.approx(1.5), "the better of the two counts"
    assert found["memory of the program: naive / LiteRT int8"].verdict == "MISSED"
    front_end = found["CPU of the front end, one hop: librosa / edge-asc"]
    assert front_end.verdict == "MISSED"
    assert "FFT" in front_end.why_not
    assert not found["CPU of the front end, 10 s: librosa / edge-asc"].why_not, "it holds"
    assert found["time to the first event: TensorFlow / LiteRT int8"].verdict == "holds"
    native = found["CPU of a whole hop: naive / native"]
    assert (native.ratio, native.verdict, native.why_not) == (None, "not measured", "native is not there")


def test_native_is_found_by_its_engine() -> None:
    run = a_run(measured("native, int8-sparse", hop=2.0, ensemble=1.0, about={
        "engine": "native", "variant": "int8-sparse", "n_members": N_MEMBERS}), measured(NAIVE, hop=24.0))
    found = {each.claim.name: each for each in claims.judge(run)}
    assert found["CPU of a whole hop: naive / native"].verdict == "holds"
    assert found["CPU of the networks: LiteRT int8 / native"].verdict == "holds"


def test_page_and_results_of_a_run(tmp_path: Path) -> None:
    run = a_run(measured(NAIVE, resident=290, first_event_s=3.0, hop=24.0, ensemble=14.0, front_end__hop=1.0,
                         front_end__window=8.0))
    found = results(run, Bundle.load(BUNDLE))
    found["claims"] = [{"name": each.claim.name, "wanted": each.claim.wanted, "verdict": each.verdict,
                        "ratio": each.ratio and each.ratio.to_json(), "why_not": each.why_not} for each in
                       claims.judge(run)]
    found["scaling"] = {"members": scaling.curve("members", "CPU ms", {"litert": [(1.0, 2.0), (2.0, 4.0)]})}
    found["block_mixing"] = {"cpu_ms": {"segments only": 10.0}, "ratio": {"value": 5.0}}
    found["data_path"] = DATA_PATH
    jsonschema.validate(found, json.loads((ROOT / "edge_asc" / "bench" / "results.schema.json").read_text()))
    history.append(tmp_path / "history.jsonl", found)
    history.append(tmp_path / "history.jsonl", found)
    page.write(tmp_path, found, runs=history.read(tmp_path / "history.jsonl"))
    html, text = (tmp_path / "index.html").read_text(), (tmp_path / "index.md").read_text()
    for part in ("MISSED", "holds", "torchaudio", "no room", "CPU of a whole hop", "2 x",
                 "From recordings to trained members"):
        assert part in html
        assert part in text
    assert html.count("<img") == 8  # six bars, scaling, history


def test_a_part_that_fails_is_a_reason_on_the_page_and_takes_nothing_with_it(tmp_path: Path) -> None:
    def fails() -> dict[str, Any]:
        raise VerificationError("the two give different sound")

    found = results(a_run(), Bundle.load(BUNDLE)) | {"claims": []}
    assert add_part(found, "data path", lambda: {"data_path": DATA_PATH})
    assert not add_part(found, "block mixing", fails)
    page.write(tmp_path, found, runs=[])
    text = (tmp_path / "index.md").read_text()
    assert "| block mixing | failed: the two give different sound |" in text
    assert "From recordings to trained members" in text


def test_lines_through_members_and_hops() -> None:
    def case(**about: Any) -> Measured:
        base = {"engine": "litert", "variant": "int8-dense", "n_members": N_MEMBERS}
        ms = 1.0 + 2.0 * about.get("n_members", N_MEMBERS)
        return measured("x", hop=ms + about.get("hop_s", 1.0), ensemble=ms, about={**base, **about})

    run = a_run(*(case(n_members=n) for n in (1, 2)), case(hop_s=0.5), case(hop_s=5.0))
    run.measured[0] = case()
    found = scaling.from_run(run)
    assert sorted(found) == ["hop", "members"]
    (members,) = found["members"]["lines"]
    assert members["points"] == [(1.0, 3.0), (2.0, 5.0), (3.0, 7.0)]
    assert (members["fit"]["fixed"], members["fit"]["slope"]) == (pytest.approx(1.0), pytest.approx(2.0))
    assert found["hop"]["lines"][0]["fit"]["slope"] == pytest.approx(1.0)


def test_field_and_environments_fit_together() -> None:
    assert {peer.environment for peer in PEERS} <= set(REQUIREMENTS)
    assert set(QUICK) <= {peer.name for peer in PEERS}
    for peer in PEERS:
        assert (ROOT / "benchmarks" / "peers" / f"{peer.script}.py").is_file()


def test_peers_are_asked_what_the_bundle_answers(tmp_path: Path) -> None:
    """The naive pipeline in this very environment: verified and run once."""
    bundle = Bundle.load(BUNDLE)
    assert (variant_of(bundle, "int8"), variant_of(bundle, "float32")) == ("int8-sparse", "float32-sparse")
    question = Question.load(str(prepare_question(bundle, tmp_path)))
    assert question.spec["window_samples"] == bundle.features.window_samples
    assert np.array_equal(question.features, bundle.golden().features)
    (naive,), absent = gather(tmp_path, [NAIVE], own_environments=False, notify=lambda message: None)
    assert absent == {}
    with Worker(naive) as worker:
        assert all(check["ok"] for check in worker.checks)
        assert {"hop", "ensemble", "front end, hop", "front end, window"} == set(worker.tasks)
        assert worker.run("hop", budget_s=0.0, n_least=2)[0]
    with pytest.raises(InputError, match="no float16 variant"):
        variant_of(bundle, "float16")


@pytest.mark.filterwarnings("ignore:.*is deprecated and slated for removal:DeprecationWarning")  # librosa's audioread
def test_block_mixing_gives_the_same_sound_as_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    assert block_mixing.measure(n_rounds=1, n_tracks=1)["ratio"]["value"] > 0, "times only what gave the same sound"
    monkeypatch.setattr(block_mixing, "plain", lambda track: block_mixing.ours(track) + 2e-6)
    with pytest.raises(VerificationError, match="block mixing and its plain restatement differ"):
        block_mixing.measure(n_rounds=1, n_tracks=1)


@pytest.mark.filterwarnings("ignore:.*is deprecated and slated for removal:DeprecationWarning")  # librosa's audioread
def test_tracks_mixed_on_the_fly_are_trained_on_and_those_of_another_sound_are_not_timed(
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh_tracks, "MEMBERS", {"I": "i1"})
    monkeypatch.setattr(fresh_tracks, "best_executions", lambda recipe: {})
    found = fresh_tracks.measure(n_steps=1, n_tracks=3, batch_size=4)
    assert found["tracks_per_cpu_s"] > 0
    assert 0 < found["I"]["on the fly"]["waiting"] < 1
    monkeypatch.setattr(fresh_tracks, "make_tracks", lambda tracks, spec: np.zeros((1, 48, 467), np.float32))
    with pytest.raises(VerificationError, match="not those of its sound"):
        fresh_tracks.measure(n_tracks=3)


def test_the_data_path_is_verified_before_it_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_clips(tmp_path, 1)
    assert data_path._features(files, 1).value > 0
    ratios = data_path._front_end(1)
    assert all(each.value > 0 for each in ratios.values())
    monkeypatch.setattr(data_path, "plain_features", lambda samples: np.zeros((48, 467), np.float32))
    for measure in (lambda: data_path._front_end(1), lambda: data_path._features(files, 1)):
        with pytest.raises(VerificationError, match="ours and librosa's differ"):
            measure()


def test_the_data_path_says_what_holds() -> None:
    assert [row[4] for row in data_path.rows(DATA_PATH)] == ["MISSED", "holds", "holds", "-", "-", "-"]
