"""An export's files on disk: all or nothing, and never in the place of something that the exporter did not write."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edge_asc.bundle.replacing import remove, swap_in, sync_tree
from edge_asc.errors import InputError
from firmware_export.output.exported import EXPORT_JSON

_N_NAMED = 5


def write_folder(out: Path, files: Mapping[str, str], about: Mapping[str, object]) -> None:
    """Write a folder, or replace an earlier export by it.

    Args:
        out: The folder; a symbolic link stays one.
        files: Path in the folder -> content.
        about: What export.json says; the hash of each file is added.

    Raises:
        InputError: At `out` stands something else than an export, or one to which somebody has added or changed files.
    """
    require_replaceable(out)
    where = Path(os.path.realpath(out))
    where.parent.mkdir(parents=True, exist_ok=True)
    hashes = {name: _sha256(text.encode()) for name, text in files.items()}
    text = json.dumps({**about, "files": hashes}, indent=1) + "\n"
    folder = Path(tempfile.mkdtemp(prefix=f".{where.name}.", dir=where.parent))
    try:
        for name, content in {**files, EXPORT_JSON: text}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode())
        sync_tree(folder)
        if (old := swap_in(folder, where, aside=folder.with_name(f"{folder.name}.old"))) is not None:
            remove(old)
    finally:
        remove(folder)


def require_replaceable(out: Path) -> None:
    """Raises InputError unless nothing, an empty folder or an untouched export stands at `out`."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        written = set(json.loads((out / EXPORT_JSON).read_bytes())["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{out} exists and is not an export, so it is not replaced",
                         fix="Choose another folder.") from None
    there = {path.relative_to(out).as_posix(): path for path in sorted(out.rglob("*"))
             if path.is_symlink() or not path.is_dir()}
    there.pop(EXPORT_JSON)
    if touched := [name for name, path in there.items()
                   if not path.is_file() or (name, _sha256(path.read_bytes())) not in written]:
        more = f" and {len(touched) - _N_NAMED} more" if len(touched) > _N_NAMED else ""
        raise InputError(f"{out} has files that the exporter did not write or that were edited, so it is not replaced",
                         found=", ".join(touched[:_N_NAMED]) + more, wanted="an export as it was written",
                         fix="Keep your own files outside of the export; move these away, or choose another folder.")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
