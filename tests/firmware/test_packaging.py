"""Every packaging has what its build system looks for, and the ones that can be built here are built."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from edge_asc import __version__
from edge_asc.bundle import Bundle, shipped_bundle
from firmware_export.export import export_bundle
from tests.conftest import require_program
from tests.firmware.native import compile_c
from tests.program import BUNDLE

pytestmark = pytest.mark.tool


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packaging") / "firmware"
    export_bundle(Bundle.load(BUNDLE), out)
    return out


def test_nothing_is_left_to_fill_in(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            assert not re.search(r"\$[a-z]", path.read_text()), path


def test_no_recursion_no_variables_no_constructors_no_strangers(folder: Path, tmp_path: Path) -> None:
    calls: dict[str, set[str]] = {}
    for source in (folder / "src").glob("*.c"):
        command = [require_program("gcc"), "-std=c99", "-O2", "-fcallgraph-info", "-c", str(source), "-o",
                   str(tmp_path / f"{source.stem}.o")]
        subprocess.run(command, check=True)
        edges = re.findall(r'sourcename: "([^"]+)" targetname: "([^"]+)"', (tmp_path / f"{source.stem}.ci").read_text())
        for caller, called in edges:
            calls.setdefault(caller, set()).add(called)
        text = subprocess.run(["objdump", "-h", str(tmp_path / f"{source.stem}.o")], capture_output=True, text=True,
                              check=True).stdout
        sections = {name for name, size in re.findall(r"^ *\d+ (\.\S+) +([0-9a-f]+)", text, re.MULTILINE)
                    if int(size, 16)}
        undefined = subprocess.run(["nm", "-u", str(tmp_path / f"{source.stem}.o")], capture_output=True, text=True,
                                   check=True).stdout.split()
        foreign = {name for name in undefined if len(name) > 1 and not name.startswith("asc_")}
        assert foreign <= {"memcpy", "memmove", "memset", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
        # Tables of pointers lie in .data.rel.ro here, where code may be anywhere; on a microcontroller in flash.
        assert not sections & {".data", ".bss", ".init_array"}
    assert len(calls) > 10

    def visit(function: str, path: tuple[str, ...]) -> None:
        assert function not in path, f"recursion: {path}"
        for called in calls.get(function, ()):
            visit(called, (*path, function))

    for function in calls:
        visit(function, ())


_MICROPHONE = """
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
static unsigned n_reads, n_answers;
static size_t read_microphone(int16_t *block, size_t n);
static void use(const char *label, const float *probabilities);
"""
_SOUND = """
static size_t read_microphone(int16_t *block, size_t n)
{
    if (++n_reads %% %d != 0)
        return 0;
    if (n_reads / %d > 25u * ASC_SAMPLE_RATE_HZ / n) {
        printf("%%u %%u\\n", n_answers, (unsigned)state.n_dropped);
        exit(0);
    }
    for (size_t i = 0; i < n; i++)
        block[i] = (int16_t)(rand() & 0xfff);
    return n;
}
static void use(const char *label, const float *probabilities)
{
    n_answers += label != NULL && probabilities != NULL;
}
"""


@pytest.mark.parametrize(("steps_per_block", "budget", "drops"), [(10, "100000", False), (1, "100000", True), (
    1, "(%s) / (ASC_SAMPLE_RATE_HZ / 480 - ASC_MODEL_N_MEMBERS)", False)])
def test_the_loop_of_the_readme(tmp_path: Path, steps_per_block: int, budget: str, drops: bool) -> None:
    """With blocks of 10 ms: it answers each second and drops nothing, unless it waits for sound between small steps."""
    exported = export_bundle(Bundle.load(shipped_bundle()), tmp_path / "firmware")
    text = (exported.folder / "README.md").read_text()
    [code] = re.findall(r"```c\n(.*?)```", text, re.DOTALL)
    work = " + ".join(f"asc_model_work({member})" for member in range(len(exported.members)))
    code = code.replace("100000", budget.replace("%s", work))
    (tmp_path / "main.c").write_text(_MICROPHONE + code + _SOUND % (steps_per_block, steps_per_block))
    program = compile_c(tmp_path / "main", [*exported.sources(), tmp_path / "main.c"],
                        include=[exported.source_folder])
    done = subprocess.run([str(program)], capture_output=True, text=True, check=True)
    n_answers, n_dropped = map(int, done.stdout.split())
    assert (n_dropped > 0) == drops
    assert n_answers < 5 if drops else 14 <= n_answers <= 16


_USER = '#include "asc.h"\nstatic AscState state;\nint main(void) { return asc_init(&state); }\n'
# What a project says that uses the folder; for Zephyr and ESP-IDF, stand-ins for the functions that the folder calls.
_PROJECTS = {
    "cmake": "add_subdirectory(%s asc)\nadd_executable(user main.c)\ntarget_link_libraries(user asc)\n",
    "esp-idf": """
