"""The C interface: every order of calls does what asc.h says, under the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_asc.spec import FeatureSpec
from tests.firmware.native import FRONTEND, PATHS, SANITIZERS, C, Frontend, compile_c, write_features
from tests.firmware.reference import Reference, noise

HERE = Path(__file__).parent
SPEC = FeatureSpec(n_fft=256, hop_length=100, n_mels=8, n_frames=20)
N_SPARE = 6
SAMPLES = noise(150_000)

pytestmark = pytest.mark.tool
Driver = Callable[[list[str]], list[str]]


def _build(folder: Path, compiler: str, *flags: str) -> Path:
    write_features(folder, SPEC)
    sources = [C / "asc.c", *(C / name for name in FRONTEND), folder / "asc_model_features.c",
               HERE / "fake_model" / "asc_model_fake.c", HERE / "api_driver.c"]
    return compile_c(folder / f"driver-{compiler}", sources, include=[C, folder, HERE / "fake_model"],
                     compiler=compiler, flags=(f"-DASC_SPARE_FRAMES={N_SPARE}", *SANITIZERS, *flags))


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Driver:
    program = _build(tmp_path_factory.mktemp("driver"), "gcc")

    def run(commands: list[str]) -> list[str]:
        done = subprocess.run([str(program)], input="\n".join(commands) + "\n", capture_output=True, text=True,
                              check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


@pytest.fixture(scope="module")
def frontend(tmp_path_factory: pytest.TempPathFactory) -> Frontend:
    return Frontend(tmp_path_factory.mktemp("frontend"), SPEC, "float")


_COMMANDS = st.one_of(
    st.tuples(st.just("push"), st.integers(0, 1), st.sampled_from([0, 1, 99, 100, 101, 256, 700, 2156, 2500])),
    st.tuples(st.just("step"), st.integers(0, 1), st.sampled_from([0, 1, 8, 9, 40, 100_000])),
    st.tuples(st.just("classify"), st.integers(0, 1), st.just(0)),
    st.tuples(st.just("init"), st.integers(0, 1), st.just(0)),
)


@settings(max_examples=60)
@given(commands=st.lists(_COMMANDS, max_size=60))
def test_any_order_of_calls(driver: Driver, frontend: Frontend, commands: list[tuple[str, int, int]]) -> None:
    states = [Reference(frontend, SAMPLES, n_spare=N_SPARE) for _ in range(2)]
    script, wanted = ["init 0", "init 1"], ["0", "0"]
    for verb, which, number in commands:
        state = states[which]
        arguments = (number,) if verb in ("push", "step") else ()
        script += [f"{verb} {which} {number}", "show 0", "show 1"]
        wanted += [str(getattr(state, verb)(*arguments)), states[0].show(), states[1].show()]
    assert driver(script) == wanted


def test_steps_and_pushes_in_turn_equal_one_call(driver: Driver) -> None:
    at_once = driver(["init 0", "push 0 2156", "classify 0", "show 0"])
    in_turn = driver(["init 0", "push 0 2156", *["step 0 8", "push 0 10"] * 39, "step 0 8", "show 0"])
    assert in_turn[-2] == "0"
    assert at_once[-1].split()[2:] == in_turn[-1].split()[2:]


def test_a_slow_machine_gets_answers_and_no_window_with_a_gap(driver: Driver, frontend: Frontend) -> None:
    state = Reference(frontend, SAMPLES, n_spare=N_SPARE)
    script, wanted = ["init 0"], ["0"]
    for _ in range(60):
        script += ["push 0 1000", "step 0 64", "show 0"]
        wanted += [str(state.push(1000)), str(state.step(64)), state.show()]
    found = driver(script)
    assert found == wanted
    assert found.count("3") > 5, "samples were dropped"
    assert found[2::3].count("0") > 3, "windows were finished"


def test_wrong_calls_change_nothing(driver: Driver) -> None:
    nothing = "-1 -1 -1 -1 0 0 1 1 -1"
    assert driver(["untouched"]) == [f"untouched {nothing}"]
    assert driver(["null"]) == [f"null {nothing}", "-1 -1"]
    assert driver(["init 0", "push 0 500", "null 0", "push 0 1656", "classify 0"])[-1] == "0"


def test_a_misaligned_state_or_one_of_another_size_is_refused(driver: Driver) -> None:
    assert driver(["misplaced"]) == ["misplaced -1 -1 -1 -1 0 0 1 1 -1", "-1 -1"]
    assert driver(["init 0", "push 0 2156", "misplaced 0", "classify 0"])[-1] == "0", "and keeps what it had"


def test_a_state_may_be_moved_in_the_middle_of_a_classification(driver: Driver) -> None:
    script = ["init 0", "push 0 2156", *["step 0 8"] * 30]
    assert driver([*script, "move 0", "classify 1", "show 1"])[-1] == driver([*script, "classify 0", "show 0"])[-1]


def test_any_hop_can_be_waited_for_however_short_the_window(driver: Driver) -> None:
    lines = driver(["init 0", "push 0 100000", "classify 0", "push 0 50000", "show 0"])
    assert lines[-1].startswith("500 0 "), "500 new frames, of which a window holds 20"


def test_more_samples_than_a_window_in_one_call(driver: Driver) -> None:
    lines = driver(["init 0", "push 0 100000", "show 0", "classify 0", "classify 0", "show 0"])
    assert lines[1] == "0"
    assert lines[2].startswith("998 0 -1 none")
    assert lines[3:5] == ["0", "2"]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("path", PATHS)
def test_every_path_and_compiler(tmp_path: Path, compiler: str, path: str) -> None:
    program = _build(tmp_path, compiler, *PATHS[path])
    done = subprocess.run([str(program)], input="init 0\npush 0 5000\nclassify 0\n", capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["0", "0", "0"]), done.stderr


def test_no_symbols_beyond_the_c_library(tmp_path: Path) -> None:
    write_features(tmp_path, SPEC)
    names = set()
    for name in (*FRONTEND, "asc.c"):
        part = compile_c(tmp_path / "part.o", [C / name], include=[C, tmp_path, HERE / "fake_model"], flags=("-c",))
        text = subprocess.run(["nm", str(part)], capture_output=True, text=True, check=True).stdout
        names |= {(line.split()[-2], line.split()[-1]) for line in text.splitlines()}
    foreign = {name for kind, name in names if kind == "U" and not name.startswith("asc_")}
    assert foreign <= {"memcpy", "memmove", "memset", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
    assert not {name for kind, name in names if kind in "bBdDC"}, "variables"


def test_features_and_networks_of_different_bundles_do_not_compile(tmp_path: Path) -> None:
    write_features(tmp_path, FeatureSpec(n_fft=256, hop_length=100, n_mels=9, n_frames=20))
    with pytest.raises(AssertionError, match="different bundles"):
        compile_c(tmp_path / "asc.o", [C / "asc.c"], include=[C, tmp_path, HERE / "fake_model"], flags=("-c",))
