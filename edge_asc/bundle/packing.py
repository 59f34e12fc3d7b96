"""A bundle as one file for the air: one variant, hashed as a whole, compressed, perhaps signed.

    8 bytes    b"EDGEASC1"
    32 bytes   SHA-256 of all that follows
    xz         lengths of the next two (uint32 and uint8, little endian), manifest.json, signature (0 or 64 bytes),
               then the files in the order in which the manifest names them, each as long as it says

The manifest is the only table of contents: there are no names, links or modes that it does not check.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import lzma
import struct
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge_asc import atomic
from edge_asc.bundle.golden import Golden
from edge_asc.bundle.manifest import (
    COPY_AGAIN,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    STRANGER,
    FileEntry,
    Manifest,
    parse_json,
    parse_manifest,
    read_manifest,
)
from edge_asc.bundle.reading import Bundle
from edge_asc.bundle.saving import NewMember, save_bundle
from edge_asc.bundle.signing import SIGNATURE_BYTES, sign, verify
from edge_asc.errors import BundleError, InputError
from edge_asc.tflite_file import compact

MAGIC = b"EDGEASC1"
MAX_CONTENT_BYTES = 64 << 20
"""Of everything in a pack. What claims to be more is refused before it is unpacked."""
_DIGEST_BYTES = 32
_LENGTHS = struct.Struct("<IB")
_MAX_DECODER_BYTES = 80 << 20
_LITERAL_CONTEXTS = ({"lc": 4, "lp": 0, "pb": 0}, {"lc": 0, "lp": 2, "pb": 2})
"""LZMA's ways to guess a byte: from the one before it (int8, index arrays), or from its place in a word (floats)."""


@dataclass(frozen=True, kw_only=True)
class Pack:
    """The content of a pack, every hash and the signature, if one was asked for, checked."""

    manifest: Manifest
    manifest_bytes: bytes
    signature: bytes | None
    files: Mapping[str, bytes]
    """Path below the bundle's folder -> content."""


def pack_bundle(bundle: Bundle, file: str | Path, *, variant: str | None = None, keep_audit: bool = False,
                golden: Callable[[Bundle], Golden] | None = None, private_key: str | Path | None = None) -> int:
    """Write one variant of a bundle as one file, in one step.

    Args:
        bundle: From `Bundle.load`.
        file: Where to; replaced once the new one is complete.
        variant: The bundle's default if None. Its files are compacted if that makes them smaller.
        keep_audit: Whether audit.json goes along; it speaks of every variant and is of no use on a device.
        golden: Makes the golden clip of the packed bundle; None keeps the recorded one, about a megabyte.
        private_key: Sign the packed manifest with the Ed25519 key in this file.

    Returns:
        The size of the file in bytes.

    Raises:
        InputError: The bundle has no such variant, or the key is none.
        BundleError: The bundle is damaged.
    """
    variant = variant or bundle.default_variant
    if variant not in bundle.variants:
        raise InputError(f"{bundle.path} has no variant {variant!r}", wanted=f"one of {', '.join(bundle.variants)}")
    members = [NewMember(name=member.name, architecture=member.architecture, seed=member.seed,
                         n_parameters=member.n_parameters,
                         models={variant: _smallest(bundle.member_bytes(member.name, variant), variant)})
               for member in bundle.members]
    manifest = hashlib.sha256(read_manifest(bundle.path)).hexdigest()
    with tempfile.TemporaryDirectory() as folder:
        small = save_bundle(Path(folder) / "bundle", labels=bundle.labels, features=bundle.features, members=members,
                            golden=golden or _golden_of(bundle, variant), model_card=bundle.model_card(),
                            audit=bundle.audit() if keep_audit else {}, default_variant=variant,
                            made={**bundle.made, "packed_from": {"manifest_sha256": manifest}})
        manifest_bytes = read_manifest(small.path)
        signature = b"" if private_key is None else sign(manifest_bytes, private_key=private_key)
        content = b"".join([_LENGTHS.pack(len(manifest_bytes), len(signature)), manifest_bytes, signature,
                            *(small.read(entry) for entry in _distinct(small, str(bundle.path)))])
    if len(content) > MAX_CONTENT_BYTES:
        raise BundleError(f"{bundle.path} is too large to be packed", found=f"{len(content)} bytes",
                          wanted=f"at most {MAX_CONTENT_BYTES}")
    compressed = min((_compress(content, context) for context in _LITERAL_CONTEXTS), key=len)
    data = MAGIC + hashlib.sha256(compressed).digest() + compressed
    atomic.write_bytes(Path(file), data)
    return len(data)


def read_pack(file: str | Path, *, public_key: str | Path | None = None) -> Pack:
    """Read and check a pack; nothing is written.

    Raises:
        BundleError: It cannot be read, is damaged, not a pack, too large, or not signed as `public_key` wants it.
    """
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(MAX_CONTENT_BYTES + 1)
    except OSError as error:
        raise BundleError(f"cannot read {file}: {error.strerror}", wanted="a packed bundle") from error
    return parse_pack(data, where=str(file), public_key=public_key)