set(ESP_PLATFORM 1)
set(COMPONENT_LIB __idf_asc)
function(idf_component_register)
  cmake_parse_arguments(PARSE_ARGV 0 C "" "" "SRCS;INCLUDE_DIRS")
  add_library(${COMPONENT_LIB} STATIC ${C_SRCS})
  foreach(folder ${C_INCLUDE_DIRS})
    target_include_directories(${COMPONENT_LIB} PUBLIC ${CMAKE_CURRENT_LIST_DIR}/${folder})
  endforeach()
endfunction()
add_subdirectory(%s asc)
add_executable(user main.c)
target_link_libraries(user __idf_asc)
""",
    "zephyr": """
set(CONFIG_EDGE_ASC 1)
set(CONFIG_EDGE_ASC_SPARE_FRAMES 7)
add_library(zephyr_interface INTERFACE)
function(zephyr_library_named name)
  add_library(${name} STATIC)
  target_link_libraries(${name} PUBLIC zephyr_interface)
endfunction()
function(zephyr_library_sources)
  target_sources(edge_asc PRIVATE ${ARGN})
endfunction()
function(zephyr_library_compile_options)
  target_compile_options(edge_asc PRIVATE ${ARGN})
endfunction()
function(zephyr_compile_definitions)
  target_compile_definitions(zephyr_interface INTERFACE ${ARGN})
endfunction()
function(zephyr_include_directories)
  target_include_directories(zephyr_interface INTERFACE ${ARGN})
