"""The native engine: compiled for this machine, equal to TFLite's reference kernels, kept, and never trusted unseen."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_asc.bundle import Bundle, shipped_bundle
from edge_asc.errors import InputError, MissingDependencyError, VerificationError
from edge_asc.quantization import quantize
from edge_asc.runtime import NATIVE, Ensemble, find_engine, load_ensemble, processor, verify_bundle
from edge_asc.runtime.library_cache import cache_folder, find_library, keep_library
from firmware_export.export import read_networks
from firmware_export.proof.judge import member_outputs
from tests.conftest import require_program
from tests.program import BUNDLE, assert_one_error, edge_asc, environment

pytestmark = pytest.mark.tool


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(BUNDLE)


@pytest.fixture(scope="module")
def native(bundle: Bundle) -> Ensemble:
    require_program("gcc")
    return load_ensemble(bundle, engine=NATIVE)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an empty one."""
    require_program("gcc")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "edge-asc"


def windows(bundle: Bundle, n: int) -> NDArray[np.float32]:
    """In dB: a real one, the extremes, then noise."""
    real, rng = bundle.golden().features, np.random.default_rng(0)
    noise = rng.uniform(-120, 30, (n, *real.shape)).astype(np.float32)
    return np.concatenate([real[np.newaxis], np.full_like(noise[:1], -200), np.full_like(noise[:1], 200), noise])


@pytest.mark.parametrize("variant", ["int8-sparse", "int8-dense"])
def test_every_bit_is_that_of_the_reference_kernels(bundle: Bundle, variant: str) -> None:
    """Those of TFLite Micro. LiteRT's built-in kernels are its optimised ones, and some steps away at the extremes."""
    pytest.importorskip("tflite_micro")
    require_program("gcc")
    native = load_ensemble(bundle, variant=variant, engine=NATIVE)
    asked = windows(bundle, 20)
    found = np.stack([native.member_probabilities(window) for window in asked], axis=1)
    names = [member.name for member in native.members]
    for network, rows in zip(read_networks(bundle, names, variant), found, strict=True):
        entry, exit_ = network.activations[network.input], network.activations[network.output]
        levels = [quantize(window.T, scale=float(entry.scale), zero_point=entry.zero_point) for window in asked]
        wanted = member_outputs(bundle, network.name, variant, np.stack(levels))
        assert np.array_equal(np.rint(rows / float(exit_.scale)).astype(int) + exit_.zero_point, wanted)


def test_the_bundle_in_the_box_computes_what_was_recorded() -> None:
    require_program("gcc")
    bundle = Bundle.load(shipped_bundle())
    checks = verify_bundle(bundle, engine=NATIVE)
    assert len(checks) == 1 + len(bundle.members) + 1
    assert max(check.difference for check in checks[1:]) == 0


def test_members_alone_and_on_threads_answer_the_same(bundle: Bundle, native: Ensemble) -> None:
    threads = load_ensemble(bundle, engine=NATIVE, n_threads=2)
    for window in windows(bundle, 3):
        rows = native.member_probabilities(window)
        np.testing.assert_array_equal(threads.member_probabilities(window), rows)
        np.testing.assert_array_equal([member.probabilities(window) for member in native.members], rows)
        np.testing.assert_array_equal(native.probabilities(window), rows.mean(axis=0))


def test_it_says_what_it_is(native: Ensemble) -> None:
    assert native.description.startswith("3 members (v1, v2, i1), int8-sparse, native (")
    assert find_engine(NATIVE) == NATIVE


def test_other_windows_and_float_variants_are_refused(bundle: Bundle, native: Ensemble) -> None:
    with pytest.raises(InputError, match="takes another window"):
        native.probabilities(np.zeros((3, 4), np.float32))
    with pytest.raises(InputError, match="int8 only; found float32-sparse"):
        load_ensemble(bundle, variant="float32-sparse", engine=NATIVE)
    only_float = dataclasses.replace(bundle, members=tuple(
        dataclasses.replace(member, files={"float32-sparse": member.files["float32-sparse"]})
        for member in bundle.members))
    with pytest.raises(InputError, match="int8 only"):
        load_ensemble(only_float, engine=NATIVE)


