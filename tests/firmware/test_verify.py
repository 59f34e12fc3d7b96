"""Verification of exports: it says yes to what is right, no to what is not, and what it measures is so."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edge_asc.bundle import Bundle
from edge_asc.errors import BundleError, InputError, VerificationError
from edge_asc.spec import FeatureSpec
from firmware_export.boards.board import find_board
from firmware_export.emit.levels import InputQuantization
from firmware_export.export import export_bundle
from firmware_export.output.exported import Exported
from firmware_export.proof import questions, verify
from firmware_export.proof.accuracy import measure_accuracy
from firmware_export.proof.build import PORTS, TARGETS, compile_program
from firmware_export.proof.elf import footprint
from firmware_export.proof.emulate import build_counter, run_program
from firmware_export.proof.goals import goals_table, missed_goals
from firmware_export.proof.judge import GOLDEN, real_windows, trial_windows
from firmware_export.proof.report import verification_json, verification_table
from firmware_export.proof.verify import Result, Verification, verify_export
from tests.conftest import require_program
from tests.data.tiny_tau import write_tiny
from tests.firmware.native import FRONTEND, SANITIZERS, C, compile_c, write_features
from tests.program import BUNDLE, assert_one_error, edge_asc
from tests.sounds import sound

HERE = Path(__file__).parent
pytestmark = pytest.mark.tool


def _require(target: str) -> None:
    for program in ("gcc", TARGETS[target].compiler, *TARGETS[target].emulator[:1]):
        require_program(program)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_bundle(Bundle.load(BUNDLE), tmp_path_factory.mktemp("export") / "firmware")


@pytest.fixture
def spoiled(export: Exported, tmp_path: Path) -> Exported:
    """A copy to do damage to."""
    shutil.copytree(export.folder, tmp_path / "firmware")
    return dataclasses.replace(export, folder=tmp_path / "firmware")


def _verify(export: Exported, *targets: str, count: bool = False, n_windows: int = 3) -> Verification:
    return verify_export(export, bundle=Bundle.load(BUNDLE), targets=targets, count=count, n_windows=n_windows)


@pytest.mark.parametrize("target", [name for name in TARGETS if name != "m4f"])
def test_every_target_agrees(export: Exported, target: str) -> None:
    _require(target)
    verification = _verify(export, target)
    assert verification.problems() == []
    result = verification.results[0]
    assert result.n_windows == 3
    assert result.frame_error_db <= 0.05
    if TARGETS[target].is_bare:
        assert 0 < result.stack_bytes <= 1.2 * 1024, "as the README of an export says"
        assert result.state_bytes <= result.static_ram_bytes <= result.state_bytes + 64
        assert result.tables_bytes < result.flash_bytes < result.tables_bytes + 24 * 1024
        key = "ram_state_fixed_point_bytes" if TARGETS[target].fixed_point else "ram_state_bytes"
        assert result.state_bytes == export.sizes()[key]


@pytest.mark.parametrize("target", ["host", "m4f"])
def test_labels_of_any_text_are_the_programs_too(tmp_path: Path, target: str) -> None:
    _require(target)
    bundle = dataclasses.replace(Bundle.load(BUNDLE), labels=("class 1", 'street/"traffic"??/', "café\\"))
    for labels in (bundle.labels, bundle.labels[1:] + bundle.labels[:1], bundle.labels[2:] + bundle.labels[:2]):
        each = dataclasses.replace(bundle, labels=labels)
        exported = export_bundle(each, tmp_path / "firmware")
        verification = verify_export(exported, bundle=each, targets=[target], n_windows=1, count=False)
        assert verification.problems() == []
        assert verification.wanted_label in labels


def test_windows_of_all_kinds_and_fewer_of_them_on_emulated_parts(export: Exported) -> None:
    _require("m4f")
    bundle = Bundle.load(BUNDLE)
    windows = trial_windows(bundle, export.input, 9)
    recordings = list(itertools.islice(real_windows(export.features, export.input), 2))
    assert np.array_equal(windows[3], recordings[0])
    assert np.array_equal(windows[6], recordings[1])
    assert len(np.unique(windows, axis=0)) == 9
    verification = verify_export(export, bundle=bundle, targets=["host", "m4f"], count=False, n_windows=9,
                                 n_emulated_windows=2)
    assert verification.problems() == []
    assert [result.n_windows for result in verification.results] == [9, 2]


def test_the_recordings_in_the_box_give_more_than_a_hundred_windows() -> None:
    n = sum(1 for _ in real_windows(FeatureSpec(), InputQuantization(scale=0.5, zero_point=0)))
    assert n > 150


def test_goals_are_those_of_the_papers_ensemble_and_missed_ones_are_named(export: Exported) -> None:
    names = ("v1", "v2", "v3", "v4", "v5", "i1")
    ensemble = dataclasses.replace(export, members=names, features=FeatureSpec())

    def verification(ram_bytes: int, n_instructions: int) -> Verification:
        m4f = Result(target=TARGETS["m4f"], static_ram_bytes=ram_bytes, tables_bytes=200_000, flash_bytes=250_000,
                     frontend_instructions_per_s=5e6, member_instructions=dict.fromkeys(names, n_instructions))
        m55 = dataclasses.replace(m4f, target=TARGETS["m55"], member_instructions=dict.fromkeys(names, 20_000_000))
        return Verification(exported=ensemble, judge="", wanted_label="", results=(m4f, m55))

    assert missed_goals(verification(65_536, 48_000_000)) == []
    assert missed_goals(verification(65_537, 50_000_000)) == [
        "RAM, everything: 64.0 KiB, the goal is 64",
        "ensemble on Cortex-M4F, per window: 300.0 M instructions, the goal is 290"]
    assert "NOT reached" in goals_table(verification(0, 50_000_000))
    assert goals_table(Verification(exported=export, judge="", wanted_label="", results=())) == ""


def test_a_goal_that_nothing_measured_is_not_reached(export: Exported) -> None:
    ensemble = dataclasses.replace(export, members=("v1", "v2", "v3", "v4", "v5", "i1"), features=FeatureSpec())
    host = Verification(exported=ensemble, judge="", wanted_label="", results=(Result(target=TARGETS["host"]),))
    assert len(missed_goals(host)) == 6
    assert all(": not measured, the goal is " in text for text in missed_goals(host))
    assert goals_table(host) == ""
    uncounted = dataclasses.replace(host, results=(Result(target=TARGETS["m4f"]), Result(target=TARGETS["m55"])))
    assert [text.partition(",")[0] for text in missed_goals(uncounted)] == [
        "front end on Cortex-M4F", "ensemble on Cortex-M4F", "ensemble on Cortex-M55"]
    assert missed_goals(dataclasses.replace(host, exported=export)) == [
        "there are no goals to reach: they are for the paper's features"]


@pytest.mark.parametrize(("board", "counted"), [
    ("nrf52840", "m4f"), ("nicla-vision", "m7"), ("rp2350", "m4f"), ("rp2040", "m0plus"), ("alif-e7", "m55"),
    ("esp32-s3", "rv32")])
def test_an_estimate_takes_the_counts_of_a_core_like_the_boards(export: Exported, board: str, counted: str) -> None:
    names = ("m4f", "m7", "m55", "m0plus", "rv32", "rv32imc")
    results = tuple(Result(target=TARGETS[name], member_instructions={"v1": 480_000_000}) for name in names)
    text = verification_table(Verification(exported=export, judge="", wanted_label="", results=results),
                              board=find_board(board))
    [row] = [line for line in text.splitlines() if "ESTIMATE" in line]
    cells = row.partition("window")[2].split()
    assert [name for name, cell in zip(names, cells, strict=True) if cell != "-"] == [counted]


def test_without_the_wheel_the_golden_outputs_judge(export: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (questions, verify):
        monkeypatch.setattr(module, "judge_name", lambda: GOLDEN)
    verification = _verify(export, "host")
    assert verification.problems() == []
    assert (verification.judge, verification.results[0].n_windows) == (GOLDEN, 1)


def test_counting_is_repeatable_and_changes_no_answer(export: Exported) -> None:
    _require("m4f")
    verification, again = (_verify(export, "m4f", count=True, n_windows=1) for _ in range(2))
    assert verification.problems() == []
    result = verification.results[0]
    assert again.results[0].member_instructions == result.member_instructions
    assert set(result.member_instructions) == set(export.members)
    assert all(n > 10_000 for n in result.member_instructions.values())
    assert 1e6 < result.frontend_instructions_per_s < 8e6
    text = verification_table(verification, board=find_board("nrf52840"))
    assert all(f"{name}, million instructions" in text for name in export.members)
    assert json.loads(json.dumps(verification_json(verification)))["targets"]["m4f"]["n_different_outputs"] == 0


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_steps_of_real_networks_while_sound_comes_in(export: Exported, tmp_path: Path, compiler: str) -> None:
    """Under sanitizers: a window that is classified in steps is the one that was there when it began."""
    driver = compile_c(tmp_path / "driver", [*export.sources(), HERE / "api_driver.c"], include=[export.source_folder],
                       flags=SANITIZERS, compiler=compiler)
    n = export.features.window_samples

    def answer(*commands: str) -> list[str]:
        script = "\n".join(["init 0", f"push 0 {n}", *commands, "show 0"]) + "\n"
        done = subprocess.run([str(driver)], input=script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[2:]

    at_once = answer("classify 0")
    n_steps = answer(*["step 0 1000"] * 2000).index("0") + 1
    assert n_steps > len(export.members)
    in_steps = answer(*["step 0 1000", "push 0 50"] * (n_steps - 1), "step 0 1000")
    assert in_steps[:-1] == ["1", "0"] * (n_steps - 1) + ["0"], "more to do, nothing dropped, and so on; done"
    assert in_steps[-1].split()[2:] == at_once[-1].split()[2:]


def _replace(path: Path, pattern: str, replacement: str) -> None:
    text, n = re.subn(pattern, replacement, path.read_text(), count=1)
    assert n == 1, pattern
    path.write_text(text)


def test_a_changed_weight_is_noticed(spoiled: Exported) -> None:
    _replace(spoiled.source_folder / "asc_model_data.c", r"(int32_t \w+bias\w*\[\d+\] = \{\s*)-?\d+", r"\g<1>123456789")
    problems = _verify(spoiled, "host").problems()
    assert any("output tensors" in problem and "TFLite Micro" in problem for problem in problems)


def test_a_changed_feature_is_noticed(spoiled: Exported) -> None:
    _replace(spoiled.source_folder / "asc_frontend.c", r"0\.48668618f", "0.98668618f")
    assert any("features differ" in problem for problem in _verify(spoiled, "host").problems())


def test_a_ring_that_mixes_up_frames_is_noticed(spoiled: Exported) -> None:
    _replace(spoiled.source_folder / "asc.c", r"ASC_RING_FRAMES - ASC_N_FRAMES\)",
             "ASC_RING_FRAMES - ASC_N_FRAMES + 60)")
    with pytest.raises(VerificationError, match="another window"):
        _verify(spoiled, "host")


def test_a_warning_is_an_error(spoiled: Exported) -> None:
    with (spoiled.source_folder / "asc.c").open("a") as file:
        file.write("int asc_narrow(long x) { return x; }\n")
    with pytest.raises(VerificationError, match="does not compile for this machine"):
        _verify(spoiled, "host")


def test_a_fault_of_the_processor_is_an_error(spoiled: Exported) -> None:
    _require("stm32f405")
    _replace(spoiled.source_folder / "asc.c", r"if \(!is_place\(state\) [^\n]*\n        return ASC_ERROR;",
             "*(volatile int *)0xfffffff0u = (int)n_bytes;")
    with pytest.raises(VerificationError, match="fault of the processor"):
        _verify(spoiled, "stm32f405")


def test_too_little_ram_is_an_error(spoiled: Exported) -> None:
    _require("stm32f405")
    _replace(spoiled.source_folder / "asc_model_features.h", r"(#define ASC_SPARE_FRAMES) \d+", r"\1 9000")
    with pytest.raises(VerificationError, match="does not compile"):
        _verify(spoiled, "stm32f405")


def test_the_frontend_keeps_its_budget_at_the_full_size(tmp_path: Path) -> None:
    """8 million instructions per second of audio on a Cortex-M4F; 30 on a Cortex-M0+."""
    spec = FeatureSpec()
    write_features(tmp_path, spec)
    samples = np.random.default_rng(0).integers(-9000, 9000, 2 * spec.sample_rate_hz).astype(np.int16)
    samples.tofile(tmp_path / "in.pcm")
    counter, verify = build_counter(tmp_path), PORTS / "verify"
    for name, most in (("m4f", 8e6), ("m0plus", 30e6)):
        _require(name)
        program = tmp_path / name
        compile_program(TARGETS[name], [
            *(C / file for file in (*FRONTEND, "asc.c")), tmp_path / "asc_model_features.c",
            HERE / "fake_model" / "asc_model_fake.c", verify / "main.c", verify / "io_semihosting.c",
        ], program, include=[C, tmp_path, HERE / "fake_model", verify],
            extra=["-DASC_MODEL_N_FRAMES=467", "-DASC_MODEL_N_MELS=48"])
        run = run_program(TARGETS[name], program, ["frames", "in.pcm", "out.bin"], folder=tmp_path, counter=counter)
        assert run.instructions("frontend") / 2 <= most


def test_sizes_are_those_of_the_linked_program(tmp_path: Path) -> None:
    _require("stm32f405")
    source = tmp_path / "sizes.c"
    source.write_text('#include "io.h"\nconst char text[100] = "x"; int data[25] = {1}; char zero[400];\n'
                      "int verify_main(void) { return data[0] + zero[io_stack_used()] + text[io_stack_used()]; }\n")
    out = tmp_path / "sizes"
    compile_program(TARGETS["stm32f405"], [source, PORTS / "verify" / "io_semihosting.c"], out,
                    include=[PORTS / "verify"])
    found = footprint(out)
    assert (found.symbols["text"], found.symbols["data"], found.symbols["zero"]) == (100, 100, 400)
    assert 500 <= found.static_ram_bytes < 520
    assert found.flash_bytes > 200
    with pytest.raises(VerificationError, match="not a 32-bit"):
        footprint(source)


def test_accuracy_of_the_c(export: Exported, tmp_path: Path) -> None:
    import soundfile

    clips = []
    for label in export.labels:
        for seed in range(2):
            path = tmp_path / f"{label}-{seed}.wav"
            soundfile.write(path, sound(label, 1.2, seed=seed), 48_000, subtype="PCM_16")
            clips.append((path, label))
    soundfile.write(tmp_path / "short.wav", np.zeros(1000), 48_000)
    figures = measure_accuracy(export, [*clips, (tmp_path / "short.wav", "indoor")])
    assert (figures["n_clips"], figures["n_too_short"]) == (6, 1)
    assert figures["accuracy_micro"] == figures["accuracy_macro"] == 1.0


def test_command_line(tmp_path: Path) -> None:
    out = tmp_path / "firmware"
    done = edge_asc("firmware", BUNDLE, "-o", out, "--board", "stm32f411")
    assert done.returncode == 0, done.stderr
    assert "v1 v2 i1" in done.stdout
    write_tiny(tmp_path / "tau", clip_s=1.2)
    done = edge_asc("firmware", "verify", out, "--target", "host", "--json", "--dataset", tmp_path / "tau")
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert values["problems"] == []
    assert values["dataset"]["n_clips"] == 6
    _replace(out / "src" / "asc_frontend.c", r"0\.48668618f", "0.98668618f")
    assert_one_error(edge_asc("firmware", "verify", out, "--target", "host"), "features differ")
    assert_one_error(edge_asc("firmware", "verify", out, "--target", "z80"), "no target z80")
    assert_one_error(edge_asc("firmware", "verify", tmp_path), "is not an export")
    assert_one_error(edge_asc("firmware", BUNDLE, "-o", out, "--board", "toaster"), "no board 'toaster'")
    assert "stm32l476" in edge_asc("firmware", "boards").stdout


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format_version": 1}', '{"format_version": 99}', "null"])
def test_a_damaged_export_json_is_one_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "export.json").write_text(text)
    with pytest.raises(InputError):
        Exported.load(tmp_path)


def test_another_bundle_is_refused(export: Exported, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        export.bundle(tmp_path)
    with pytest.raises(BundleError, match="is not the bundle that"):
        dataclasses.replace(export, bundle_sha256="0" * 64).bundle()
