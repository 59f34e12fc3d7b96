"""The work of a bundle's networks for one window, counted from the files: multiplications and bytes moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge_asc.audit import audit_bundle
from edge_asc.bench.energy import Energy, estimate
from edge_asc.bundle import Bundle
from edge_asc.tflite_file import Model, read_model


def sizes(bundle: Bundle) -> dict[str, dict[str, int]]:
    """Variant -> bytes of all files, the same packed with zlib, multiplications with and without zeros."""
    variants = audit_bundle(bundle, budgets=()).variants
    return {variant: {"file_bytes": members[-1].file_bytes, "packed_bytes": members[-1].compressed_bytes,
                      "macs": members[-1].macs, "macs_nonzero": members[-1].macs_nonzero,
                      "traffic_bytes": sum(traffic_bytes(read_model(bundle.member_bytes(member.name, variant)))
                                           for member in bundle.members)}
            for variant, members in variants.items()}


def traffic_bytes(model: Model) -> int:
    """Every operator reads its inputs and weights once and writes its output once: no cache, dense weights."""
    return sum(model.tensors[index].n_elements * model.tensors[index].dtype.itemsize
               for operator in model.operators for index in (*operator.inputs, *operator.outputs) if index >= 0)


def estimated_energy(sizes: Mapping[str, Any], *, variant: str, skips_zeros: bool, hop_s: float) -> Energy:
    """For one second of audio, one window each hop."""
    macs = sizes["macs_nonzero" if skips_zeros else "macs"]
    return estimate(macs_per_s=macs / hop_s, bytes_per_s=sizes["traffic_bytes"] / hop_s,
                    precision=variant.partition("-")[0])
