"""Packed bundles for tests: real ones, and forged ones whose hash is right whatever is inside."""

from __future__ import annotations

import hashlib
import json
import lzma
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_asc.bundle import Bundle
from edge_asc.bundle.packing import MAGIC, pack_bundle, parse_pack
from tests.program import BUNDLE


def packed(path: Path, *, variant: str = "int8-sparse", **options: Any) -> Path:
    """A pack of the golden bundle with its recorded clip, which needs no runtime."""
    pack_bundle(Bundle.load(BUNDLE), path, variant=variant, **options)
    return path


def content_of(pack: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The manifest of a pack as plain values, and its files in order."""
    parsed = parse_pack(pack, where="pack")
    return json.loads(parsed.manifest_bytes), list(parsed.files.values())


def joined(manifest: dict[str, Any] | bytes, files: Sequence[bytes], *, signature: bytes = b"") -> bytes:
    """What stands inside the compression."""
    data = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    return b"".join([struct.pack("<IB", len(data), len(signature)), data, signature, *files])


def sealed(content: bytes) -> bytes:
    """Content -> a pack."""
    return with_hash(lzma.compress(content, check=lzma.CHECK_NONE, preset=0))


def with_hash(compressed: bytes) -> bytes:
    """Compressed content -> a pack."""
    return MAGIC + hashlib.sha256(compressed).digest() + compressed
