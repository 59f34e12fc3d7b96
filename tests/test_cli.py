"""The real program as a subprocess: what it prints, how it exits, and one clear error for everything that is bad."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from edge_asc.cli import VERBS
from edge_asc.spec import LABELS
from tests.conftest import WavFile
from tests.program import BUNDLE, ROOT, assert_one_error, command_line, edge_asc, environment
from tests.sounds import SPEC, sound
from tests.tflite_models import tflite_runtime_python

RATE = SPEC.sample_rate_hz
MINE = ["listen", "classify", "devices", "verify"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 s of each label, one after the other."""
    path = tmp_path_factory.mktemp("sound") / "scenes.wav"
    soundfile.write(path, np.concatenate([sound(label, 2, seed=i) for i, label in enumerate(LABELS)]), RATE)
    return path


@pytest.fixture
def bundle_copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLE, tmp_path / "bundle"))


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# --- what they do ----------------------------------------------------------------------------------------------

def test_listen_prints_one_line_of_json_an_event(scenes: Path) -> None:
    done = edge_asc("listen", "--wav", scenes, "--json", "--bundle", BUNDLE)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found = events(done.stdout)
    assert [event["time_s"] for event in found] == [0.992, 1.992, 2.992, 3.992, 4.992, 5.992]
    assert [event["label"] for event in found] == [label for label in LABELS for _ in range(2)]
    assert [event["changed"] for event in found] == [True, False] * 3


def test_listen_speaks_to_a_person(scenes: Path) -> None:
    done = edge_asc("listen", "--wav", scenes, "--bundle", BUNDLE, "--hop", "2", "-v")
    assert done.returncode == 0, done.stderr
    assert [line.split()[2] for line in done.stdout.splitlines()] == list(LABELS)
    assert "3 members (v1, v2, i1), float32-sparse, litert" in done.stderr
    assert "3 windows, latency median" in done.stderr


def test_listen_decides(scenes: Path) -> None:
    done = edge_asc("listen", "--wav", scenes, "--json", "--bundle", BUNDLE, "--on-change", "--hold", 3, "--hop", 0.5)
    found = events(done.stdout)
    assert [event["label"] for event in found] == ["indoor", "outdoor", "transportation"][: len(found)]
    assert all(later["time_s"] - earlier["time_s"] >= 3 for earlier, later in itertools.pairwise(found))


def test_file_and_pipe_give_the_same_events(scenes: Path) -> None:
    samples, _ = soundfile.read(scenes, dtype="int16")
    stereo = np.stack([samples, samples], axis=1).astype("<i2").tobytes()
    common = ["--json", "--bundle", BUNDLE]
    piped = edge_asc("listen", "--stdin", "--channels", 2, *common, input=stereo, text=False)
    assert piped.returncode == 0, piped.stderr
    from_file = edge_asc("listen", "--wav", scenes, *common)

    def comparable(text: str) -> list[dict[str, Any]]:
        return [{**event, "latency_ms": 0} for event in events(text)]

    assert comparable(piped.stdout.decode()) == comparable(from_file.stdout)


def test_realtime_takes_its_time_and_is_heard_at_once(wav_file: WavFile) -> None:
    """Events come while the sound still plays, through a pipe too, which is where buffering would hold them back."""
    path = wav_file(sound("indoor", 3))
    with subprocess.Popen(command_line("listen", "--wav", path, "--realtime", "--json", "--bundle", BUNDLE),
                          stdout=subprocess.PIPE, text=True, env=environment()) as program:
        assert program.stdout
        first = json.loads(program.stdout.readline())
        assert program.poll() is None
        assert (first["time_s"], first["label"]) == (0.992, "indoor")
        assert len(program.stdout.readlines()) == 2
    assert program.returncode == 0


