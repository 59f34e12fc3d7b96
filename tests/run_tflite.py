"""Run .tflite files on tflite-runtime, in its own environment: run_tflite.py WINDOWS.npy OUT.npz FILE...

Knows nothing of edge-asc, so that the environment needs tflite-runtime and NumPy only.
"""

import sys

import numpy as np
from tflite_runtime import interpreter as module


def run(path, windows, resolver):
    interpreter = module.Interpreter(path, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for window in windows:
        values = window[np.newaxis, ..., np.newaxis]
        if source["dtype"] == np.int8:
            scale, zero_point = source["quantization"]
            values = np.clip(np.rint(values / scale) + zero_point, -128, 127).astype(np.int8)
        interpreter.set_tensor(source["index"], values)
        interpreter.invoke()
        rows.append(interpreter.get_tensor(target["index"])[0])
    return np.array(rows)


if __name__ == "__main__":
    inputs = np.load(sys.argv[1])
    kinds = module.OpResolverType
    np.savez(sys.argv[2], **{f"{kind}:{path}": run(path, inputs, resolver) for path in sys.argv[3:] for kind, resolver
                             in (("plain", kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES), ("delegate", kinds.AUTO))})
