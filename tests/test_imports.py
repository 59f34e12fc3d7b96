"""The wall: the device never imports TensorFlow. Recorded in subprocesses, and read from the sources as well."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import WavFile
from tests.program import BUNDLE, ROOT, edge_asc, environment
from tests.sounds import sound

TRAINING_ONLY = {"tensorflow", "tf_keras", "keras", "tensorflow_model_optimization", "librosa", "sklearn", "matplotlib",
                 "tensorboard", "ray"}
TRAINING = {"train", "lab"}
# A package may import those before it and itself; "cli" may also import training, inside a verb.
LAYERS = [{"errors", "quiet", "atomic", "quantization", "resampling"}, {"spec"},
          {"audio", "decoding", "containers", "pcm", "features", "tflite_file"}, {"bundle"}, {"audit"}, {"runtime"},
          {"classify"}, {"listen"}, {"report"}, {"parity"}, {"bench"}]
# Data sets are read by training and its verbs; the device has no business with them.
SIDE = {"data": LAYERS[:3]}


def sources(package: str) -> Iterator[Path]:
    return (path for path in sorted((ROOT / package).rglob("*.py")) if "assets" not in path.parts)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def part_of(module: str) -> str:
    """`edge_asc.listen.sinks` -> "listen"; the package itself -> ""."""
    return [*module.split("."), ""][1]


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that an import statement anywhere in the tree names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def device_modules() -> list[str]:
    return [module_name(path) for path in sources("edge_asc")
            if part_of(module_name(path)) not in TRAINING and path.name != "__main__.py"]


def loaded_by(code: str) -> set[str]:
    """Names of all modules after running `code` in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True,
                          text=True, check=True, env=environment())
    return set(done.stdout.split())


def roots(modules: set[str]) -> set[str]:
    return {name.split(".")[0] for name in modules}


@pytest.mark.parametrize("arguments", [["listen", "--json", "--wav"], ["classify"]], ids=["listen", "classify"])
def test_the_real_program_imports_nothing_of_training(arguments: list[str], wav_file: WavFile) -> None:
    done = edge_asc(*arguments, wav_file(sound("outdoor", 2)), "--bundle", BUNDLE,
                    env=environment(PYTHONPROFILEIMPORTTIME="1"))
    assert done.returncode == 0, done.stderr
    names = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert {"numpy", "edge_asc.runtime.interpreter"} <= names, "the recording works"
    assert not roots(names) & TRAINING_ONLY
    assert not [name for name in names if part_of(name) in TRAINING and name.startswith("edge_asc")]
    assert not roots(names) & {"scipy", "rich", "sounddevice", "asyncio", "ssl"}, "nor what costs time for nothing"


def test_no_module_of_the_device_imports_training() -> None:
    modules = loaded_by("\n".join(f"import {name}" for name in device_modules()))
    assert set(device_modules()) <= modules
    assert not roots(modules) & TRAINING_ONLY
    assert not [name for name in modules if name.startswith("edge_asc.") and part_of(name) in TRAINING]


def test_the_command_line_starts_without_numpy() -> None:
    assert not roots(loaded_by("import edge_asc.cli")) & {"numpy", "rich", "soundfile", "ai_edge_litert"}


def test_the_exporter_imports_neither_runtime_nor_training() -> None:
    modules = [module_name(path) for path in sources("firmware_export") if path.name != "__main__.py"]
    loaded = loaded_by("\n".join(f"import {name}" for name in modules))
    assert set(modules) <= loaded
    assert not roots(loaded) & (TRAINING_ONLY | {"ai_edge_litert", "tflite_runtime"})
    assert not [name for name in loaded if name.startswith("edge_asc.") and part_of(name) in TRAINING | {"runtime"}]


@pytest.mark.parametrize("path", [*sources("edge_asc"), *sources("firmware_export")], ids=module_name)
def test_only_training_names_tensorflow_in_its_sources(path: Path) -> None:
    """Also inside functions, where a recording of imports would see it only when they are called."""
    names = {name.split(".")[0] for name in imported(ast.parse(path.read_text()))}
    if part_of(module_name(path)) not in TRAINING:
        assert not names & TRAINING_ONLY
    if module_name(path).startswith("firmware_export"):
        modules = {name for name in imported(ast.parse(path.read_text())) if name.startswith("edge_asc.")}
        assert not {part_of(name) for name in modules} & (TRAINING | {"runtime", "listen", "cli"})


def test_ray_is_named_in_one_module_alone() -> None:
    naming = [path.name for path in sources("edge_asc")
              if {name.split(".")[0] for name in imported(ast.parse(path.read_text()))} & {"ray"}]
    assert naming == ["on_ray.py"]


@pytest.mark.parametrize("path", [path for path in sources("edge_asc")
                                  if part_of(module_name(path)) not in TRAINING | {"cli", "__main__"}], ids=module_name)
def test_who_may_import_whom(path: Path) -> None:
    own = part_of(module_name(path))
    allowed: set[str] = {own, "", "__version__"}
    for layer in SIDE.get(own, LAYERS):
        allowed |= layer
        if own in layer:
            break
    named = {part_of(name) for name in imported(ast.parse(path.read_text())) if name.startswith("edge_asc.")}
    assert named <= allowed, f"{own} reaches up to {sorted(named - allowed)}"


@pytest.mark.parametrize("path", list(sources("edge_asc")), ids=module_name)
def test_the_exporter_is_imported_where_something_is_compiled(path: Path) -> None:
    """By the runtime for the native engine and by verbs, inside a function: a node that has its library needs none."""
    tree = ast.parse(path.read_text())
    names = {name for name in imported(tree) if name.startswith("firmware_export")}
    statements = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    at_the_top = {name for statement in statements for name in imported(statement)}
    assert not names or part_of(module_name(path)) in {"runtime", "bench", "cli", "lab"}
    assert not names & at_the_top or part_of(module_name(path)) in {"bench", "lab"}


@pytest.mark.parametrize("path", list((ROOT / "edge_asc" / "cli").glob("*.py")), ids=module_name)
def test_verbs_import_what_they_need_inside_their_function(path: Path) -> None:
    allowed = {"click", *sys.stdlib_module_names}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in imported(node):
                own = name.startswith(("edge_asc.errors", "edge_asc.cli", "edge_asc.__version__"))
                assert own or name.split(".")[0] in allowed, f"{name} at the top"
