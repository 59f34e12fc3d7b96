"""Reading a bundle. Nothing is trusted: every file is as long as the manifest says and has the hash that it names."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import edge_asc
from edge_asc.bundle.golden import Golden
from edge_asc.bundle.manifest import (
    AUDIT,
    COPY_AGAIN,
    GOLDEN,
    MANIFEST,
    MODEL_CARD,
    READABLE,
    SIGNATURE,
    STRANGER,
    FileEntry,
    Manifest,
    parse_json,
    parse_manifest,
    read_manifest,
)
from edge_asc.errors import BundleError


@dataclass(frozen=True, kw_only=True)
class Bundle(Manifest):
    """A manifest and the folder it stands in. Make one with `Bundle.load`."""

    path: Path
    fingerprint: str = ""
    """The first 12 hex digits of the manifest's SHA-256: the same wherever this very bundle stands. Empty before it is
    saved."""

    @classmethod
    def load(cls, path: str | Path, *, public_key: str | Path | None = None) -> Bundle:
        """Read and check a bundle: version, keys, presence, sizes and hashes of every file.

        Args:
            path: Its folder.
            public_key: A file with an Ed25519 public key; the manifest must be signed by its holder then.

        Raises:
            BundleError: Anything at all is not as the manifest says, or the signature is not as wanted.
            InputError: `public_key` is not such a file.
        """
        path = Path(path)
        data, where = read_manifest(path), str(path / MANIFEST)
        if public_key is not None:
            from edge_asc.bundle.signing import verify

            verify(data, _signature(path), public_key=public_key, where=str(path))
        manifest = parse_manifest(parse_json(data, where=where), where=where)
        bundle = cls(path=path, fingerprint=hashlib.sha256(data).hexdigest()[:12], **vars(manifest))
        for entry in bundle.all_files():
            bundle.read(entry)
        return bundle

    def member_bytes(self, name: str, variant: str) -> bytes:
        """The .tflite file of a member.

        Raises:
            BundleError: The bundle has no such member or variant, or the file has changed since.
        """
        for member in self.members:
            if member.name == name:
                if variant not in member.files:
                    raise BundleError(f"{self.path}: member {name} has no variant {variant}",
                                      wanted=" or ".join(self.variants), fix="Choose one of these with --variant.")
                return self.read(member.files[variant])
        raise BundleError(f"{self.path}: no member {name}", found=", ".join(m.name for m in self.members))

    def golden(self) -> Golden:
        """The golden clip and every member's answers to it.

        Raises:
            BundleError: The file is damaged or belongs to other members, labels or features.
        """
        golden = Golden.from_bytes(self.read(self.files[GOLDEN]))
        rows, window = (len(self.members), len(self.labels)), (self.features.n_mels, self.features.n_frames)
        wanted = {"samples": (golden.samples.size,), "features": window, "probabilities": rows[1:],
                  **{f"outputs.{variant}": rows for variant in self.variants}}
        arrays = {"samples": golden.samples, "features": golden.features, "probabilities": golden.probabilities,
                  **{f"outputs.{variant}": values for variant, values in golden.outputs.items()}}
        found = {name: array.shape for name, array in arrays.items()}
        if found != wanted or any(array.dtype != np.float32 for array in arrays.values()):
            raise BundleError(f"{self.path / GOLDEN} does not fit the manifest", found=found, wanted=wanted,
                              fix="Make the bundle again.")
        return golden

    def audit(self) -> dict[str, Any]:
        """The audit that was made with the bundle."""
        values = parse_json(self.read(self.files[AUDIT]), where=str(self.path / AUDIT))
        if not isinstance(values, dict):
            raise BundleError(f"{self.path / AUDIT} is not a JSON object", fix=COPY_AGAIN)
        return values

    def model_card(self) -> str:
        """The model card, Markdown."""
        return self.read(self.files[MODEL_CARD]).decode(errors="replace")

    def read(self, entry: FileEntry) -> bytes:
        """The bytes of one of the bundle's files, checked against its size and hash."""
        where = self.path / entry.file
        try:
            return self._checked(where, entry)
        except OSError as error:
            raise BundleError(f"cannot read {where}: {error.strerror}", fix=READABLE) from error

    def _checked(self, where: Path, entry: FileEntry) -> bytes:
        if not where.resolve().is_relative_to(self.path.resolve()):
            raise BundleError(f"{where} leads out of the bundle", wanted="files below the bundle's folder",
                              fix=STRANGER)
        if not where.is_file():
            raise BundleError(f"{where} is missing, and an ensemble never votes with fewer members than it names"
                              if where.suffix == ".tflite" else f"{where} is missing", fix=COPY_AGAIN)
        n_bytes = where.stat().st_size
        if n_bytes != entry.n_bytes:
            raise BundleError(f"{where} has another size than the manifest says", found=f"{n_bytes} bytes",
                              wanted=f"{entry.n_bytes}", fix=COPY_AGAIN)
        data = where.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if digest != entry.sha256:
            raise BundleError(f"{where} has changed since the bundle was made", found=f"sha256 {digest[:12]}…",
                              wanted=f"{entry.sha256[:12]}…", fix=COPY_AGAIN)
        return data


def _signature(path: Path) -> bytes | None:
    if not (path / SIGNATURE).is_file():
        return None
    with (path / SIGNATURE).open("rb") as file:
        return file.read(4096)


def shipped_bundle() -> Path:
    """The bundle in the box.

    Raises:
        BundleError: This installation has none.
    """
    path = Path(edge_asc.__file__).parent / "assets" / "bundle"
    if not (path / MANIFEST).is_file():
        raise BundleError("this installation has no bundle in the box", wanted=str(path),
                          fix="Name a bundle with --bundle PATH; `edge-asc demo` makes one.")
    return path
