"""Members and ensembles on the real runtime, with the real sparse files of tests/golden/bundle."""

from __future__ import annotations

import dataclasses
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_asc.bundle import Bundle, NewMember, save_bundle
from edge_asc.errors import BundleError, InputError, MissingDependencyError, ModelFileError
from edge_asc.features import log_mel
from edge_asc.quantization import dequantize, quantize
from edge_asc.quiet import captured_stderr
from edge_asc.runtime import ENGINES, Ensemble, find_engine, load_ensemble, record_golden, verify_bundle
from edge_asc.runtime.engines import find_interpreter
from edge_asc.runtime.interpreter import InterpretedMember
from edge_asc.spec import LABELS
from tests.program import BUNDLE
from tests.sounds import SPEC, sound


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(BUNDLE)


@pytest.fixture(scope="module")
def windows() -> dict[str, np.ndarray]:
    return {label: log_mel(sound(label, SPEC.window_s + 0.01, seed=5), SPEC) for label in LABELS}


@pytest.mark.parametrize("variant", ["float32-sparse", "int8-sparse", "int8-dense"])
def test_an_ensemble_names_the_sounds_it_was_taught(bundle: Bundle, windows: dict[str, np.ndarray],
                                                    variant: str) -> None:
    notes: list[str] = []
    ensemble = load_ensemble(bundle, variant=variant, notify=notes.append)
    for label, window in windows.items():
        probabilities = ensemble.probabilities(window)
        assert ensemble.labels[probabilities.argmax()] == label
        assert probabilities.dtype == np.float32
        assert probabilities.sum() == pytest.approx(1, abs=0.02)
        rows = ensemble.member_probabilities(window)
        assert rows.shape == (3, 3)
        np.testing.assert_allclose(probabilities, rows.mean(axis=0), atol=1e-7)
    assert not notes, "sparse files are expanded, so no delegate has a reason to refuse"
    assert ensemble.description.startswith(f"3 members (v1, v2, i1), {variant}, litert")


def test_sparse_and_dense_files_give_the_same(bundle: Bundle, windows: dict[str, np.ndarray]) -> None:
    sparse, dense = (load_ensemble(bundle, variant=variant) for variant in ("int8-sparse", "int8-dense"))
    for window in windows.values():
        np.testing.assert_array_equal(sparse.member_probabilities(window), dense.member_probabilities(window))


def test_threads_and_delegate_change_nothing_that_matters(bundle: Bundle, windows: dict[str, np.ndarray]) -> None:
    usual = load_ensemble(bundle)
    others = [load_ensemble(bundle, n_threads=2), load_ensemble(bundle, delegate=False)]
    assert others[1].description.endswith("litert without delegate")
    for window in windows.values():
        for other in others:
            np.testing.assert_allclose(other.probabilities(window), usual.probabilities(window), atol=1e-6)


def test_a_delegate_that_refuses_is_done_without_and_that_is_said(
        bundle: Bundle, windows: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """The int8 sparse file as it is, which XNNPACK really refuses."""
    monkeypatch.setattr("edge_asc.runtime.interpreter._dense", lambda data, name: data)
    notes: list[str] = []
    member = InterpretedMember(bundle.member_bytes("v1", "int8-sparse"), name="v1", notify=notes.append)
    assert not member.uses_delegate
    assert len(notes) == 1
    assert notes[0].startswith("v1: the delegate refused this model (")
    expected = InterpretedMember(bundle.member_bytes("v1", "int8-dense"), delegate=False)
    for window in windows.values():
        np.testing.assert_array_equal(member.probabilities(window), expected.probabilities(window))


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\x00" * 4096, b"\x1c\x00\x00\x00TFL3" + b"\xff" * 999],
                         ids=["empty", "magic", "zeros", "ones"])
def test_a_file_that_is_no_model_is_an_error(data: bytes) -> None:
    with pytest.raises(ModelFileError, match="v1"):
        InterpretedMember(data, name="v1")


def test_a_member_that_does_not_fit_the_manifest_is_refused(bundle: Bundle) -> None:
    changes: list[dict[str, Any]] = [{"labels": ("a", "b")},
                                     {"features": dataclasses.replace(SPEC, n_frames=93)}]
    for change in changes:
        with pytest.raises(BundleError, match=r"member v1 \(float32-sparse\) does not fit the manifest"):
            load_ensemble(dataclasses.replace(bundle, **change))


def test_a_window_of_another_shape_is_refused(bundle: Bundle) -> None:
    with pytest.raises(InputError, match="takes another window"):
        load_ensemble(bundle).probabilities(np.zeros((SPEC.n_mels, SPEC.n_frames - 1), np.float32))


def test_an_answer_that_is_no_number_is_an_error(bundle: Bundle) -> None:
    window = np.full((SPEC.n_mels, SPEC.n_frames), np.nan, np.float32)
    with pytest.raises(ModelFileError, match="not a number"):
        load_ensemble(bundle).probabilities(window)


def test_unknown_names_are_refused(bundle: Bundle) -> None:
    with pytest.raises(InputError, match="no variant 'int4'; wanted one of float32-sparse, int8-sparse, int8-dense"):
        load_ensemble(bundle, variant="int4")
    with pytest.raises(InputError, match="no engine 'onnx'"):
        load_ensemble(bundle, engine="onnx")


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)  # how Python marks a module that must not be imported


