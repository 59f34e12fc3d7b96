"""The C of every operator, on every kind of kernel, against TFLite Micro: equal bit for bit."""

from __future__ import annotations

import ctypes
import platform
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_asc.errors import EdgeAscError
from firmware_export.boards.board import CORTEX_M0PLUS, CORTEX_M4F, CORTEX_M55, Core
from firmware_export.network.read import read_network
from firmware_export.proof.build import TARGETS
from tests.conftest import require_program
from tests.firmware.exports import ERROR, MORE, NETWORK, Library, emulated_outputs, linux_arm_outputs, write_networks
from tests.firmware.native import SANITIZERS, C, compile_c
from tests.firmware.networks import COLUMNS, LABELS, ROWS, SHAPES, judged, network_bytes

pytestmark = pytest.mark.tool
NETWORKS = [(shape, seed, density) for shape in SHAPES for seed, density in ((0, 0.2), (1, 0.5), (2, 1.0))]
ARENAS = {"single columns": 1, "some columns": 6_000, "whole maps": 1 << 20}


def _has_avx2() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and " avx2 " in cpuinfo.read_text()


def _windows(n: int) -> NDArray[np.int8]:
    windows = np.random.default_rng(7).integers(-128, 128, (max(n, 3), ROWS, COLUMNS)).astype(np.int8)
    windows[1], windows[2] = -128, 127
    return windows[:n]


@pytest.fixture(scope="module")
def networks() -> list[bytes]:
    return [network_bytes(shape, seed, density=density) for shape, seed, density in NETWORKS]


@pytest.fixture(scope="module")
def answers(networks: list[bytes]) -> NDArray[np.int8]:
    """TFLite Micro's, [n, networks, labels]."""
    return np.stack([judged(data, _windows(5)) for data in networks], axis=1)


def _check(library: Library, answers: NDArray[np.int8]) -> None:
    for index, (shape, seed, density) in enumerate(NETWORKS):
        found = library.outputs(index, _windows(5))
        assert np.array_equal(found, answers[:, index]), f"{shape}, seed {seed}, density {density}"


@pytest.mark.parametrize("stripes", ARENAS)
def test_equal_to_tflite_micro_whatever_the_stripes(networks: list[bytes], answers: NDArray[np.int8], tmp_path: Path,
                                                    stripes: str) -> None:
    members = write_networks(tmp_path, networks, arena_bytes=ARENAS[stripes])
    _check(Library(tmp_path, members), answers)


@pytest.mark.parametrize(("name", "compiler", "tile", "flags", "for_host"), [
    ("plain C, gcc", "gcc", 8, ("-DASC_PLAIN_C=1",), False),
    ("plain C, clang, tables for a host", "clang", 16, ("-DASC_PLAIN_C=1",), True),
    ("plain C, narrow products", "gcc", 8, ("-DASC_PLAIN_C=1", "-DASC_NARROW_MULTIPLY=1", "-fsanitize=undefined",
                                            "-fno-sanitize-recover=all"), False),
    ("this processor's vectors, gcc", "gcc", 64, ("-O3", "-march=native"), False),
    ("this processor's vectors, gcc, tables for a host", "gcc", 64, ("-O3", "-march=native"), True),
    ("narrower vectors, gcc", "gcc", 64, ("-O3", "-march=x86-64-v3"), False),
    ("narrower vectors, gcc, tables for a host", "gcc", 64, ("-O3", "-march=x86-64-v3"), True),
    ("this processor's vectors, clang, tables for a host", "clang", 64, ("-O3", "-march=native"), True),
])
def test_every_kernel_of_this_machine_gives_the_same_bits(
        networks: list[bytes], answers: NDArray[np.int8], tmp_path: Path, name: str, compiler: str, tile: int,
        flags: tuple[str, ...], for_host: bool) -> None:
    if "-march=x86-64-v3" in flags and not (platform.machine() == "x86_64" and _has_avx2()):
        pytest.skip("needs an x86-64 processor with AVX2")
    members = write_networks(tmp_path, networks, arena_bytes=20_000, tile=tile, for_host=for_host)
    _check(Library(tmp_path, members, compiler=compiler, flags=flags), answers)


@pytest.mark.parametrize("target", ["m4f", "m55", "m0plus", "rv32"])
def test_every_kernel_of_microcontrollers_gives_the_same_bits(networks: list[bytes], answers: NDArray[np.int8],
                                                              tmp_path: Path, target: str) -> None:
    for program in (TARGETS[target].compiler, TARGETS[target].emulator[0]):
        require_program(program)
    members = write_networks(tmp_path, networks, arena_bytes=6_000, tile=16)
    assert np.array_equal(emulated_outputs(tmp_path, target, members, _windows(5)), answers)


@pytest.mark.parametrize("core", [CORTEX_M0PLUS, CORTEX_M4F, CORTEX_M55], ids=lambda core: core.name)
def test_clang_takes_the_assembly_too(networks: list[bytes], tmp_path: Path, core: Core) -> None:
    """Which is what Arm's own compiler is made of."""
    listed = subprocess.run([require_program("arm-none-eabi-gcc"), "-E", "-v", "-xc", "-"], input="", text=True,
                            capture_output=True, check=True).stderr
    headers = next(line.strip() for line in listed.splitlines()
                   if line.startswith(" /") and (Path(line.strip()) / "string.h").is_file())
    write_networks(tmp_path, networks[:1])
    for source in NETWORK:
        compile_c(tmp_path / "part.o", [C / source], include=[C, tmp_path], compiler="clang",
                  flags=("--target=arm-none-eabi", *core.gcc_flags, "-isystem", headers, "-c"))


