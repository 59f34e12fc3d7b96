"""For those who stay with TensorFlow Lite Micro: the dense int8 members as C arrays, their operators, their arena.

The arena is what TFLite Micro's own recording allocator says in its Python wheel; a 32-bit part needs a little less.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_asc.atomic import write_text
from edge_asc.bundle import Bundle
from edge_asc.errors import BundleError, InputError, MissingDependencyError, ModelFileError, VerificationError
from edge_asc.tflite_file import compact, densify, is_sparse, read_model
from firmware_export.output.exported import manifest_sha256, provenance

_VARIANTS = ("int8-dense", "int8-sparse")
_ADDERS = {
    "ADD": "AddAdd", "AVERAGE_POOL_2D": "AddAveragePool2D", "CONCATENATION": "AddConcatenation", "CONV_2D": "AddConv2D",
    "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D", "FULLY_CONNECTED": "AddFullyConnected", "LOGISTIC": "AddLogistic",
    "MAX_POOL_2D": "AddMaxPool2D", "MEAN": "AddMean", "MUL": "AddMul", "PAD": "AddPad", "QUANTIZE": "AddQuantize",
    "DEQUANTIZE": "AddDequantize", "RELU": "AddRelu", "RELU6": "AddRelu6", "RESHAPE": "AddReshape",
    "SOFTMAX": "AddSoftmax",
}
_MEASURE = """
import sys
from tflite_micro import runtime
runtime.Interpreter.from_bytes(sys.stdin.buffer.read(), arena_size=1 << 26).print_allocations()
"""
_TOTAL = re.compile(r"Arena allocation total (\d+) bytes")


def export_tflm(bundle: Bundle, out: Path, *, members: Sequence[str] | None = None,
                command: str = "") -> dict[str, int]:
    """Write asc_tflm_models.h and .cc, and sizes.json.

    Args:
        bundle: What to export; it needs int8 members.
        out: The folder to write.
        members: Names of the members to take; all by default.
        command: What the user typed, for the provenance.

    Returns:
        Flash and arena in bytes: "flash_bytes", "arena_bytes", and per member "<name>_bytes", "<name>_arena_bytes".

    Raises:
        BundleError: The bundle has no int8 variant or no such member.
        ModelFileError: A member has an operator for which no resolver call is known.
        MissingDependencyError: The wheel tflite-micro is not installed.
    """
    variant = next((v for v in _VARIANTS if v in bundle.variants), None)
    if variant is None:
        raise BundleError(f"{bundle.path} has no int8 members", found=", ".join(bundle.variants),
                          wanted=" or ".join(_VARIANTS), fix="Convert the run again with --variants int8-dense.")
    if out.is_file():
        raise InputError(f"{out} is a file", wanted="a folder", fix="Choose another name.")
    names = list(members) if members is not None else [member.name for member in bundle.members]
    models = {name: _dense(bundle.member_bytes(name, variant)) for name in names}
    adders = sorted({adder for name, model in models.items() for adder in _adders(name, model)})
    arenas = {name: arena_bytes(model) for name, model in models.items()}
    origin = provenance(f"variant {variant}.", bundle_sha256=manifest_sha256(bundle), command=command)
    sizes = {"flash_bytes": sum(map(len, models.values())), "arena_bytes": max(arenas.values())}
    for name, model in models.items():
        sizes |= {f"{name}_bytes": len(model), f"{name}_arena_bytes": arenas[name]}
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "asc_tflm_models.h", _header(models, adders, sizes["arena_bytes"], origin))
    write_text(out / "asc_tflm_models.cc", _source(models, origin))
    write_text(out / "sizes.json", json.dumps(sizes, indent=1) + "\n")
    return sizes


def arena_bytes(model: bytes) -> int:
    """What one member needs as tensor arena, rounded up to 16 bytes, by TFLite Micro's recording allocator."""
    if importlib.util.find_spec("tflite_micro") is None:
        raise MissingDependencyError("measuring the tensor arena needs TFLite Micro",
                                     fix="Run: pip install --pre tflite-micro")
    # A process of its own: the allocator prints, and only on standard error.
    done = subprocess.run([sys.executable, "-c", _MEASURE], input=model, capture_output=True, check=False)
    text = done.stderr.decode(errors="replace")
    found = _TOTAL.search(text)
    if done.returncode or found is None:
        raise VerificationError("TFLite Micro does not run this member", found=text[-300:])
    return -(-int(found[1]) // 16) * 16


def _dense(data: bytes) -> bytes:
    return compact(densify(data)) if is_sparse(data) else data


def _adders(name: str, model: bytes) -> set[str]:
    operators = {operator.name for operator in read_model(model, raw=True).operators}
    if unknown := sorted(operators - set(_ADDERS)):
        raise ModelFileError(f"member {name}: no call of TFLite Micro's resolver is known for {', '.join(unknown)}",
                             wanted=", ".join(_ADDERS))
    return {_ADDERS[operator] for operator in operators}


def _symbol(name: str) -> str:
    return "asc_tflm_" + re.sub(r"\W", "_", name)


def _header(models: dict[str, bytes], adders: list[str], n_arena_bytes: int, origin: str) -> str:
    arrays = "\n".join(f"extern const unsigned char {_symbol(name)}[{len(model)}];" for name, model in models.items())
    calls = "\n".join(f"    resolver->{adder}();" for adder in adders)
    return f"""{origin}
#ifndef ASC_TFLM_MODELS_H
#define ASC_TFLM_MODELS_H

/* Members run one after the other and can share one arena: this is the largest, measured on a 64-bit machine. */
#define ASC_TFLM_ARENA_BYTES {n_arena_bytes}
#define ASC_TFLM_N_OPERATORS {len(adders)}

{arrays}

/* For a tflite::MicroMutableOpResolver<ASC_TFLM_N_OPERATORS>. */
template <typename Resolver>
void AscTflmAddOperators(Resolver *resolver) {{
{calls}
}}

#endif
"""


def _source(models: dict[str, bytes], origin: str) -> str:
    parts = [origin, '#include "asc_tflm_models.h"\n']
    for name, model in models.items():
        lines = [", ".join(map(str, model[i : i + 24])) for i in range(0, len(model), 24)]
        parts.append(f"alignas(16) const unsigned char {_symbol(name)}[{len(model)}] = {{\n    "
                     + ",\n    ".join(lines) + "};\n")
    return "\n".join(parts)
