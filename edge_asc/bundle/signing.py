"""Who made this bundle: an Ed25519 signature over manifest.json, which holds the hash of every other file.

Keys are PEM files and the signature is 64 raw bytes, as `openssl` reads and writes them too (RFC 8032, RFC 8410). A
signature says who, not when: an older bundle of the same maker passes as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_asc import atomic
from edge_asc.bundle.manifest import STRANGER
from edge_asc.errors import BundleError, InputError, MissingDependencyError

SIGNATURE_BYTES = 64
_MAX_KEY_BYTES = 1 << 16


def new_key_pair(path: str | Path) -> tuple[Path, Path]:
    """Make a key to sign with at `path` (mode 0600, no passphrase) and its public half at `path`.pub.

    Raises:
        InputError: One of the two is there already, and a key is never overwritten; or they cannot be written.
        MissingDependencyError: The extra `sign` is not installed.
    """
    ed25519, serialization, _ = _libraries()
    private_path, public_path = Path(path), Path(f"{path}.pub")
    for each in (private_path, public_path):
        if each.exists():
            raise InputError(f"{each} exists, and a key is never overwritten", fix="Choose another name.")
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM,
                                           serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        with os.fdopen(os.open(private_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(private)
        atomic.write_bytes(public_path, public)
    except OSError as error:
        # Half a pair would be in the way of the next attempt. It is ours: what was there before was refused above.
        if not isinstance(error, FileExistsError):
            private_path.unlink(missing_ok=True)
        raise InputError(f"cannot write the key {path}: {error.strerror}") from error
    return private_path, public_path


def sign(data: bytes, *, private_key: str | Path) -> bytes:
    """The signature of `data`, 64 bytes.

    Raises:
        InputError: The file is not an Ed25519 private key in PEM without a passphrase.
        MissingDependencyError: The extra `sign` is not installed.
    """
    ed25519, serialization, exceptions = _libraries()
    key = _key(private_key, lambda pem: serialization.load_pem_private_key(pem, password=None), exceptions)
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise InputError(f"{private_key} is no key to sign with", found=_found(key),
                         wanted="an Ed25519 private key, PEM, without a passphrase",
                         fix="Make one: edge-asc bundle keygen FILE")
    return bytes(key.sign(data))


def verify(data: bytes, signature: bytes | None, *, public_key: str | Path, where: str) -> None:
    """Return if `signature` is that of `data` by the holder of the key; `where` names the bundle in messages.

    Raises:
        BundleError: There is no signature, or it is by another key or of other bytes.
        InputError: The file is not an Ed25519 public key in PEM.
        MissingDependencyError: The extra `sign` is not installed.
    """
    ed25519, serialization, exceptions = _libraries()
    key = _key(public_key, serialization.load_pem_public_key, exceptions)
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise InputError(f"{public_key} is no key to check signatures with", found=_found(key),
                         wanted="an Ed25519 public key, PEM", fix="Give the .pub file of `edge-asc bundle keygen`.")
    if signature is None:
        raise BundleError(f"{where} is not signed", wanted=f"a signature by the holder of {public_key}", fix=STRANGER)
    try:
        key.verify(signature, data)
    except exceptions.InvalidSignature:
        raise BundleError(f"{where} is signed by another key than {public_key}, or was changed after signing",
                          fix=STRANGER) from None


def _libraries() -> tuple[Any, Any, Any]:
    try:
        from cryptography import exceptions
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingDependencyError.extra("signing bundles and checking signatures", "sign") from error
    return ed25519, serialization, exceptions


def _key(path: str | Path, load: Callable[[bytes], object], exceptions: Any) -> object:
    """The key in a file, or the reason why there is none."""
    try:
        with Path(path).open("rb") as file:
            pem = file.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise InputError(f"cannot read the key {path}: {error.strerror}") from error
    try:
        return load(pem)
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm) as error:
        return str(error)


def _found(key: object) -> str:
    return key.splitlines()[0][:120] if isinstance(key, str) and key else type(key).__name__
