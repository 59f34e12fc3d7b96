"""manifest.json as it stands on disk: what each key must be, and an error of its own for whatever is not.

A manifest may come from a stranger: its size, depth, keys, types and paths are all checked before use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from edge_asc.errors import BundleError, InputError
from edge_asc.spec import FeatureSpec

FORMAT_VERSION = 1
MANIFEST, GOLDEN, AUDIT, MODEL_CARD = "manifest.json", "golden.npz", "audit.json", "MODEL_CARD.md"
SIGNATURE = "manifest.sig"
"""Of manifest.json's bytes; in bundles that were signed."""
COPY_AGAIN = "Copy the bundle again from where it was made, or make it again."
READABLE = "Let whoever listens read the bundle's folder and every file below it."
_UPGRADE = "Upgrade edge-asc: pip install --upgrade edge-asc"
STRANGER = "Do not use this bundle unless you know who made it."
MAX_MANIFEST_BYTES = 1 << 20
_MAX_FILE_BYTES = 256 << 20
_MAX_DEPTH = 8
_TAKEN = (MANIFEST, SIGNATURE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of a bundle: its path below the bundle, its SHA-256 in hex and its size."""

    file: str
    sha256: str
    n_bytes: int


@dataclass(frozen=True, kw_only=True)
class MemberEntry:
    """One network of the ensemble, in one file per variant."""

    name: str
    architecture: str
    seed: int
    files: Mapping[str, FileEntry]
    n_parameters: int | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What manifest.json says."""

    labels: tuple[str, ...]
    """In the order of every member's output."""
    features: FeatureSpec
    members: tuple[MemberEntry, ...]
    default_variant: str
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    """golden.npz, audit.json and MODEL_CARD.md by name."""
    made: Mapping[str, Any] = field(default_factory=dict)
    """How, when and on what the bundle was made."""

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants that every member has, in the first member's order."""
        first, *others = (member.files for member in self.members)
        return tuple(variant for variant in first if all(variant in files for files in others))

    def all_files(self) -> list[FileEntry]:
        """Every file that the manifest names."""
        return [*self.files.values(), *(entry for member in self.members for entry in member.files.values())]

    def to_json(self) -> dict[str, Any]:
        """The content of manifest.json; `parse_manifest` is the inverse."""
        members = []
        for member in self.members:
            optional = {} if member.n_parameters is None else {"n_parameters": member.n_parameters}
            members.append({"name": member.name, "architecture": member.architecture, "seed": member.seed, **optional,
                            "files": {variant: asdict(entry) for variant, entry in member.files.items()}})
        return {"format_version": FORMAT_VERSION, "labels": list(self.labels), "features": self.features.to_json(),
                "members": members, "default_variant": self.default_variant,
                "files": {name: asdict(entry) for name, entry in self.files.items()}, "made": dict(self.made)}


def read_manifest(path: Path) -> bytes:
    """The bytes of the manifest of the bundle at `path`, as far as it can be one."""
    manifest = path / MANIFEST
    try:
        with manifest.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        found = "no such folder" if not path.exists() else "a file" if path.is_file() else f"no {MANIFEST} in it"
        raise BundleError(f"{path} is not a bundle", found=found, wanted=f"a folder with {MANIFEST}",
                          fix="Unpack it first, if it is a packed bundle: edge-asc bundle unpack FILE -o DIR"
                          if path.is_file() else "Give the folder that `edge-asc convert` or `edge-asc demo` made."
                          ) from error
    except OSError as error:
        raise BundleError(f"cannot read {manifest}: {error.strerror}", fix=READABLE) from error
    if len(data) > MAX_MANIFEST_BYTES:
        raise BundleError(f"{manifest} is too large for a manifest", wanted=f"at most {MAX_MANIFEST_BYTES} bytes",
                          fix=COPY_AGAIN)
    return data


def parse_json(data: bytes, *, where: str) -> object:
    """Decode JSON; `where` names it in messages."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where} is not readable JSON: {error}", fix=COPY_AGAIN) from error


def parse_manifest(values: object, *, where: str) -> Manifest:
    """Check the content of manifest.json; files are not looked at. `where` names it in messages.

    Raises:
        BundleError: A key is missing, unknown or of the wrong type, or the version is not this one.
    """
    top = _Keys(values, where)
    version = top.get("format_version", int)
    if version != FORMAT_VERSION:
        raise BundleError(f"{where}: a bundle format that this edge-asc cannot read", found=f"version {version}",
                          wanted=f"version {FORMAT_VERSION}", fix=_UPGRADE if version > FORMAT_VERSION else COPY_AGAIN)
    labels = top.get("labels", list)
    if not labels or not all(isinstance(label, str) and label for label in labels) or len(set(labels)) < len(labels):
        raise top.error("labels", found=repr(labels)[:200], wanted="distinct names")
    members = tuple(_parse_member(_Keys(member, f"{where}: member {index}"))
                    for index, member in enumerate(top.get("members", list)))
    names = [member.name for member in members]
    if not names or len(set(names)) < len(names):
        raise top.error("members", found=names or "none", wanted="at least one member, each with its own name")
    files_keys = _Keys(top.get("files", dict), f"{where}: files")
    files = {name: _parse_file(files_keys, name) for name in (GOLDEN, AUDIT, MODEL_CARD)}
    files_keys.done()
    manifest = Manifest(labels=tuple(labels), features=_parse_features(top), members=members, files=files,
                        default_variant=top.get("default_variant", str), made=top.get("made", dict))
    top.done()
    if manifest.default_variant not in manifest.variants:
        raise top.error("default_variant", found=repr(manifest.default_variant)[:80],
                        wanted=f"a variant that every member has ({', '.join(manifest.variants) or 'none'})")
    return manifest


def _parse_features(top: _Keys) -> FeatureSpec:
    values = top.get("features", dict)
    for default in fields(FeatureSpec):
        if isinstance(default.default, int) and type(values.get(default.name)) not in (int, type(None)):
            raise top.error(f"features, {default.name}", found=repr(values[default.name])[:80], wanted="a whole number")
    try:
        return FeatureSpec.from_json(values)
    except InputError as error:
        raise BundleError(f"{top.where}: {error}", fix=_UPGRADE) from error


def _parse_member(keys: _Keys) -> MemberEntry:
    name = keys.name("name")
    files_keys = _Keys(keys.get("files", dict), f"{keys.where} ({name})")
    files = {files_keys.checked(variant): _parse_file(files_keys, variant) for variant in list(files_keys.values)}
    member = MemberEntry(name=name, architecture=keys.get("architecture", str), seed=keys.get("seed", int), files=files,
                         n_parameters=keys.get("n_parameters", int) if "n_parameters" in keys.values else None)
    keys.done()
    return member


def _parse_file(parent: _Keys, name: str) -> FileEntry:
    keys = _Keys(parent.get(name, dict), f"{parent.where}, {name}")
    entry = FileEntry(file=keys.get("file", str), sha256=keys.get("sha256", str), n_bytes=keys.get("n_bytes", int))
    keys.done()
    parts = entry.file.split("/")
    if not all(_NAME.fullmatch(part) for part in parts) or len(parts) > _MAX_DEPTH:
        raise BundleError(f"{keys.where}: the path leads out of the bundle or has odd characters",
                          found=repr(entry.file)[:200], wanted="a relative path of plain names", fix=STRANGER)
    if entry.file in _TAKEN:
        raise keys.error("file", found=entry.file, wanted="the name of another file")
    if not re.fullmatch(r"[0-9a-f]{64}", entry.sha256):
        raise keys.error("sha256", found=repr(entry.sha256), wanted="64 hex digits")
    if not 0 <= entry.n_bytes <= _MAX_FILE_BYTES:
        raise keys.error("n_bytes", found=entry.n_bytes, wanted=f"0 to {_MAX_FILE_BYTES}")
    return entry


class _Keys:
    """A JSON object whose every key must be asked for: what is left over is an error."""

    def __init__(self, values: object, where: str) -> None:
        if not isinstance(values, dict):
            raise BundleError(f"{where} is not a JSON object", found=type(values).__name__, fix=COPY_AGAIN)
        self.values: dict[str, Any] = values
        self.where = where
        self._asked: set[str] = set()

    def get(self, key: str, kind: type) -> Any:
        self._asked.add(key)
        if key not in self.values:
            raise BundleError(f"{self.where} lacks the key {key!r}", fix=COPY_AGAIN)
        value = self.values[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(key, found=repr(value)[:80], wanted=kind.__name__)
        return value

    def name(self, key: str) -> str:
        return self.checked(self.get(key, str))

    def checked(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise BundleError(f"{self.where}: not a usable name", found=repr(name)[:80],
                              wanted="letters, digits, '.', '_' and '-'", fix=COPY_AGAIN)
        return name

    def done(self) -> None:
        if unknown := sorted(set(self.values) - self._asked):
            raise BundleError(f"{self.where} has keys that this edge-asc does not know", found=", ".join(unknown)[:200],
                              wanted=", ".join(sorted(self._asked)), fix=_UPGRADE)

    def error(self, key: str, *, found: object, wanted: str) -> BundleError:
        return BundleError(f"{self.where}: {key} cannot be used", found=found, wanted=wanted, fix=COPY_AGAIN)
