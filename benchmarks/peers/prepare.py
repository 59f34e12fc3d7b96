"""Writes down what the peers are asked: the golden clip, the right answers, and the networks as stock files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from edge_asc.audio import read_audio
from edge_asc.bundle import Bundle
from edge_asc.errors import InputError
from edge_asc.features import filterbank, log_mel
from edge_asc.tflite_file import densify, is_sparse, read_model

CLIPS = Path(__file__).parents[2] / "edge_asc" / "assets" / "clips"


def variant_of(bundle: Bundle, precision: str) -> str:
    """A variant of this precision, the default or a sparse one before a dense one.

    Raises:
        InputError: The bundle has none.
    """
    found = [variant for variant in bundle.variants if variant.startswith(f"{precision}-")]
    if not found:
        raise InputError(f"{bundle.path} has no {precision} variant, which the peers are compared with",
                         found=", ".join(bundle.variants),
                         fix="Convert the run again with --variants int8-sparse,float32-sparse.")
    return bundle.default_variant if bundle.default_variant in found else sorted(found, reverse=True)[0]


def prepare_question(bundle: Bundle, folder: Path) -> Path:
    """Write the folder that `question.Question.load` reads."""
    golden, spec = bundle.golden(), bundle.features
    variants = {precision: variant_of(bundle, precision) for precision in ("float32", "int8")}
    members = []
    for member in bundle.members:
        for precision, variant in variants.items():
            data = bundle.member_bytes(member.name, variant)
            data = densify(data) if is_sparse(data) else data
            path = folder / precision / f"{member.name}.tflite"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        members.append({"name": member.name, **_quantization(data)})
    np.savez(folder / "question.npz", samples=golden.samples, features=golden.features, filterbank=filterbank(spec),
             calibration=_windows(bundle), **{precision: golden.outputs[variant]
                                              for precision, variant in variants.items()})
    about = {"spec": {**spec.to_json(), "window_samples": spec.window_samples}, "members": members}
    (folder / "question.json").write_text(json.dumps(about, indent=1))
    return folder


def _quantization(data: bytes) -> dict[str, float]:
    """Scale and zero point of the input and the output of an int8 file."""
    model = read_model(data)
    found = {}
    for name, index in (("input", model.inputs[0]), ("output", model.outputs[0])):
        quantization = model.tensors[index].quantization
        assert quantization
        found |= {f"{name}_scale": float(quantization.scale[0]), f"{name}_zero_point": int(quantization.zero_point[0])}
    return found


def _windows(bundle: Bundle) -> np.ndarray:
    """Windows of the shipped clips, and of the golden clip at several levels: for quantisers that want real data."""
    spec, golden = bundle.features, bundle.golden()
    windows = [log_mel(golden.samples * np.float32(gain), spec) for gain in (1.0, 0.3, 0.1)]
    for path in sorted(CLIPS.glob("*.ogg")):
        samples = read_audio(path, sample_rate_hz=spec.sample_rate_hz, duration_s=spec.window_s + 0.1)
        windows.append(log_mel(samples, spec))
    return np.stack(windows)
