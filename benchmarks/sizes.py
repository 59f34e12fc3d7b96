"""Bytes of the paper's ensemble, by TensorFlow's converter and by edge-asc: the table "Every byte" of the README.

Run: python -m benchmarks.sizes   (needs the extra `train`; minutes). Seeded weights, 80 % of each kernel zero; sizes do
not depend on the machine.
"""

from __future__ import annotations

from edge_asc.train import member_files  # first: it makes TensorFlow use Keras 2

import numpy as np  # isort: skip
from edge_asc.train.models import build, kernels
from tests.golden.make_models import convert

ENSEMBLE = (("V(2,2,3,3)", 5), ("I(2,1,2)", 1))
ROWS = (("int8", "sparse"), ("float16", "sparse"), ("float32", "sparse"), ("int8", "dense"))


def pruned(architecture: str) -> member_files.keras.Model:
    """Initial weights, other vectors drawn, the smallest 80 % of every kernel set to zero."""
    model = build(architecture, seed=1)
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if weight.shape.rank == 1:  # biases and BatchNorm; what is zero or the same everywhere would cost nothing
            weight.assign(weight + rng.uniform(0.01, 0.5, weight.shape))
    for kernel in kernels(model).values():
        values = kernel.numpy()
        kernel.assign(np.where(np.abs(values) > np.quantile(np.abs(values), 0.8), values, 0))
    return model


def windows() -> member_files.Float32:
    """[4, 48, 467] like dB; which values occur does not change a size."""
    return np.clip(np.random.default_rng(0).normal(-45, 15, (4, 48, 467)), -100, 30).astype(np.float32)


def main() -> None:
    """Print the table."""
    inputs, sums = windows(), {row: [0, 0] for row in ROWS}
    for architecture, n_members in ENSEMBLE:
        model = pruned(architecture)
        ours = member_files.convert_member(model, ["-".join(row) for row in ROWS], inputs)
        for precision, encoding in ROWS:
            theirs = convert(model, precision, inputs, sparse=encoding == "sparse")
            sums[precision, encoding][0] += n_members * len(theirs)
            sums[precision, encoding][1] += n_members * len(ours[f"{precision}-{encoding}"])
    print("| sum of the files, KiB | TensorFlow's converter | edge-asc |\n|---|---|---|")
    for row, (theirs_bytes, ours_bytes) in sums.items():
        print(f"| {', '.join(row)} | {theirs_bytes / 1024:.1f} | {ours_bytes / 1024:.1f} |")


if __name__ == "__main__":
    main()
