"""Writing a bundle: into a folder beside the target, checked as a reader would, then renamed into place.

A run that is killed half-way leaves the old bundle, or none where there was none, and never a half-written one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_asc.bundle.golden import Golden
from edge_asc.bundle.manifest import AUDIT, GOLDEN, MANIFEST, MODEL_CARD, FileEntry, MemberEntry
from edge_asc.bundle.reading import Bundle
from edge_asc.bundle.replacing import remove, require_replaceable, swap_in, sync_tree, write_file
from edge_asc.spec import FeatureSpec


@dataclass(frozen=True, kw_only=True)
class NewMember:
    """A member that is about to be saved: variant -> bytes of the .tflite file."""

    name: str
    architecture: str
    seed: int
    models: Mapping[str, bytes]
    n_parameters: int | None = None


def save_bundle(path: str | Path, *, labels: Sequence[str], features: FeatureSpec, members: Sequence[NewMember],
                golden: Golden | Callable[[Bundle], Golden],
                audit: Mapping[str, Any] | Callable[[Bundle], Mapping[str, Any]],
                model_card: str | Callable[[Bundle], str], made: Mapping[str, Any], default_variant: str) -> Bundle:
    """Write a bundle, all or nothing, and return it as a reader sees it.

    `golden`, `audit` and `model_card` may each be a function of the bundle-to-be: they are called in this order, and
    what the earlier ones made can be read through the argument. A bundle that stands at `path` is replaced once the
    new one is complete.

    Raises:
        BundleError: Something else than a bundle stands at `path`, or the parts do not fit together.
    """
    path = Path(path)
    require_replaceable(path)
    with _staged(Path(os.path.realpath(path))) as folder:
        entries = tuple(_save_member(folder, member) for member in members)
        bundle = Bundle(path=folder, labels=tuple(labels), features=features, members=entries, made=made,
                        default_variant=default_variant)
        content = golden(bundle) if callable(golden) else golden
        bundle = _with_file(bundle, GOLDEN, content.to_bytes())
        values = audit(bundle) if callable(audit) else audit
        bundle = _with_file(bundle, AUDIT, _json(values))
        card = model_card(bundle) if callable(model_card) else model_card
        bundle = _with_file(bundle, MODEL_CARD, card.encode())
        write_file(folder, MANIFEST, _json(bundle.to_json()))
        Bundle.load(folder)
    return Bundle.load(path)


def _save_member(folder: Path, member: NewMember) -> MemberEntry:
    files = {variant: _write(folder, f"members/{variant}/{member.name}.tflite", data)
             for variant, data in member.models.items()}
    return MemberEntry(name=member.name, architecture=member.architecture, seed=member.seed, files=files,
                       n_parameters=member.n_parameters)


def _with_file(bundle: Bundle, name: str, data: bytes) -> Bundle:
    return dataclasses.replace(bundle, files={**bundle.files, name: _write(bundle.path, name, data)})


def _json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _write(folder: Path, name: str, data: bytes) -> FileEntry:
    write_file(folder, name, data)
    return FileEntry(file=name, sha256=hashlib.sha256(data).hexdigest(), n_bytes=len(data))


@contextlib.contextmanager
def _staged(path: Path) -> Iterator[Path]:
    """A new folder beside `path` that takes its place when the block ends well, and is removed otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent))
    try:
        yield folder
        sync_tree(folder)
        old = swap_in(folder, path, aside=folder.with_suffix(".old"))
        if old is not None:
            remove(old)
    finally:
        remove(folder)
