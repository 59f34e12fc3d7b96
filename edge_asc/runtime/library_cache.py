"""Where compiled networks are kept: a file for each bundle and processor, whole or absent.

Its name says what it was made of and what it holds: KEY-HASH.so. So a file that was made of something else is never
found, and one that has changed since is never loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_asc.atomic import write_bytes
from edge_asc.bundle import Bundle
from edge_asc.errors import InputError

_N_KEPT = 8
_DAY_S = 86_400


def cache_folder() -> Path:
    """Where systemd says (CacheDirectory=), else the user's own place for such things."""
    if systemd := os.environ.get("CACHE_DIRECTORY"):
        return Path(systemd.split(":")[0])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-asc"


def library_key(bundle: Bundle, variant: str, *, processor: str, flags: Sequence[str]) -> str:
    """A name for everything that the library depends on: members, labels, shapes, the exporter, the processor.

    Not the compiler: whichever it was, the bits are the same, and a node may have lost it since.
    """
    spec = bundle.features
    parts = [processor, *flags, os.environ.get("CC", ""), *bundle.labels, str((spec.n_mels, spec.n_frames))]
    parts += [f"{member.name} {member.files[variant].sha256}" for member in bundle.members]
    return _short(hashlib.sha256("\0".join([*parts, _exporter_hash()]).encode()))


def find_library(key: str) -> Path | None:
    """The library of that key; damaged ones are passed over and taken away."""
    for path in sorted(cache_folder().glob(f"{key}-*.so")):
        with contextlib.suppress(OSError):
            if path.stem == f"{key}-{_short(hashlib.sha256(path.read_bytes()))}":
                return path
            path.unlink()
    return None


def keep_library(key: str, data: bytes) -> Path:
    """Put a library into the cache, which keeps the newest few."""
    folder = cache_folder()
    path = folder / f"{key}-{_short(hashlib.sha256(data))}.so"
    write_bytes(path, data)
    libraries = sorted(folder.glob("*-*.so"), key=lambda each: each.stat().st_mtime)
    for old in libraries[:-_N_KEPT]:
        old.unlink(missing_ok=True)
    return path


@contextlib.contextmanager
def workshop() -> Iterator[Path]:
    """A folder to build in, in the cache: what can be loaded here can be loaded there.

    Raises:
        InputError: The cache cannot be written.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left_over in folder.glob(".build-*"):
            if time.time() - left_over.stat().st_mtime > _DAY_S:
                shutil.rmtree(left_over, ignore_errors=True)
        place = tempfile.TemporaryDirectory(prefix=".build-", dir=folder)
    except OSError as error:
        raise InputError("the native engine has no place for its compiled networks",
                         found=f"{error.filename}: {error.strerror}", wanted=f"a folder {folder} that can be written",
                         fix="Name another one with XDG_CACHE_HOME=FOLDER.") from error
    with place as name:
        yield Path(name)


def _exporter_hash() -> str:
    """Of all sources that a library is generated from, without importing them."""
    spec = importlib.util.find_spec("firmware_export")
    assert spec
    assert spec.submodule_search_locations
    digest = hashlib.sha256()
    for path in sorted(Path(spec.submodule_search_locations[0]).rglob("*")):
        if path.suffix in (".py", ".c", ".h"):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _short(digest: hashlib._Hash) -> str:
    return digest.hexdigest()[:24]
