"""Keras -> TFLite files of every variant, each loaded, run and compared with Keras before it counts as made.

TensorFlow's converter writes a dense file of one precision; `tflite_file.compact` makes the sparse and the dense
variant of it. The converter's own sparsity option gives the same answers in larger files.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_asc.errors import InputError, VerificationError
from edge_asc.quiet import captured_stderr
from edge_asc.runtime.interpreter import InterpretedMember
from edge_asc.tflite_file import compact, read_model, to_float16
from edge_asc.train import rounding
from edge_asc.train.keras2 import keras, tf
from edge_asc.train.models import count_nonzero, count_parameters, kernels

Float32 = npt.NDArray[np.float32]

PRECISIONS = ("float32", "float16", "int8")
VARIANTS = tuple(f"{precision}-{encoding}" for encoding in ("sparse", "dense") for precision in PRECISIONS)
FLOAT32_TOLERANCE = 1e-5
"""Largest difference of a probability between Keras and a float32 file on the runtime's built-in kernels."""
DELEGATE_TOLERANCE = 1e-4
"""The same with the default delegate, which adds up in yet another order; networks as trained stay below 1e-6."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """A converted file beside the Keras model, on the same windows."""

    n_windows: int
    label_agreement: float
    """Share of windows for which both name the same label."""
    largest_difference: float
    """Of any probability."""
    mean_difference: float
    delegate_label_agreement: float
    """With the runtime's default delegate, as the bundle is run."""
    delegate_largest_difference: float
    runtime: str
    n_kernel_zeros: int
    """Zeros among the kernel weights of the Keras model; all of them are zeros in the file too."""
    n_new_zeros: int
    """Kernel weights that only the file's precision made zero."""

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return asdict(self)


def convert_member(model: keras.Model, variants: Sequence[str], representative: Float32, *,
                   ranges: Mapping[str, Float32] | None = None) -> dict[str, bytes]:
    """TFLite files of a Keras model, batch 1, without names.

    Args:
        model: As trained and stripped: float32 [n, n_mels, n_frames, 1] -> probabilities.
        variants: Names such as "int8-sparse"; in a sparse file every kernel that is smaller so is sparse.
        representative: [n, n_mels, n_frames] clamped windows that show the int8 converter which values occur. The
            input's scale comes from their extremes, so members that shall share it need the same windows.
        ranges: Of the activations in int8, as they were learnt (`rounding.range_variables`); without them they are
            what the representative windows show.

    Returns:
        variant -> file.

    Raises:
        InputError: An unknown variant, or none.
    """
    require_variants(variants)
    plain: dict[str, bytes] = {}
    wanted = {variant.partition("-")[0] for variant in variants}
    if wanted & {"float32", "float16"}:
        plain["float32"] = _convert(model, None)
    if "float16" in wanted:
        # Byte for byte what the converter makes of the same model, in seconds less.
        plain["float16"] = to_float16(plain["float32"])
    if "int8" in wanted:
        plain["int8"] = _convert(model, representative) if ranges is None else _convert_rounding(model, ranges)
    return {variant: compact(plain[variant.partition("-")[0]], sparse=variant.endswith("-sparse"))
            for variant in variants}


def require_variants(variants: Sequence[str]) -> None:
    """Raises InputError if one is not among `VARIANTS`, or if there is none."""
    unknown = [variant for variant in variants if variant not in VARIANTS]
    if unknown or not variants:
        raise InputError("no such variant", found=", ".join(unknown) or "none", wanted=f"some of {', '.join(VARIANTS)}")


def check_member(model: keras.Model, data: bytes, variant: str, windows: Float32) -> Agreement:
    """Load a file, run it and compare it with the Keras model that it was made of.

    Args:
        windows: [n, n_mels, n_frames] clamped, real.

    Raises:
        VerificationError: A float32 file is further than 1e-5 (1e-4 with the delegate) from Keras, or a pruned weight
            is not zero any more.
        ModelFileError: The installed runtime cannot load the file.
    """
    n_zeros, n_new_zeros = _count_zeros(model, data, variant)
    expected = predict(model, windows)
    plain = InterpretedMember(data, name=variant, delegate=False)
    delegated = InterpretedMember(data, name=variant)
    found, as_run = (np.stack([member.probabilities(window) for window in windows]) for member in (plain, delegated))
    difference, run_difference = np.abs(found - expected), np.abs(as_run - expected)
    for found_by, largest, tolerance in (("", difference.max(), FLOAT32_TOLERANCE),
                                         (" with its delegate", run_difference.max(), DELEGATE_TOLERANCE)):
        if variant.startswith("float32") and not largest <= tolerance:
            raise VerificationError(f"the {variant} file does not compute what the Keras model computes",
                                    found=f"a difference of {largest:.2g} on {plain.engine}{found_by}",
                                    wanted=f"at most {tolerance:g}")
    return Agreement(
        n_windows=len(windows), label_agreement=_same_labels(found, expected),
        largest_difference=float(difference.max()), mean_difference=float(difference.mean()),
        delegate_label_agreement=_same_labels(as_run, expected), runtime=plain.engine,
        delegate_largest_difference=float(run_difference.max()), n_kernel_zeros=n_zeros, n_new_zeros=n_new_zeros)


