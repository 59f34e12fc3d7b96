"""What can compute a network here: a TFLite interpreter that is installed, or the project's own C, compiled."""

from __future__ import annotations

import importlib
from types import ModuleType

from edge_asc.errors import InputError, MissingDependencyError
from edge_asc.quiet import captured_stderr

INTERPRETERS = {"litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}
"""Name of an interpreter -> its Python module, in the order in which they are tried."""
NATIVE = "native"
ENGINES = (*INTERPRETERS, NATIVE)
"""In the order in which "auto" tries them: the interpreters run every variant, the native engine int8 only."""

_INSTALL = {"litert": "Run: pip install ai-edge-litert (64-bit machines)",
            "tflite-runtime": "Run: pip install 'edge-asc[tflite-runtime]' (Python 3.11 and NumPy 1; 32-bit ARM too)"}
INSTALL_INTERPRETER = "; or ".join(_INSTALL.values())
"""What to do where an interpreter is missing."""


def find_engine(name: str = "auto") -> str:
    """The engine of that name, or for "auto" the first interpreter that works here, or else "native".

    Whether "native" can be used shows when a bundle is loaded: what was compiled before needs no compiler.

    Raises:
        MissingDependencyError: The interpreter of that name is not installed, or not usable here.
        InputError: There is no engine of that name.
    """
    if name == NATIVE:
        return name
    try:
        return find_interpreter(name)[0]
    except MissingDependencyError:
        if name != "auto":
            raise
        return NATIVE


def find_interpreter(name: str = "auto") -> tuple[str, ModuleType]:
    """The TFLite interpreter of that name, or for "auto" the first that is installed, with its module.

    Raises:
        MissingDependencyError: It is not installed, or not usable here.
        InputError: There is no engine of that name.
    """
    if name != "auto" and name not in INTERPRETERS:
        raise InputError(f"no engine {name!r}", wanted=f"auto, {', '.join(ENGINES)}")
    reasons = []
    for candidate in INTERPRETERS if name == "auto" else (name,):
        try:
            # tflite-runtime under NumPy 2 fails half-way through its import, with noise from C.
            with captured_stderr():
                return candidate, importlib.import_module(INTERPRETERS[candidate])
        except (ImportError, AttributeError) as error:
            reasons.append(f"{candidate}: {error}")
    raise MissingDependencyError(f"no usable TFLite interpreter ({'; '.join(reasons)})",
                                 fix=_INSTALL.get(name, INSTALL_INTERPRETER))
