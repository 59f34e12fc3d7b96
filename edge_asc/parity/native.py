"""The native engine in a parity report: it compiles a bundle rather than running a file, so it has answers alone.

Its layers are no files that another engine's inputs could be given to. What stands in for them is the check of each
compiled library against plain C, and the firmware's proof of every layer (`edge-asc firmware verify`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_asc.bundle import Bundle
from edge_asc.runtime import NATIVE, load_ensemble

NATIVE_KERNELS = "reference"
"""It computes what they compute, and is held to the same tolerance (a key of `worker.KERNELS`)."""


def native_probabilities(bundle: Bundle, variant: str, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """[n, n_mels, n_frames], clamped -> [n_members, n, n_labels], compiled first where that was not done before.

    Raises:
        MissingDependencyError: It was not, and there is no compiler.
        EdgeAscError: As `runtime.native.load_native`.
    """
    ensemble = load_ensemble(bundle, variant=variant, engine=NATIVE)
    return np.stack([ensemble.member_probabilities(window) for window in windows], axis=1)
