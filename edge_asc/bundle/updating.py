"""Putting a packed bundle in the place of the one that runs, and back: `unpack` and `rollback`.

Everything is checked before anything is replaced; then two names are swapped. Killed at any moment, the place holds
the old bundle or the new one, whole, and the next call tidies up. Beside a bundle at DIR:

    DIR.previous              what `rollback` swaps back in
    .DIR.xxxxxxxx.unpack-part   being written
    .DIR.HASH.unpack-new      complete; after the swap the old bundle, which is no longer the one that HASH names
    .DIR.HASH.unpack-aside    the old bundle where the file system cannot swap
    .DIR.HASH.unpack-old      the bundle before the previous one, on its way out
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_asc.bundle.manifest import MANIFEST, SIGNATURE, read_manifest
from edge_asc.bundle.packing import Pack, read_pack
from edge_asc.bundle.reading import Bundle
from edge_asc.bundle.replacing import alone_in, remove, require_replaceable, swap_in, sync, sync_tree, write_file
from edge_asc.errors import BundleError

Check = Callable[[Bundle], object]
"""Looks at a bundle that is about to be put in place and raises if it must not be."""


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """What `unpack_bundle` did."""

    bundle: Bundle
    is_new: bool
    """False if this very bundle was there already; nothing was done then."""
    previous: Path | None
    """What `rollback_bundle` would put back."""


def unpack_bundle(file: str | Path, path: str | Path, *, public_key: str | Path | None = None,
                  check: Check | None = None) -> Unpacked:
    """Check a pack, unpack it beside `path`, check it again from the disk, and put it there in one step.

    Args:
        file: From `pack_bundle`.
        path: Where the bundle shall stand. A bundle there becomes the previous one, unless it is damaged.
        public_key: Ed25519 key by whose holder it must be signed.
        check: Called with the unpacked bundle before it is put in place.

    Raises:
        BundleError: The pack is damaged or not signed as wanted, or something else than a bundle stands at `path`.
            The bundle at `path` is untouched then.
    """
    pack = read_pack(file, public_key=public_key)
    where = Path(os.path.realpath(path))
    require_replaceable(where)
    require_replaceable(_previous(where))
    where.parent.mkdir(parents=True, exist_ok=True)
    with alone_in(where.parent):
        _settle(where)
        is_new = not _holds(where, pack)
        if is_new:
            _put(pack, where, public_key=public_key, check=check)
        previous = _previous(where)
        return Unpacked(bundle=Bundle.load(path, public_key=public_key), is_new=is_new,
                        previous=previous if previous.exists() else None)


def rollback_bundle(path: str | Path, *, public_key: str | Path | None = None, check: Check | None = None) -> Bundle:
    """Swap the bundle at `path` with the previous one, which is checked first. Twice is back again.

    Raises:
        BundleError: There is no previous one, or it is damaged or not signed as wanted. Nothing is changed then.
    """
    where = Path(os.path.realpath(path))
    if not where.parent.is_dir():
        raise BundleError(f"{path} is not a bundle", found="no such folder")
    with alone_in(where.parent):
        _settle(where)
        previous = _previous(where)
        if not previous.exists():
            raise BundleError(f"{path} has no previous bundle to go back to", wanted=str(previous),
                              fix="`edge-asc bundle unpack` keeps one whenever it replaces a bundle.")
        found = Bundle.load(previous, public_key=public_key)
        if check is not None:
            check(found)
        old = swap_in(previous, where, aside=_beside(where, _key(previous), "aside"))
        if old is not None and old != previous:
            old.rename(previous)
        sync(where.parent)
        return Bundle.load(path, public_key=public_key)


def _put(pack: Pack, where: Path, *, public_key: str | Path | None, check: Check | None) -> None:
    folder = Path(tempfile.mkdtemp(prefix=f".{where.name}.", suffix=".unpack-part", dir=where.parent))
    try:
        for name, data in pack.files.items():
            write_file(folder, name, data)
        write_file(folder, MANIFEST, pack.manifest_bytes)
        if pack.signature is not None:
            write_file(folder, SIGNATURE, pack.signature)
        bundle = Bundle.load(folder, public_key=public_key)
        if check is not None:
            check(bundle)
        sync_tree(folder)
        key = _key(folder)
        ready = _beside(where, key, "new")
        folder.rename(ready)
    except BaseException:
        remove(folder)
        raise
    old = swap_in(ready, where, aside=_beside(where, key, "aside"))
    if old is not None:
        _keep(old, where)


def _keep(old: Path, where: Path) -> None:
    """Make `old` the previous bundle of `where`; a damaged one never takes the place of a good one."""
    if _is_whole(old):
        previous = _previous(where)
        gone = _beside(where, _key(old), "old")
        if previous.exists():
            previous.rename(gone)
        old.rename(previous)
        sync(where.parent)
        remove(gone)
    else:
        remove(old)


def _settle(where: Path) -> None:
    """Finish or undo what was killed half-way."""
    leftovers = re.compile(rf"\.{re.escape(where.name)}\.([0-9a-z_]+)\.unpack-(part|new|aside|old)")
    # In this order of names an old bundle that stepped aside is seen before the new one that was to follow it.
    for folder in sorted(where.parent.iterdir()):
        match = leftovers.fullmatch(folder.name)
        if match is None:
            continue
        key, kind = match.groups()
        if kind in ("part", "old"):
            remove(folder)
        elif kind == "aside" and not where.exists():
            folder.rename(where)
        elif kind == "new" and _key(folder) == key:
            remove(folder)
        else:
            _keep(folder, where)


def _holds(where: Path, pack: Pack) -> bool:
    """Whether this very bundle stands there, whole."""
    signature = (where / SIGNATURE).read_bytes() if (where / SIGNATURE).is_file() else None
    return _is_whole(where) and read_manifest(where) == pack.manifest_bytes and signature == pack.signature


def _is_whole(folder: Path) -> bool:
    try:
        Bundle.load(folder)
    except (BundleError, OSError):
        return False
    return True


def _key(folder: Path) -> str:
    """The hash of a bundle's manifest, as far as a name needs it; empty if there is none."""
    try:
        return hashlib.sha256(read_manifest(folder)).hexdigest()[:16]
    except (BundleError, OSError):
        return ""


def _previous(where: Path) -> Path:
    return where.with_name(f"{where.name}.previous")


def _beside(where: Path, key: str, kind: str) -> Path:
    return where.with_name(f".{where.name}.{key}.unpack-{kind}")
