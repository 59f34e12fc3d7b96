"""Parity: real runtimes agree, and one that does not is found, at the layer where it begins."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from rich.console import Console

from edge_asc.bundle import Bundle, NewMember, save_bundle
from edge_asc.cli.parity import command
from edge_asc.errors import BundleError, DatasetError, MissingDependencyError, ModelFileError
from edge_asc.features import log_mel
from edge_asc.parity import Engine, Parity, compare_bundle, installed_engines, reference_from_bundle
from edge_asc.parity import engines as engines_module
from edge_asc.parity.layers import exposed, real, scale_of, stored_input
from edge_asc.parity.results import ENSEMBLE, FLOAT32, LayerComparison
from edge_asc.parity.tables import LEAST_WIDTH, print_parity, write_parity_page
from edge_asc.runtime import NATIVE, load_ensemble
from edge_asc.runtime.tolerances import LOGIT_STEPS, int8_tolerance
from edge_asc.spec import LABELS
from edge_asc.tflite_file import read_model
from edge_asc.train.parity_data import parity_data
from tests.program import BUNDLE
from tests.sounds import SPEC, sound
from tests.tflite_models import tflite_runtime_python
from tests.train.tiny_sounds import write_sounds

REFERENCE, BUILT_IN, USUAL = "LiteRT reference", "LiteRT built-in", "LiteRT"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(BUNDLE)


@pytest.fixture(scope="module")
def windows() -> NDArray[np.float32]:
    return np.stack([log_mel(sound(label, SPEC.window_s + 0.01, seed=seed), SPEC) for label in LABELS
                     for seed in range(3)])


@pytest.fixture(scope="module")
def engines() -> Iterator[list[Engine]]:
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv(engines_module.TFLITE_PYTHON, raising=False)
            found = stack.enter_context(installed_engines())
        yield found


@pytest.fixture(scope="module")
def parity(bundle: Bundle, windows: NDArray[np.float32], engines: list[Engine]) -> Parity:
    truth = np.repeat(np.arange(3), 3)
    reference = reference_from_bundle(bundle, windows, engine=engines[0], why="this is a test")
    return compare_bundle(bundle, windows, engines=engines, reference=reference, n_layer_windows=2, native=True,
                          judge=lambda rows: {"accuracy": float((rows.argmax(axis=1) == truth).mean())})


def layers_of(parity: Parity, **wanted: str) -> list[LayerComparison]:
    return [each for each in parity.layers if all(getattr(each, name) == value for name, value in wanted.items())]


def test_every_engine_of_this_machine_is_tried(engines: list[Engine], parity: Parity) -> None:
    assert [engine.name for engine in engines][:4] == [REFERENCE, BUILT_IN, USUAL, "LiteRT as stored"]
    assert engines[-1].name == "TFLite Micro"
    tried = {(each.variant, each.engine) for each in parity.answers}
    on_int8 = {engine for variant, engine in tried if variant == "int8-dense"}
    assert on_int8 == {REFERENCE, BUILT_IN, USUAL, "TFLite Micro", NATIVE}
    assert ("int8-sparse", "LiteRT as stored") in tried
    assert not {("float32-sparse", "TFLite Micro"), ("float32-sparse", NATIVE)} & tried
    assert not parity.refusals


def test_the_runtimes_agree_on_real_files(parity: Parity) -> None:
    assert parity.disagreements == []
    for each in parity.answers:
        if each.variant.startswith("int8") and each.engine != USUAL:
            assert each.from_first_engine == 0, "without a delegate: the same bits, also of native C"
        assert each.label_agreement == 1
        assert each.scores == {"accuracy": 1.0}
    floats = [each for each in parity.answers if each.variant == "float32-sparse"]
    assert max(each.largest_difference for each in floats) < 1e-6
    assert [each.member for each in floats[:4]] == [ENSEMBLE, "v1", "v2", "i1"]
    assert parity.reference_scores[ENSEMBLE] == {"accuracy": 1.0}
    assert "the reference is not Keras" in parity.notes[0]


def test_the_ensemble_is_the_mean_of_its_members(bundle: Bundle, windows: NDArray[np.float32], parity: Parity) -> None:
    rows = {variant: np.stack([load_ensemble(bundle, variant=variant, delegate=False).probabilities(window)
                               for window in windows]) for variant in ("int8-sparse", "float32-sparse")}
    difference = np.abs(rows["int8-sparse"] - rows["float32-sparse"])
    row = next(each for each in parity.ensembles() if (each.variant, each.engine) == ("int8-sparse", REFERENCE))
    assert row.largest_difference == pytest.approx(difference.max(), abs=1e-6)
    assert row.mean_difference == pytest.approx(difference.mean(), abs=1e-6)


def test_layers_are_compared_in_order_and_in_steps(bundle: Bundle, parity: Parity) -> None:
    model = read_model(bundle.member_bytes("v1", "int8-sparse"))
    comparison, = layers_of(parity, variant="int8-sparse", engine=REFERENCE, member="v1")
    assert comparison.against == FLOAT32
    assert [gap.operator for gap in comparison.gaps] == [operator.name for operator in model.operators]
    assert [gap.step for gap in comparison.gaps] == [scale_of(model.tensors[operator.outputs[0]])[0]
                                                     for operator in model.operators]
    assert 0 < comparison.gaps[0].mean_steps < 1 < max(gap.largest_steps for gap in comparison.gaps)
    first = comparison.first_beyond_a_step
    assert first is not None
    assert all(gap.largest_steps <= 1.001 for gap in comparison.gaps[:first.position])
    for each in layers_of(parity, variant="int8-sparse", engine="TFLite Micro"):
        assert each.against == REFERENCE
        assert each.first_beyond_a_step is None
        assert {gap.operator for gap in each.gaps if gap.n_different} <= {"FULLY_CONNECTED"}
    assert not layers_of(parity, engine="LiteRT as stored")


@pytest.mark.parametrize("variant", ["int8-sparse", "float32-sparse"])
def test_exposing_layers_changes_no_answer(bundle: Bundle, engines: list[Engine], windows: NDArray[np.float32],
                                           variant: str) -> None:
    for member in bundle.members:
        data = bundle.member_bytes(member.name, variant)
        whole, layers = exposed(data)
        model = read_model(data)
        assert layers[-1][1].index == model.outputs[0]
        for engine in engines:
            if engine.takes(data, variant):
                plain, = engine.run(data, stored_input(model, windows))
                np.testing.assert_array_equal(engine.run(whole, stored_input(model, windows))[-1], plain)


def changed(engine: Engine, *, layer: int, steps: int) -> Engine:
    """An engine that is off by so many steps from that layer on, where layers can be seen; else in its answers."""
    def run_file(data: bytes, inputs: list[NDArray[Any]], *, kernels: str) -> list[NDArray[Any]]:
        outputs = engine.run_file(data, inputs, kernels=kernels)
        return [(values.astype(np.int32) + (steps if number >= layer or len(outputs) == 1 else 0)).clip(-128, 127)
                .astype(np.int8) if values.dtype == np.int8 else values for number, values in enumerate(outputs)]

    return dataclasses.replace(engine, name="wrong", run_file=run_file)


def compared(bundle: Bundle, windows: NDArray[np.float32], engines: Sequence[Engine]) -> Parity:
    reference = reference_from_bundle(bundle, windows, engine=engines[0], why="test")
    return compare_bundle(bundle, windows, engines=engines, reference=reference, n_layer_windows=1)


def test_an_engine_that_is_wrong_is_found_with_its_layer(bundle: Bundle, engines: list[Engine],
                                                         windows: NDArray[np.float32]) -> None:
    parity = compared(bundle, windows[:2], [engines[0], changed(engines[0], layer=4, steps=3)])
    for each in layers_of(parity, variant="int8-dense", engine="wrong"):
        first = each.first_beyond_a_step
        assert first is not None
        assert first.position == 4
        assert first.largest_steps == pytest.approx(3, abs=0.01)
    assert {text.split(",")[0] for text in parity.disagreements} == {"int8-sparse on wrong", "int8-dense on wrong"}
    assert any(re.match(r"int8-dense on wrong, v1: layer 4 \w+ is up to 3 steps away in .* of", text)
               for text in parity.disagreements)


@pytest.mark.parametrize("kernels", ["reference", "delegate"])
def test_a_step_is_allowed_where_roundings_differ_and_not_everywhere(
        bundle: Bundle, engines: list[Engine], kernels: str, windows: NDArray[np.float32]) -> None:
    def off_by_one(every: int, operator: str = "") -> Engine:
        """One value of so many is a step too large, in every layer or in the layers of one operator."""
        def run_file(data: bytes, inputs: list[NDArray[Any]], *, kernels: str) -> list[NDArray[Any]]:
            outputs = engines[0].run_file(data, inputs, kernels=kernels)
            model = read_model(data)
            makes = {index: each.name for each in model.operators for index in each.outputs}
            for index, values in zip(model.outputs, outputs, strict=True):
                if values.dtype == np.int8 and len(outputs) > 1 and operator in ("", makes[index]):
                    values.reshape(-1)[::every] += np.where(values.reshape(-1)[::every] < 127, 1, -1).astype(np.int8)
            return outputs

        return dataclasses.replace(engines[0], name="off", kernels=kernels, run_file=run_file)

    def beyond(engine: Engine) -> set[int]:
        parity = compared(bundle, windows[:2], [engines[0], engine])
        return {each.beyond.position for each in parity.layers if each.beyond}

    assert beyond(off_by_one(every=2)) == {0}, "half of all values, as when cutting off: the first layer is named"
    assert beyond(off_by_one(every=60, operator="FULLY_CONNECTED")) == set()
    assert beyond(off_by_one(every=60)) == ({0} if kernels == "reference" else set())


def test_the_tolerance_of_an_answer_is_what_its_logits_can_do(bundle: Bundle, engines: list[Engine],
                                                              windows: NDArray[np.float32]) -> None:
    for member in bundle.members:
        model = read_model(bundle.member_bytes(member.name, "int8-sparse"))
        step = scale_of(model.tensors[model.operators[-1].inputs[0]])[0]
        logits = np.log(np.random.default_rng(0).dirichlet(np.ones(3), 2000))
        moved = [logits + LOGIT_STEPS * step * np.array(signs) for signs in ([1, -1, -1], [1, 1, -1], [-1, 1, 1])]
        largest = max(np.abs(_softmax(other) - _softmax(logits)).max() for other in moved)
        assert 0.5 * int8_tolerance(model) < largest + 1 / 256 <= int8_tolerance(model)
    assert int8_tolerance(read_model(bundle.member_bytes("v1", "float32-sparse"))) == 0


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def test_an_answer_that_does_not_follow_from_the_layers_is_found(bundle: Bundle, engines: list[Engine],
                                                                 windows: NDArray[np.float32]) -> None:
    """Right layer by layer, wrong as a whole: an engine that mixes up its memory, say."""
    wrong = changed(engines[0], layer=99, steps=40)
    parity = compared(bundle, windows[:2], [engines[0], wrong])
    assert not any(each.beyond for each in parity.layers)
    assert any(text.startswith("int8-dense on wrong, v1: 0.16 from LiteRT reference") for text in parity.disagreements)


def test_what_an_engine_refuses_is_said_and_never_voted_without(bundle: Bundle, engines: list[Engine],
                                                                windows: NDArray[np.float32]) -> None:
    bad = bundle.member_bytes("v2", "int8-dense")

    def run_file(data: bytes, inputs: list[NDArray[Any]], *, kernels: str) -> list[NDArray[Any]]:
        if data == bad:
            raise RuntimeError("operator 7 is too new\nfor me")
        return engines[0].run_file(data, inputs, kernels=kernels)

    parity = compared(bundle, windows[:2], [engines[0], dataclasses.replace(engines[0], name="old", run_file=run_file)])
    assert [(each.variant, each.member) for each in parity.refusals] == [("int8-dense", "v2")]
    assert parity.disagreements == ["int8-dense on old, v2: old refuses this file: operator 7 is too new"]
    assert not [each for each in parity.answers if (each.variant, each.engine) == ("int8-dense", "old")]


def test_what_the_first_engine_refuses_is_said_and_the_rest_goes_on(bundle: Bundle, engines: list[Engine],
                                                                    windows: NDArray[np.float32]) -> None:
    bad = bundle.member_bytes("v2", "int8-dense")
    refused = {bad, exposed(bad)[0]}

    def run_file(data: bytes, inputs: list[NDArray[Any]], *, kernels: str) -> list[NDArray[Any]]:
        if data in refused:
            raise RuntimeError("operator 7 is too new")
        return engines[0].run_file(data, inputs, kernels=kernels)

    parity = compared(bundle, windows[:1], [dataclasses.replace(engines[0], name="old", run_file=run_file), engines[1]])
    assert parity.disagreements == ["int8-dense on old, v2: old refuses this file: operator 7 is too new"]
    assert {each.engine for each in parity.answers if each.variant == "int8-dense"} == {BUILT_IN}
    assert {each.member for each in layers_of(parity, variant="int8-dense")} == {"v1", "i1"}
    assert {each.variant for each in parity.answers if each.engine == "old"} == {"float32-sparse", "int8-sparse"}


def test_what_does_not_compile_is_a_refusal(bundle: Bundle, engines: list[Engine], windows: NDArray[np.float32],
                                            tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    reference = reference_from_bundle(bundle, windows[:1], engine=engines[0], why="this is a test")
    parity = compare_bundle(bundle, windows[:1], engines=engines[:1], reference=reference, native=True)
    assert {(each.variant, each.engine, each.member) for each in parity.refusals} == {
        (variant, NATIVE, ENSEMBLE) for variant in bundle.variants if variant.startswith("int8")}
    assert not [each for each in parity.answers if each.engine == NATIVE]


def test_numbers_that_are_none_are_a_refusal(bundle: Bundle, engines: list[Engine],
                                             windows: NDArray[np.float32]) -> None:
    def run_file(data: bytes, inputs: list[NDArray[Any]], *, kernels: str) -> list[NDArray[Any]]:
        outputs = engines[0].run_file(data, inputs, kernels=kernels)
        return [values * np.float32(np.nan) if values.dtype == np.float32 else values for values in outputs]

    wrong = dataclasses.replace(engines[0], name="wrong", run_file=run_file)
    parity = compared(bundle, windows[:1], [engines[0], wrong])
    assert {each.variant for each in parity.refusals} == {"float32-sparse"}
    assert "not a number" in parity.refusals[0].reason


def test_real_values_are_what_the_runner_makes_of_stored_ones(bundle: Bundle, windows: NDArray[np.float32]) -> None:
    model = read_model(bundle.member_bytes("v1", "int8-sparse"))
    source = model.tensors[model.inputs[0]]
    again = real(stored_input(model, windows), source)[..., 0]
    assert np.abs(again - windows).max() <= 0.51 * scale_of(source)[0]


def test_a_bundle_without_a_float_variant_needs_keras(bundle: Bundle, engines: list[Engine], tmp_path: Path,
                                                      windows: NDArray[np.float32]) -> None:
    golden = bundle.golden()
    members = [NewMember(name=member.name, architecture=member.architecture, seed=member.seed,
                         models={"int8-dense": bundle.member_bytes(member.name, "int8-dense")})
               for member in bundle.members]
    small = save_bundle(tmp_path / "b", labels=bundle.labels, features=bundle.features, members=members, audit={},
                        golden=dataclasses.replace(golden, outputs={"int8-dense": golden.outputs["int8-dense"]}),
                        model_card="", made={}, default_variant="int8-dense")
    with pytest.raises(BundleError, match=r"no float variant to compare with; found int8-dense.*--run RUN"):
        reference_from_bundle(small, windows, engine=engines[0], why="test")


# Another interpreter ------------------------------------------------------------------------------------------------


def test_a_runtime_in_another_interpreter(bundle: Bundle, windows: NDArray[np.float32], engines: list[Engine],
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """The protocol, with this very interpreter and LiteRT in the part of tflite-runtime."""
    monkeypatch.setitem(engines_module.INTERPRETERS, "tflite-runtime", "ai_edge_litert.interpreter")
    monkeypatch.setattr(engines_module, "_module", lambda name: None)
    with installed_engines(tflite_python=sys.executable) as others:
        assert [each.name for each in others][:2] == ["tflite-runtime reference", "tflite-runtime built-in"]
        for variant in ("int8-sparse", "float32-sparse"):
            data = bundle.member_bytes("i1", variant)
            inputs = stored_input(read_model(data), windows)
            for other, engine in zip(others[:2], engines[:2], strict=True):
                for mine, theirs in zip(engine.run(data, inputs), other.run(data, inputs), strict=True):
                    np.testing.assert_array_equal(mine, theirs)
        raw = dataclasses.replace(others[0], as_stored=True)
        with pytest.raises(ModelFileError, match="tflite-runtime reference refuses this file"):
            raw.run(b"TFL3 no model", inputs)
        assert others[0].run(data, inputs), "it goes on after a refusal"


def test_an_interpreter_without_the_runtime(tmp_path: Path) -> None:
    for python in (sys.executable, tmp_path / "no" / "python"):
        with pytest.raises(MissingDependencyError, match="tflite-runtime"), installed_engines(tflite_python=python):
            pass
    (tmp_path / "dies").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "dies").chmod(0o755)
    with (pytest.raises(MissingDependencyError, match="found exit status 3"),
          installed_engines(tflite_python=tmp_path / "dies")):
        pass


def test_no_runtime_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(engines_module.TFLITE_PYTHON, raising=False)
    for name in ("ai_edge_litert.interpreter", "tflite_runtime", "tflite_runtime.interpreter"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match="no usable TFLite interpreter"), installed_engines():
        pass


def test_tflite_runtime_gives_the_same_bits(bundle: Bundle, windows: NDArray[np.float32]) -> None:
    with installed_engines(tflite_python=tflite_runtime_python()) as engines:
        assert [engine.name for engine in engines][4:7] == ["tflite-runtime reference", "tflite-runtime built-in",
                                                            "tflite-runtime"]
        parity = compared(bundle, windows[:3], engines)
    assert parity.disagreements == []
    plain = [each for each in parity.answers if each.engine == "tflite-runtime built-in"]
    assert len(plain) == 3 * 4
    assert max(each.from_first_engine for each in plain if each.variant.startswith("int8")) == 0


# What a reader sees ---------------------------------------------------------------------------------------------------


def test_json_has_everything(parity: Parity) -> None:
    values = json.loads(json.dumps(parity.to_json(), allow_nan=False))
    assert len(values["answers"]) == len(parity.answers)
    assert values["layers"][0]["gaps"][0]["operator"] == "MAX_POOL_2D"
    assert values["disagreements"] == []


@pytest.mark.parametrize("members", [False, True])
def test_tables_are_whole(parity: Parity, members: bool) -> None:
    console = Console(record=True, width=LEAST_WIDTH, file=io.StringIO())
    print_parity(parity, console, members=members)
    text = console.export_text()
    assert "…" not in text, "nothing is cut off"
    assert "same bits" in text
    for each in ("int8-dense", BUILT_IN, "TFLite Micro", "reference", "100.00%"):
        assert each in text
    assert ("\n   v2 " in text) == members


def test_the_page_names_what_disagrees(parity: Parity, tmp_path: Path) -> None:
    text = write_parity_page(parity, tmp_path / "p.html").read_text()
    assert "Every engine agrees with the first." in text
    first = dataclasses.replace(parity.answers[0], from_first_engine=0.5, allowed_from_first_engine=0.1)
    wrong = dataclasses.replace(parity, answers=(first, *parity.answers[1:]))
    text = write_parity_page(wrong, tmp_path / "p.html").read_text()
    assert "1 disagreements: float32-sparse on LiteRT reference, ensemble: 0.5 from" in text


# The verb -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sounds(tmp_path_factory.mktemp("sounds"))


def test_windows_of_a_data_set(bundle: Bundle, dataset: Path) -> None:
    data = parity_data(dataset, bundle, split="validation", max_windows=5)
    assert data.windows.shape == (5, SPEC.n_mels, SPEC.n_frames)
    assert float(data.windows[0].min()) == pytest.approx(float(data.windows[0].max()) - 80, abs=60)
    assert data.judge is not None
    assert data.judge(np.tile(np.array([1, 0, 0], np.float32), (5, 1)))["accuracy"] == pytest.approx(1 / 3)
    assert len(parity_data(dataset, bundle, split="train", max_windows=1000).windows) == 36
    with pytest.raises(DatasetError, match="no clips in its test split"):
        parity_data(dataset, bundle, split="test", max_windows=5)
    other = dataclasses.replace(bundle, labels=("a", "outdoor", "transportation"))
    with pytest.raises(DatasetError, match="labels that the bundle does not know; found indoor"):
        parity_data(dataset, other, split="validation", max_windows=9)


def test_the_verb_without_tensorflow(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("edge_asc.train.keras_reference", "edge_asc.train.member_files", "edge_asc.train.keras2"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in ("tf_keras", "tensorflow", "matplotlib", "matplotlib.figure", "edge_asc.train.parity_plots"):
        monkeypatch.setitem(sys.modules, name, None)
    arguments = [str(BUNDLE), str(dataset), "--max-windows", "4", "--layer-windows", "1"]
    done = CliRunner().invoke(command, [*arguments, "-o", str(tmp_path / "out")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "not Keras but float32-sparse of the bundle itself: TensorFlow is not installed" in done.output
    assert "no pictures: matplotlib is not installed" in done.stderr
    assert json.loads((tmp_path / "out" / "parity.json").read_text())["n_windows"] == 4
    assert "<html" in (tmp_path / "out" / "parity.html").read_text()
    with pytest.raises(MissingDependencyError, match=r"comparing with Keras needs.*edge-asc\[train\]"):
        CliRunner().invoke(command, [*arguments, "--run", "somewhere"], catch_exceptions=False)
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where nothing is compiled yet
    done = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
    found = json.loads(done.stdout)
    assert found["disagreements"] == []
    assert found["notes"][-1] == "the native engine is not compared: there is no C compiler (no-such-compiler)"
    assert NATIVE not in found["engines"]