def test_classify_prints_a_line_a_file_and_goes_on_after_a_bad_one(scenes: Path, wav_file: WavFile) -> None:
    short = wav_file(sound("indoor", 0.5), name="short.wav")
    hiss = wav_file(sound("outdoor", 3), name="hiss.flac")
    done = edge_asc("classify", short, hiss, scenes, "--bundle", BUNDLE, "--json")
    assert done.returncode == 1
    answers = events(done.stdout)
    assert [Path(answer["file"]).name for answer in answers] == ["short.wav", "hiss.flac", "scenes.wav"]
    assert "is shorter than one window; found 0.500 s; wanted 0.992 s or more" in answers[0]["error"]
    assert (answers[1]["label"], answers[1]["n_windows"]) == ("outdoor", 3)
    assert sum(answers[2]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert "1 of 3 files could not be classified" in done.stderr
    text = edge_asc("classify", hiss, "--bundle", BUNDLE)
    assert text.stdout.startswith(f"{hiss}  outdoor  indoor ")
    assert text.returncode == 0


def test_verify_replays_every_variant() -> None:
    done = edge_asc("verify", BUNDLE, "--all-variants")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "12 files are as the manifest says" in done.stdout
    assert done.stdout.count("  ok  ") == 13
    checks = json.loads(edge_asc("verify", BUNDLE, "--variant", "int8-dense", "--json").stdout)
    assert [check["name"] for check in checks] == ["features", "int8-dense v1", "int8-dense v2", "int8-dense i1",
                                                   "int8-dense ensemble, with delegate"]


def test_tflite_runtime_gives_the_same_answers(scenes: Path) -> None:
    """The real package in its own environment (NumPy 1), made by `make test`."""
    python = tflite_runtime_python()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for variant in ("float32-sparse", "int8-sparse", "int8-dense"):
        arguments = ["classify", scenes, "--json", "--bundle", BUNDLE, "--variant", variant]
        there = edge_asc(*arguments, "--engine", "tflite-runtime", "-v", python=python, env=env)
        assert there.returncode == 0, there.stderr
        assert "tflite-runtime" in there.stderr
        here, there_answer = (events(done.stdout)[0]["probabilities"] for done in (edge_asc(*arguments), there))
        tolerance = 0.01 if "int8" in variant else 2e-6
        assert list(here.values()) == pytest.approx(list(there_answer.values()), abs=tolerance)
    done = edge_asc("verify", BUNDLE, "--all-variants", python=python, env=env)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("verb", MINE)
def test_every_verb_explains_itself(verb: str) -> None:
    done = edge_asc(verb, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout
    assert len(done.stdout.splitlines()) > 5
    assert verb in VERBS


def test_standard_input_without_sound_is_said() -> None:
    closed = edge_asc("listen", "--stdin", "--bundle", BUNDLE, preexec_fn=lambda: os.close(0))
    assert_one_error(closed, "no sound on standard input", "it is closed", "arecord")
    ours, theirs = os.openpty()
    typed = edge_asc("listen", "--stdin", "--bundle", BUNDLE, stdin=theirs)
    os.close(ours)
    os.close(theirs)
    assert_one_error(typed, "found a terminal")


@pytest.mark.parametrize("arguments", [["listen"], ["listen", "--mic", "--stdin"], ["listen", "--stdin", "--realtime"],
                                       ["classify"], ["listen", "--wav", "x", "--engine", "onnx"], ["nothing"]],
                         ids=" ".join)
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    done = edge_asc(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


# --- bad sound -------------------------------------------------------------------------------------------------

def bad_file(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.wav"
    samples = sound("outdoor", 2)
    if kind == "empty":
        path.touch()
    elif kind == "not-sound":
        path.write_text("hello, this is no sound\n" * 50)
    elif kind == "nan":
        samples[1000] = np.nan
        soundfile.write(path, samples, RATE, subtype="FLOAT")
    elif kind == "cut":
        soundfile.write(path, samples, RATE)
        os.truncate(path, 50_000)
    elif kind == "short":
        soundfile.write(path, samples[:10_000], RATE)
    elif kind == "zero":
        soundfile.write(path, np.zeros(10_000 + SPEC.window_samples), RATE)
    elif kind == "header-only":
        soundfile.write(path, samples[:0], RATE)
    elif kind == "folder":
        path.mkdir()
    return path


BAD_SOUND = {"missing": "no such file", "empty": "empty file", "not-sound": "cannot be read as sound", "nan": "NaN",
             "cut": "is cut short", "short": "0.992 s or more", "zero": "digital silence", "header-only": "no sound",
             "folder": "director"}


@pytest.mark.parametrize("kind", BAD_SOUND)
def test_bad_sound_is_one_error(kind: str, tmp_path: Path) -> None:
    path = bad_file(kind, tmp_path)
    assert_one_error(edge_asc("classify", path, "--bundle", BUNDLE), str(path), BAD_SOUND[kind])
    done = edge_asc("listen", "--wav", path, "--bundle", BUNDLE)
    if kind == "zero":  # a listener says so when it begins, and again at the end that there was nothing else
        done.stderr = done.stderr.partition("nothing to classify\n")[2]
    assert_one_error(done, BAD_SOUND[kind])
    assert done.stdout == ""


@pytest.mark.parametrize(("data", "message"), [(b"", "0.000 s"), (b"abc", "inside a sample"),
                                               (b"\0" * 400_000, "silence")], ids=["nothing", "odd", "zeros"])
def test_a_bad_pipe_is_an_error(data: bytes, message: str) -> None:
    done = edge_asc("listen", "--stdin", "--bundle", BUNDLE, input=data, text=False)
    assert done.returncode == 1
    assert message.encode() in done.stderr.splitlines()[-1]
    assert b"Traceback" not in done.stderr


# --- bad bundles -----------------------------------------------------------------------------------------------

def flip_byte(bundle: Path) -> None:
    where = bundle / "members/float32-sparse/v2.tflite"
    data = bytearray(where.read_bytes())
    data[len(data) // 2] ^= 1
    where.write_bytes(data)


def newer(bundle: Path) -> None:
    text = (bundle / "manifest.json").read_text()
    (bundle / "manifest.json").write_text(text.replace('"format_version": 1', '"format_version": 7'))


BAD_BUNDLES = {
    "flipped byte": (flip_byte, "v2.tflite has changed since the bundle was made"),
    "missing member": (lambda bundle: (bundle / "members/int8-dense/i1.tflite").unlink(), "i1.tflite is missing"),
    "newer version": (newer, "found version 7; wanted version 1. Upgrade edge-asc: pip install --upgrade edge-asc"),
    "no manifest": (lambda bundle: (bundle / "manifest.json").unlink(), "is not a bundle; found no manifest.json"),
    "gone": (shutil.rmtree, "is not a bundle; found no such folder"),
}


@pytest.mark.parametrize("kind", BAD_BUNDLES)
def test_a_bad_bundle_is_one_error_for_every_verb(kind: str, bundle_copy: Path, scenes: Path) -> None:
    damage, message = BAD_BUNDLES[kind]
    damage(bundle_copy)
    for arguments in (["listen", "--wav", scenes, "--bundle", bundle_copy], ["verify", bundle_copy],
                      ["classify", scenes, "--bundle", bundle_copy]):
        done = edge_asc(*arguments)
        assert_one_error(done, message)
        assert done.stdout == "", "never an answer from fewer members"


def test_a_member_that_computes_something_else_fails_verification(bundle_copy: Path) -> None:
    """Member v2's file in place of v1's, with the manifest made to agree."""
    manifest = json.loads((bundle_copy / "manifest.json").read_text())
    v1, v2 = (member["files"]["float32-sparse"] for member in manifest["members"][:2])
    shutil.copy(bundle_copy / v2["file"], bundle_copy / v1["file"])
    v1.update(sha256=v2["sha256"], n_bytes=v2["n_bytes"])
    (bundle_copy / "manifest.json").write_text(json.dumps(manifest))
    done = edge_asc("verify", bundle_copy)
    assert_one_error(done, "does not compute what it computed where it was made", "float32-sparse v1 differs by")
    assert "MISMATCH  float32-sparse v1" in done.stdout


# --- the world goes away ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments", [["listen", "--json", "--wav"], ["classify"]], ids=["listen", "classify"])
def test_a_full_disk_is_one_error(arguments: list[str], scenes: Path) -> None:
    with Path("/dev/full").open("w") as full:
        assert_one_error(edge_asc(*arguments, scenes, "--bundle", BUNDLE, stdout=full), "No space left on device")


def test_a_closed_pipe_ends_the_program_quietly(scenes: Path) -> None:
    with subprocess.Popen(command_line("listen", "--wav", scenes, "--realtime", "--hop", "0.1", "--bundle", BUNDLE),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as program:
        assert program.stdout
        assert program.stderr
        program.stdout.readline()
        program.stdout.close()
        assert program.stderr.read() == b""
    assert program.returncode == 1


def test_closed_standard_output_is_an_error(scenes: Path) -> None:
    command = command_line("listen", "--wav", scenes, "--bundle", BUNDLE)
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *command],
                          stderr=subprocess.PIPE, text=True, env=environment(), check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("edge-asc: standard output is closed")


def test_ctrl_c_ends_the_program_with_one_line(wav_file: WavFile) -> None:
    path = wav_file(sound("indoor", 30))
    with subprocess.Popen(command_line("listen", "--wav", path, "--realtime", "--bundle", BUNDLE),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()) as program:
        assert program.stdout
        assert program.stderr
        program.stdout.readline()
        program.send_signal(signal.SIGINT)
        assert program.stderr.read().strip() == "edge-asc: interrupted; what was finished before is kept"
    assert program.returncode == 1


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = edge_asc("--debug", "verify", tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