def test_auto_takes_the_first_engine_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_engine() == "litert"
    other = types.ModuleType("tflite_runtime.interpreter")
    hide(monkeypatch, "ai_edge_litert.interpreter")
    monkeypatch.setitem(sys.modules, "tflite_runtime", types.ModuleType("tflite_runtime"))
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", other)
    assert find_interpreter() == ("tflite-runtime", other)
    assert find_engine() == "tflite-runtime"
    hide(monkeypatch, "tflite_runtime", "tflite_runtime.interpreter")
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_engine() == "native", "what was compiled before needs no compiler"


def test_no_engine_at_all_is_told_with_what_to_install(bundle: Bundle, monkeypatch: pytest.MonkeyPatch,
                                                       tmp_path: Path) -> None:
    hide(monkeypatch, "ai_edge_litert.interpreter", "tflite_runtime", "tflite_runtime.interpreter")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingDependencyError, match=r"apt install gcc.*pip install ai-edge-litert.*tflite-runtime\]"):
        load_ensemble(bundle, variant="int8-sparse")
    with pytest.raises(MissingDependencyError, match=r"pip install 'edge-asc\[tflite-runtime\]'"):
        find_engine("tflite-runtime")


def test_command_line_and_configuration_name_every_engine() -> None:
    from edge_asc.cli import options
    from edge_asc.listen import config

    assert options.ENGINES == config.ENGINES == ("auto", *ENGINES)


def test_verify_passes_and_says_how_far(bundle: Bundle) -> None:
    checks = verify_bundle(bundle, variants=bundle.variants)
    assert len(checks) == 1 + 3 * (3 + 1)
    assert [check.name for check in checks if not check.ok] == []
    assert verify_bundle(bundle)[1].name == "float32-sparse v1", "the default variant alone unless asked for more"


def test_verify_finds_a_member_that_computes_something_else(bundle: Bundle, tmp_path: Path) -> None:
    """All hashes right, but v2 holds v1's network."""
    def models(name: str) -> dict[str, bytes]:
        return {"float32-sparse": bundle.member_bytes(name, "float32-sparse")}

    golden = bundle.golden()
    outputs = {"float32-sparse": golden.outputs["float32-sparse"]}
    wrong = save_bundle(tmp_path / "wrong", labels=bundle.labels, features=bundle.features, made={}, audit={},
                        model_card="", default_variant="float32-sparse",
                        golden=dataclasses.replace(golden, outputs=outputs),
                        members=[NewMember(name=name, architecture="V(0,0,0,1)", seed=1, models=models(source))
                                 for name, source in (("v1", "v1"), ("v2", "v1"), ("i1", "i1"))])
    failed = [check.name for check in verify_bundle(wrong) if not check.ok]
    assert failed == ["float32-sparse v2", "float32-sparse ensemble, with delegate"]


def test_a_recorded_golden_clip_is_what_a_replay_gives(bundle: Bundle) -> None:
    samples = sound("transportation", SPEC.window_s + 0.2, seed=3)
    golden = record_golden(bundle, samples)
    assert set(golden.outputs) == set(bundle.variants)
    np.testing.assert_array_equal(golden.features, log_mel(samples, SPEC))
    np.testing.assert_allclose(golden.probabilities, golden.outputs["float32-sparse"].mean(axis=0))
    assert LABELS[golden.probabilities.argmax()] == "transportation"


def test_quantize_rounds_halves_away_from_zero_and_clips() -> None:
    values = np.array([0.5, -0.5, 1.5, 2.5, -2.5, 0.49999997, 1e9, -1e9, 126.6], np.float32)
    assert quantize(values, scale=1.0, zero_point=0).tolist() == [1, -1, 2, 3, -3, 0, 127, -128, 127]
    assert quantize(values[:3], scale=0.5, zero_point=-10).tolist() == [-9, -11, -7]


@given(st.integers(-128, 127), st.floats(2**-13, 8, width=32), st.integers(-128, 127))
def test_quantize_is_the_inverse_of_dequantize(value: int, scale: float, zero_point: int) -> None:
    step = np.array([value], np.int8)
    real = dequantize(step, scale=scale, zero_point=zero_point)
    assert quantize(real, scale=scale, zero_point=zero_point).tolist() == [value]


def test_stderr_of_c_code_is_captured_and_then_free_again(capfd: pytest.CaptureFixture[str]) -> None:
    import os

    with captured_stderr() as text:
        os.write(2, b"INFO: a delegate\n")
        assert text() == "INFO: a delegate\n"
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_loading_prints_nothing(bundle: Bundle, capfd: pytest.CaptureFixture[str]) -> None:
    load_ensemble(bundle)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_an_ensemble_is_the_mean_of_all_its_members(bundle: Bundle, windows: dict[str, np.ndarray]) -> None:
    members = load_ensemble(bundle).members
    window = windows["indoor"]
    single = [Ensemble([member], labels=LABELS, features=SPEC, variant="x").probabilities(window) for member in members]
    all_of_them = Ensemble(members, labels=LABELS, features=SPEC, variant="x").probabilities(window)
    np.testing.assert_allclose(all_of_them, np.mean(single, axis=0), atol=1e-7)