endfunction()
add_subdirectory(%s/zephyr asc)
add_executable(user main.c)
target_link_libraries(user edge_asc)
""",
}


@pytest.mark.parametrize("system", _PROJECTS)
def test_build_systems_of_cmake(folder: Path, tmp_path: Path, system: str) -> None:
    cmake = require_program("cmake")
    check = "#if ASC_SPARE_FRAMES != 7\n#error\n#endif\n" if system == "zephyr" else ""
    (tmp_path / "main.c").write_text(_USER + check)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(user C)\n" + _PROJECTS[system] % folder)
    for command in ([cmake, "-S", tmp_path, "-B", tmp_path / "build"], [cmake, "--build", tmp_path / "build"]):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert subprocess.run([tmp_path / "build" / "user"], check=False).returncode == 0


def test_cplusplus(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "main.cpp").write_text(
        '#include "asc.h"\nstatic AscState state;\nint main() {\n'
        "  asc_frontend_reset(&state.frontend);\n"
        "  return asc_init(&state) != ASC_DONE || asc_model_work(0) == 0 || asc_model_labels[0] == nullptr ||\n"
        "         asc_model_members[0] == nullptr || sizeof ASC_MODEL_BUNDLE != 13;\n}\n")
    library = compile_c(tmp_path / "asc.so", sorted((folder / "src").glob("*.c")), include=[folder / "src"],
                        flags=("-shared", "-fPIC"))
    command = [require_program("g++"), "-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror",
               f"-I{folder / 'src'}", str(tmp_path / "main.cpp"), str(library), "-o", str(tmp_path / "main")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert subprocess.run([tmp_path / "main"], check=False).returncode == 0


def _preprocessed(folder: Path, *flags: str, source: str = "asc_kernel.h") -> tuple[int, str]:
    command = [require_program("arm-none-eabi-gcc"), "-mthumb", *flags, "-E", "-dM", str(folder / "src" / source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_what_it_is_not_written_for_is_refused(folder: Path) -> None:
    status, text = _preprocessed(folder, "-mcpu=cortex-m4", "-mbig-endian", source="asc.h")
    assert status != 0
    assert "written for little-endian processors" in text
    status, text = _preprocessed(folder, "-mcpu=cortex-m4", "-D__INT_MAX__=32767", source="asc.h")
    assert status != 0
    assert "an int of 32" in text


def test_kernels_that_load_from_any_address_are_left_out_where_that_is_not_allowed(folder: Path) -> None:
    assert "#define ASC_HAS_DSP 1" in _preprocessed(folder, "-mcpu=cortex-m4")[1]
    assert "#define ASC_HAS_DSP 0" in _preprocessed(folder, "-mcpu=cortex-m4", "-mno-unaligned-access")[1]


def test_a_state_of_a_program_compiled_otherwise_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text(
        '#include "asc.h"\nstatic AscState state;\nint main(void) { return asc_init(&state) == ASC_ERROR ? 7 : 8; }\n')
    library = compile_c(tmp_path / "asc.so", sorted((folder / "src").glob("*.c")), include=[folder / "src"],
                        flags=("-shared", "-fPIC"))
    for flags, status in (((), 8), (("-DASC_SPARE_FRAMES=1000",), 7), (("-DASC_FIXED_POINT=1",), 7)):
        program = compile_c(tmp_path / "main", [tmp_path / "main.c", library], include=[folder / "src"], flags=flags)
        assert subprocess.run([program], check=False).returncode == status


def test_arduino(folder: Path, tmp_path: Path) -> None:
    """The layout of the library specification 2.1; the sketch compiles as C++ against a stand-in for Arduino.h."""
    lines = (folder / "library.properties").read_text().splitlines()
    properties = dict(line.split("=", 1) for line in lines)
    wanted = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"}
    assert wanted <= set(properties)
    assert all(properties.values())
    assert properties["version"] == __version__
    assert (folder / "src" / properties["includes"]).is_file()
    (tmp_path / "sketch.cpp").write_text(
        "#include <stddef.h>\n"
        "struct Port { void begin(long); int available(); int read(); void println(const char *); };\n"
        f'extern Port Serial;\n#include "{folder / "examples" / "Listen" / "Listen.ino"}"\n')
    command = [require_program("g++"), "-std=c++11", "-Wall", "-Wextra", "-Werror", "-c", f"-I{folder / 'src'}",
               str(tmp_path / "sketch.cpp"), "-o", str(tmp_path / "sketch.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = subprocess.run(["nm", "-u", str(tmp_path / "sketch.o")], capture_output=True, text=True, check=True).stdout
    assert {"asc_init_sized", "asc_push", "asc_step"} <= set(names.split()), "C linkage"


def test_platformio(folder: Path) -> None:
    library = json.loads((folder / "library.json").read_text())
    assert library["version"] == __version__
    assert (folder / library["build"]["srcDir"] / library["headers"]).is_file()


def test_zephyr(folder: Path) -> None:
    module = (folder / "zephyr" / "module.yml").read_text()
    assert (folder / re.search(r"kconfig: (\S+)", module)[1]).is_file()  # type: ignore[index]
    assert (folder / re.search(r"cmake: (\S+)", module)[1] / "CMakeLists.txt").is_file()  # type: ignore[index]
    options = set(re.findall(r"CONFIG_(\w+)", (folder / "zephyr" / "CMakeLists.txt").read_text()))
    assert options == set(re.findall(r"config (\w+)", (folder / "zephyr" / "Kconfig").read_text()))


def test_esp_idf(folder: Path) -> None:
    assert (folder / "idf_component.yml").read_text().startswith(f'version: "{__version__}"')
    text = (folder / "CMakeLists.txt").read_text()
    assert text.index("idf_component_register(SRCS") < text.index("add_library(asc")
