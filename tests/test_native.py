"""The native engine: compiled for this machine, equal to TFLite's reference kernels, kept, and never trusted unseen."""

from __future__ import annotations

import dataclasses
import importlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_asc.bundle import Bundle, shipped_bundle
from edge_asc.errors import InputError, MissingDependencyError, VerificationError
from edge_asc.quantization import quantize
from edge_asc.runtime import NATIVE, Ensemble, find_engine, load_ensemble, processor, verify_bundle
from edge_asc.runtime.library_cache import cache_folder, find_library, keep_library, library_key
from firmware_export.export import read_networks
from firmware_export.host import find_compiler
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
    done = edge_asc("verify", BUNDLE, "--engine", NATIVE, env=environment(CC=str(compiler)))
    done.stderr = done.stderr.partition("once\n")[2]
    assert_one_error(done, "error: no such thing")
    assert list(cache.iterdir()) == []
    for value, message in (("no-such-compiler", "no-such-compiler"), ("'half a quote", "is no command")):
        assert_one_error(edge_asc("verify", BUNDLE, "--engine", NATIVE, env=environment(CC=value)), message)


def test_a_compiler_may_be_several_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "env -i 'PATH=/usr/bin' gcc")
    path, *arguments = find_compiler()
    assert (Path(path).name, arguments) == ("env", ["-i", "PATH=/usr/bin", "gcc"])


def test_systemd_is_asked_for_time_before_anything_is_compiled(cache: Path, tmp_path: Path) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\nexit 1\n")
    compiler.chmod(0o755)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        done = edge_asc("listen", "--stdin", "--bundle", BUNDLE, "--engine", NATIVE, stdin=subprocess.DEVNULL,
                        env=environment(CC=str(compiler), NOTIFY_SOCKET=str(tmp_path / "notify")))
        assert done.returncode == 1
        assert systemd.recv(4096).decode().startswith(f"STATUS=compiling {BUNDLE}")
    assert "does not compile" in done.stderr


MISCOMPILER = """#!{python}
import os, pathlib, re, sys

data = pathlib.Path(next(each for each in sys.argv if each.endswith("asc_model_data.c")))
if "-DASC_PLAIN_C=1" not in sys.argv:
    head, name, tail = data.read_text().rpartition("_bias[3] = {{")
    assert name
    data.write_text(head + name + re.sub(r"-?[0-9]+", lambda bias: str(int(bias[0]) + {error}), tail, count=1))
os.execvp("gcc", ["gcc", *sys.argv[1:]])
"""


def test_what_is_only_nearly_right_is_not_kept(cache: Path, bundle: Bundle, tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """A logit that is off by less than the golden clip's tolerance."""
    compiler = tmp_path / "cc"
    compiler.write_text(MISCOMPILER.format(python=sys.executable, error=300))
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    with pytest.raises(VerificationError, match=r"does not compute what plain C does.*the same bits"):
        load_ensemble(bundle, engine=NATIVE)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"no place for its compiled networks.*XDG_CACHE_HOME=FOLDER"):
        load_ensemble(bundle, engine=NATIVE)
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match=r"no place for its compiled networks.* CACHE_DIRECTORY=FOLDER"):
        load_ensemble(bundle, engine=NATIVE)


def test_a_user_without_a_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(InputError, match=r"found a user without a home folder.*XDG_CACHE_HOME=FOLDER"):
        cache_folder()


@pytest.mark.parametrize("package", ["firmware_export", "edge_asc.tflite_file"])
def test_other_sources_are_another_library(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    def key() -> str:
        return library_key(bundle, "int8-sparse", processor="this one", flags=())

    before, read = key(), Path.read_bytes
    folder = Path(str(importlib.import_module(package).__file__)).parent
    monkeypatch.setattr(Path, "read_bytes", lambda self: read(self) + b"#" * (folder in self.parents))
    assert key() != before


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
    for number in range(8):
        os.utime(next(cache.glob(f"key{number + 4}-*")), (2**32, 2**32))
    assert find_library("key11")
    kept = keep_library("new", b"written while the clock is behind")
    assert kept.exists()
    assert len(list(cache.iterdir())) == 8


def test_two_processes_may_tidy_up_at_once(cache: Path) -> None:
    cache.mkdir(parents=True)
    gone = cache / "key-gone.so"
    gone.symlink_to(cache / "nothing")  # as seen between the list and the look
    assert keep_library("key", b"library").exists()


def test_the_real_program_needs_no_interpreter(native: Ensemble, tmp_path: Path) -> None:
    """Neither an interpreter nor the exporter is imported once the library is there."""
    sound = Path(str(shipped_bundle())).parent / "clips" / "outdoor-rain.ogg"
    done = edge_asc("classify", sound, "--bundle", BUNDLE, "--engine", NATIVE,
                    env=environment(PYTHONPROFILEIMPORTTIME="1"))
    assert done.returncode == 0, done.stderr
    names = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert {"numpy", "edge_asc.runtime.native"} <= names, "the recording works"
    assert not {name.split(".")[0] for name in names} & {"ai_edge_litert", "tflite_runtime", "firmware_export"}