def test_what_comes_through_of_damaged_files_is_computed_as_tflite_micro_computes_it(tmp_path: Path) -> None:
    """An error or the right C: never silently the wrong one."""
    rng, shapes = np.random.default_rng(0), sorted(SHAPES)
    sound = {shape: network_bytes(shape, 0) for shape in shapes}
    accepted: list[bytes] = []
    n_refused = 0
    while len(accepted) < 60:
        damaged = bytearray(sound[shapes[rng.integers(len(shapes))]])
        for at in rng.integers(len(damaged), size=rng.integers(1, 4)):
            damaged[at] = rng.integers(256)
        try:
            network = read_network(bytes(damaged), name="damaged")
        except EdgeAscError:
            n_refused += 1
            continue
        shape = network.activations[network.input].shape, network.activations[network.output].shape
        if shape == ((ROWS, COLUMNS, 1), (LABELS, 1, 1)):  # the others cannot stand in one library
            accepted.append(bytes(damaged))
    assert n_refused > len(accepted)
    library = Library(tmp_path, write_networks(tmp_path, accepted))
    for index, data in enumerate(accepted):
        assert np.array_equal(library.outputs(index, _windows(3)), judged(data, _windows(3))), f"file {index}"


@pytest.mark.parametrize(("cpu", "flags", "for_host"), [
    ("cortex-a7", ("-march=armv7-a", "-mfpu=neon"), True),
    ("cortex-a72", (), True), ("cortex-a76", ("-march=armv8.2-a+dotprod",), False),
    ("cortex-a76", ("-march=armv8.2-a+dotprod",), True)])
def test_every_kernel_of_arm_under_linux_gives_the_same_bits(
        networks: list[bytes], answers: NDArray[np.int8], tmp_path: Path, cpu: str, flags: tuple[str, ...],
        for_host: bool) -> None:
    members = write_networks(tmp_path, networks, arena_bytes=20_000, tile=64, for_host=for_host)
    assert np.array_equal(linux_arm_outputs(tmp_path, cpu, members, _windows(5), flags), answers)


def test_sanitizers_find_nothing(networks: list[bytes], answers: NDArray[np.int8], tmp_path: Path) -> None:
    # Undefined behaviour only: Python itself would have to be built for the address sanitizer; test_api_c.py has that.
    members = write_networks(tmp_path, networks)
    undefined = tuple(flag.replace("address,", "") for flag in SANITIZERS)
    _check(Library(tmp_path, members, flags=undefined), answers)


def test_steps_are_bounded_and_any_budget_gives_the_same(networks: list[bytes], answers: NDArray[np.int8],
                                                         tmp_path: Path) -> None:
    members = write_networks(tmp_path, networks)
    library = Library(tmp_path, members)
    window = _windows(1)[0]
    for budget, least_steps in ((0, 50), (1000, 5), (0xFFFFFFFF, 1)):
        assert np.array_equal(library.output(3, window, budget=budget), answers[0, 3])
        assert library.n_steps >= least_steps
    assert library.n_steps == 1


def test_a_window_is_read_from_anywhere_in_its_ring_and_clamped(networks: list[bytes], tmp_path: Path) -> None:
    library = Library(tmp_path, write_networks(tmp_path, networks))
    window = _windows(1)[0]
    wanted = judged(networks[0], np.maximum(window, 20)[np.newaxis])[0]
    for first, spare in ((0, 0), (5, 0), (COLUMNS + 3, 4)):
        assert np.array_equal(library.output(0, window, first=first, spare=spare, floor=20), wanted)


def test_calls_out_of_order_are_refused(networks: list[bytes], tmp_path: Path) -> None:
    library = Library(tmp_path, write_networks(tmp_path, networks[:2]))
    c, model, output = library.c, library.model, ctypes.create_string_buffer(8)
    window = np.zeros((COLUMNS, ROWS), np.int8)

    def asked(columns: int | None = None, capacity: int = COLUMNS, first: int = 0) -> object:
        from tests.firmware.exports import _Window
        return ctypes.byref(_Window(window.ctypes.data if columns is None else columns, capacity, first, -128))

    budget = ctypes.c_uint32(0)
    assert c.asc_model_begin(None, 0) == c.asc_model_begin(model, 2) == c.asc_model_begin(model, -1) == ERROR
    assert c.asc_model_begin(model, 1) == 0
    assert c.asc_model_output(model, output) == ERROR
    assert c.asc_model_step(model, None, budget) == c.asc_model_step(None, asked(), budget) == ERROR
    for impossible in (asked(columns=0), asked(capacity=COLUMNS - 1), asked(first=COLUMNS)):
        assert c.asc_model_step(model, impossible, budget) == ERROR
    assert c.asc_model_frames_read(model) == 0
    read = 0
    while c.asc_model_step(model, asked(), budget) == MORE:
        assert c.asc_model_frames_read(model) >= read
        read = c.asc_model_frames_read(model)
    assert c.asc_model_frames_read(model) == COLUMNS
    assert c.asc_model_step(model, asked(), budget) == 0
    assert c.asc_model_output(model, None) == ERROR
    assert c.asc_model_output(model, output) == 0
