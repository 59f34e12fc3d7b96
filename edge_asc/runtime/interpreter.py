"""One network on a TFLite interpreter: LiteRT or tflite-runtime.

Sparse files are expanded in memory, a delegate's refusal is retried without the delegate, and int8 stays inside.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asc.errors import InputError, ModelFileError
from edge_asc.quantization import dequantize, quantize
from edge_asc.quiet import captured_stderr
from edge_asc.runtime.amx import amx_refused
from edge_asc.runtime.engines import find_interpreter


class InterpretedMember:
    """A loaded network: window in, probabilities out.

    Args:
        data: The .tflite file.
        name: For messages.
        engine: "auto", "litert" or "tflite-runtime".
        delegate: Use the runtime's default delegate (XNNPACK). Without it results are those of the built-in kernels.
        n_threads: Threads inside one inference.
        notify: Called with a sentence when something was not as asked for.

    Raises:
        ModelFileError: The runtime cannot load or prepare the file, or it is not one window in, one row out.
        MissingDependencyError: The runtime is not installed.
    """

    def __init__(self, data: bytes, *, name: str = "model", engine: str = "auto", delegate: bool = True,
                 n_threads: int = 1, notify: Callable[[str], None] | None = None) -> None:
        self.name = name
        self.engine, module = find_interpreter(engine)
        notify = notify or _ignore
        self._interpreter, self.uses_delegate = _load(_dense(data, name), name, module, delegate, n_threads, notify)
        self._input = _single(self._interpreter.get_input_details(), name, "input")
        self._output = _single(self._interpreter.get_output_details(), name, "output")
        if len(self._input["shape"]) != 4 or len(self._output["shape"]) != 2:
            raise ModelFileError(f"{name} does not take one window and give one row",
                                 found=f"{_shape(self._input)} -> {_shape(self._output)}",
                                 wanted="(1, n_mels, n_frames, 1) -> (1, n_labels)")

    @property
    def window_shape(self) -> tuple[int, ...]:
        """(n_mels, n_frames) that the network wants."""
        return tuple(int(n) for n in self._input["shape"][1:3])

    @property
    def n_labels(self) -> int:
        """Length of one row of probabilities."""
        return int(self._output["shape"][1])

    @property
    def output_step(self) -> float:
        """The difference between neighbouring output values: 0 for float, the scale for int8."""
        return 0.0 if self._output["dtype"] == np.float32 else float(self._output["quantization"][0])

    def probabilities(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [n_mels, n_frames] in dB, clamped -> float32 [n_labels]."""
        values: NDArray[Any] = np.asarray(window, np.float32)
        if values.shape != self.window_shape:
            raise InputError(f"{self.name} takes another window", found=values.shape, wanted=self.window_shape)
        if self._input["dtype"] == np.int8:
            scale, zero_point = self._input["quantization"]
            values = quantize(values, scale=scale, zero_point=zero_point)
        self._interpreter.set_tensor(self._input["index"], values[np.newaxis, :, :, np.newaxis])
        self._interpreter.invoke()
        row = self._interpreter.get_tensor(self._output["index"])[0]
        if self._output["dtype"] == np.int8:
            scale, zero_point = self._output["quantization"]
            row = dequantize(row, scale=scale, zero_point=zero_point)
        if not np.isfinite(row).all():
            raise ModelFileError(f"{self.name} answered with something that is not a number", found=row.tolist(),
                                 fix="Run `edge-asc verify` on the bundle; the input or the weights are damaged.")
        return np.asarray(row, np.float32)


def _dense(data: bytes, name: str) -> bytes:
    # Stock runtimes rebuild sparse tensors themselves, keep both copies, and XNNPACK refuses the int8 ones.
    from edge_asc import tflite_file

    try:
        model = tflite_file.read_model(data)  # refuses damage that would abort the process inside the interpreter
        return tflite_file.write_model(model) if any(tensor.is_sparse for tensor in model.tensors) else data
    except ModelFileError as error:
        raise ModelFileError(f"{name}: {error}") from error


def _load(data: bytes, name: str, module: ModuleType, delegate: bool, n_threads: int,
          notify: Callable[[str], None]) -> tuple[Any, bool]:
    """An interpreter with its tensors allocated and one inference done, and whether the delegate is in use."""
    refusal = ""
    for use_delegate in (True, False) if delegate else (False,):
        kinds = module.OpResolverType
        resolver = kinds.AUTO if use_delegate else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        with captured_stderr() as captured, amx_refused():
            try:
                interpreter = module.Interpreter(model_content=data, num_threads=n_threads,
                                                 experimental_op_resolver_type=resolver)
                interpreter.allocate_tensors()
                interpreter.invoke()  # some refusals come only now; the first inference is also the slow one
            except (ValueError, RuntimeError) as error:
                refusal = str(error).strip() or captured()
                continue
        if refusal:
            notify(f"{name}: the delegate refused this model ({_first_line(refusal)}); it runs without it, several "
                   "times slower")
        return interpreter, use_delegate
    raise ModelFileError(f"{name}: the runtime cannot load this model: {_first_line(refusal)}",
                         fix="Run `edge-asc verify` on the bundle, or try another variant with --variant.")


def _single(details: list[dict[str, Any]], name: str, what: str) -> dict[str, Any]:
    if len(details) != 1 or details[0]["dtype"] not in (np.float32, np.int8):
        raise ModelFileError(f"{name} has an {what} that is not supported",
                             found=", ".join(f"{np.dtype(d['dtype']).name}{_shape(d)}" for d in details),
                             wanted="one of type float32 or int8")
    return details[0]


def _shape(detail: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(n) for n in detail["shape"])


def _first_line(text: str) -> str:
    return text.splitlines()[0][:200] if text else "no reason given"


def _ignore(message: str) -> None:
    del message
