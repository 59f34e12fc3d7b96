"""Runs a bundle's ensemble on the golden window so many times: `python -m benchmarks.windows BUNDLE ENGINE TIMES`.

What aarch64.py counts the instructions of. The standard output is one line of JSON.
"""

from __future__ import annotations

import json
import sys

from edge_asc.bundle import Bundle
from edge_asc.runtime import load_ensemble


def main() -> None:
    """Say what runs, run it, say what it answers."""
    bundle = Bundle.load(sys.argv[1])
    variant = next(variant for variant in bundle.variants if variant.startswith("int8-"))
    ensemble = load_ensemble(bundle, variant=variant, engine=sys.argv[2])
    window = bundle.golden().features
    answers = [ensemble.probabilities(window).tolist() for _ in range(int(sys.argv[3]))]
    print(json.dumps({"description": ensemble.description, "probabilities": answers[-1],
                      "recorded": bundle.golden().outputs[variant].mean(axis=0).tolist()}))


if __name__ == "__main__":
    main()