def predict(model: keras.Model, windows: Float32) -> Float32:
    """[n, n_mels, n_frames] -> float32 [n, n_labels], by Keras."""
    batches = [model(windows[start:start + 32, ..., np.newaxis], training=False).numpy()
               for start in range(0, len(windows), 32)]
    return np.concatenate(batches)


def keras_counts(model: keras.Model) -> dict[str, Any]:
    """Parameters before the converter folds BatchNorm away, in sum and by layer."""
    layers = []
    for layer in model.layers:
        weights = [weight.numpy() for weight in layer.weights]
        if weights:
            layers.append({"name": layer.name, "kind": type(layer).__name__, "n": sum(w.size for w in weights),
                           "n_nonzero": int(sum(np.count_nonzero(w) for w in weights))})
    plain = [layer for layer in layers if layer["kind"] != "BatchNormalization"]
    return {"n_parameters": count_parameters(model), "n_nonzero": count_nonzero(model),
            "n_nonzero_without_batchnorm": sum(layer["n_nonzero"] for layer in plain), "layers": layers}


def _convert(model: keras.Model, representative: Float32 | None) -> bytes:
    """TensorFlow's converter: float32, or int8 throughout if there are representative windows."""
    converter = _converter(model, int8=representative is not None)
    if representative is not None:
        converter.representative_dataset = lambda: _one_by_one(representative)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return _run_converter(converter)


def _convert_rounding(model: keras.Model, ranges: Mapping[str, Float32]) -> bytes:
    """int8 throughout, each activation with the range that was learnt for it.

    Raises:
        VerificationError: The converter left something in floating point.
    """
    wrapped = rounding.wrap(model, for_conversion=True)
    rounding.set_ranges(wrapped, ranges)
    data = _run_converter(_converter(wrapped, int8=True))
    found = read_model(data)
    for operator in found.operators:
        kinds = {str(found.tensors[index].dtype) for index in (*operator.inputs, *operator.outputs) if index >= 0}
        if not kinds <= {"int8", "int32"} or operator.name in ("QUANTIZE", "DEQUANTIZE"):
            raise VerificationError("TensorFlow's converter left floating point in a network with ranges for int8",
                                    found=f"{operator.name} of {', '.join(sorted(kinds))}", wanted="int8",
                                    fix="Convert the weights of the last epoch: --weights last.")
    return data


def _converter(model: keras.Model, *, int8: bool) -> Any:
    signature = [tf.TensorSpec([1, *model.input_shape[1:]], tf.float32)]
    function = tf.function(lambda x: model(x, training=False), input_signature=signature)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], model)
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter


def _run_converter(converter: Any) -> bytes:
    # The converter reports its progress on both streams, and asks for statistics of inputs that carry their range.
    with captured_stderr(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Statistics for quantized inputs were expected", UserWarning)
        return bytes(converter.convert())


def _one_by_one(windows: Float32) -> Iterator[list[Float32]]:
    for window in windows:
        yield [window[np.newaxis, ..., np.newaxis]]


def _count_zeros(model: keras.Model, data: bytes, variant: str) -> tuple[int, int]:
    """(zeros of the Keras kernels, further zeros in the file), having checked that the former are zeros there too."""
    stored = [tensor.data != 0 for tensor in read_model(data).tensors
              if tensor.data is not None and len(tensor.shape) in (2, 4)]
    n_zeros = n_new_zeros = 0
    for name, kernel in kernels(model).items():
        # TFLite has the outputs first: [out, in] and [out, height, width, in].
        kept = np.moveaxis(kernel.numpy() != 0, -1, 0)
        matches = [place for place, mask in enumerate(stored) if mask.shape == kept.shape and not np.any(mask & ~kept)]
        if not matches:
            raise VerificationError(f"pruned weights of {name} are not zero any more in the {variant} file")
        mask = stored.pop(min(matches, key=lambda place: int(np.count_nonzero(kept & ~stored[place]))))
        n_zeros += int(np.count_nonzero(~kept))
        n_new_zeros += int(np.count_nonzero(kept & ~mask))
    return n_zeros, n_new_zeros


def _same_labels(found: Float32, expected: Float32) -> float:
    return float((found.argmax(axis=1) == expected.argmax(axis=1)).mean())