def test_what_was_compiled_needs_no_compiler_any_more(bundle: Bundle, cache: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    load_ensemble(bundle, engine=NATIVE, notify=said.append)
    assert [line.partition(" ")[0] for line in said] == ["compiling"]
    assert len(list(cache.iterdir())) == 1, "and nothing of the work is left"
    monkeypatch.setenv("PATH", "/nowhere")
    load_ensemble(bundle, engine=NATIVE, notify=said.append)
    assert len(said) == 1
    monkeypatch.setattr(processor, "description", lambda: "another processor")
    with pytest.raises(MissingDependencyError, match=r"no C compiler.*sudo apt install gcc"):
        load_ensemble(bundle, engine=NATIVE, notify=said.append)


def test_a_damaged_library_is_made_again(bundle: Bundle, cache: Path) -> None:
    load_ensemble(bundle, engine=NATIVE)
    path = next(cache.iterdir())
    data = path.read_bytes()
    path.unlink()  # it is mapped into this process
    path.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    load_ensemble(bundle, engine=NATIVE)
    assert [each.read_bytes() for each in cache.iterdir()] == [data]


@pytest.mark.parametrize("damage", [b"", b"half a libr", b"half a librarY"])
def test_a_damaged_library_is_never_found(cache: Path, damage: bytes) -> None:
    cache.mkdir(parents=True)
    path = keep_library("key", b"half a library")
    assert find_library("key") == path
    path.write_bytes(damage)
    assert find_library("key") is None
    assert not path.exists()


def test_what_computes_something_else_is_not_kept(bundle: Bundle, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    golden = bundle.golden()
    outputs = {name: np.roll(rows, 1, axis=1) for name, rows in golden.outputs.items()}
    monkeypatch.setattr(Bundle, "golden", lambda self: dataclasses.replace(golden, outputs=outputs))
    with pytest.raises(VerificationError, match="does not compute what was recorded"):
        load_ensemble(bundle, engine=NATIVE)
    assert list(cache.iterdir()) == []


def test_a_compiler_that_fails_is_quoted(cache: Path, tmp_path: Path) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho asc.c:1: error: no such thing >&2\nexit 1\n")
    compiler.chmod(0o755)
    for value, message in ((str(compiler), "error: no such thing"), ("no-such-compiler", "no-such-compiler")):
        done = edge_asc("verify", BUNDLE, "--engine", NATIVE, env=environment(CC=value))
        done.stderr = done.stderr.partition("once\n")[2]
        assert_one_error(done, message)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"no place for its compiled networks.*XDG_CACHE_HOME=FOLDER"):
        load_ensemble(bundle, engine=NATIVE)


def test_systemd_says_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", f"{tmp_path}:/other")
    assert cache_folder() == tmp_path


def test_only_the_newest_libraries_are_kept(cache: Path) -> None:
    cache.mkdir(parents=True)
    for number in range(12):
        path = keep_library(f"key{number}", b"library %d" % number)
        os.utime(path, (number, number))
    assert find_library("key0") is None
    assert find_library("key11")
    assert len(list(cache.iterdir())) == 8


def test_the_real_program_needs_no_interpreter(native: Ensemble, tmp_path: Path) -> None:
    """Neither an interpreter nor the exporter is imported once the library is there."""
    sound = Path(str(shipped_bundle())).parent / "clips" / "outdoor-rain.ogg"
    done = edge_asc("classify", sound, "--bundle", BUNDLE, "--engine", NATIVE,
                    env=environment(PYTHONPROFILEIMPORTTIME="1"))
    assert done.returncode == 0, done.stderr
    names = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert {"numpy", "edge_asc.runtime.native"} <= names, "the recording works"
    assert not {name.split(".")[0] for name in names} & {"ai_edge_litert", "tflite_runtime", "firmware_export"}