def parse_pack(data: bytes, *, where: str, public_key: str | Path | None = None) -> Pack:
    """As `read_pack`, from memory; `where` names the pack in messages."""
    head = len(MAGIC) + _DIGEST_BYTES
    if not data.startswith(MAGIC):
        raise BundleError(f"{where} is not a packed bundle", fix="Give a file that `edge-asc bundle pack` wrote.")
    if len(data) > MAX_CONTENT_BYTES or hashlib.sha256(data[head:]).digest() != data[len(MAGIC):head]:
        raise BundleError(f"{where} is damaged or not complete: its hash is another one", fix="Transfer it again.")
    stream = _Stream(data[head:], where)
    n_manifest, n_signature = _LENGTHS.unpack(stream.take(_LENGTHS.size))
    if n_manifest > MAX_MANIFEST_BYTES or n_signature not in (0, SIGNATURE_BYTES):
        raise BundleError(f"{where} has impossible lengths in it", found=f"{n_manifest} and {n_signature} bytes",
                          wanted=f"at most {MAX_MANIFEST_BYTES}, and 0 or {SIGNATURE_BYTES}", fix=STRANGER)
    manifest_bytes = stream.take(n_manifest)
    signature = stream.take(n_signature) or None
    if public_key is not None:
        verify(manifest_bytes, signature, public_key=public_key, where=where)
    name = f"{where}, {MANIFEST}"
    manifest = parse_manifest(parse_json(manifest_bytes, where=name), where=name)
    entries = _distinct(manifest, where)
    if sum(entry.n_bytes for entry in entries) > MAX_CONTENT_BYTES:
        raise BundleError(f"{where} would unpack to more than {MAX_CONTENT_BYTES >> 20} MiB", fix=STRANGER)
    files = {}
    for entry in entries:
        files[entry.file] = stream.take(entry.n_bytes)
        if hashlib.sha256(files[entry.file]).hexdigest() != entry.sha256:
            raise BundleError(f"{where}: {entry.file} is not what its manifest says", fix=COPY_AGAIN)
    stream.end()
    return Pack(manifest=manifest, manifest_bytes=manifest_bytes, signature=signature, files=files)


class _Stream:
    """xz data, of which never more is unpacked than was asked for."""

    def __init__(self, data: bytes, where: str) -> None:
        self._xz = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_DECODER_BYTES)
        self._input, self._where = data, where

    def take(self, n_bytes: int) -> bytes:
        """The next `n_bytes`."""
        parts = []
        while n_bytes:
            part = b"" if self._xz.eof else self._decompress(n_bytes)
            if not part:
                raise BundleError(f"{self._where} ends too early", fix=STRANGER)
            parts.append(part)
            n_bytes -= len(part)
        return b"".join(parts)

    def end(self) -> None:
        """Raises BundleError unless everything has been taken."""
        if (not self._xz.eof and self._decompress(1)) or not self._xz.eof or self._xz.unused_data:
            raise BundleError(f"{self._where} goes on behind its end", fix=STRANGER)

    def _decompress(self, n_bytes: int) -> bytes:
        data, self._input = self._input, b""
        try:
            return self._xz.decompress(data, max_length=n_bytes)
        except lzma.LZMAError as error:
            raise BundleError(f"{self._where} cannot be unpacked: {error}", fix=STRANGER) from error


def _distinct(manifest: Manifest, where: str) -> list[FileEntry]:
    """The files of a bundle, each once, none of which is a folder of another."""
    entries: dict[str, FileEntry] = {}
    for entry in manifest.all_files():
        if entries.setdefault(entry.file, entry) != entry:
            raise BundleError(f"{where} names one file twice", found=entry.file, fix=STRANGER)
    folders = set(itertools.chain.from_iterable(PurePosixPath(name).parents for name in entries))
    if both := [name for name in entries if PurePosixPath(name) in folders]:
        raise BundleError(f"{where} names something as a file and as a folder", found=both[0], fix=STRANGER)
    return list(entries.values())


def _golden_of(bundle: Bundle, variant: str) -> Golden:
    golden = bundle.golden()
    outputs = golden.outputs[variant]
    return dataclasses.replace(golden, outputs={variant: outputs}, probabilities=outputs.mean(axis=0), deflate=False)


def _smallest(data: bytes, variant: str) -> bytes:
    return min(data, compact(data, sparse=variant.endswith("-sparse")), key=len)


def _compress(content: bytes, context: Mapping[str, int]) -> bytes:
    # A dictionary no larger than what it can hold: the reader must allocate it.
    dict_size = 1 << max(16, (len(content) - 1).bit_length())
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": dict_size, **context}]
    return lzma.compress(content, format=lzma.FORMAT_XZ, check=lzma.CHECK_NONE, filters=filters)
