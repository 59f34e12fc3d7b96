"""An export on disk, as its export.json describes it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_asc import __version__
from edge_asc.bundle import Bundle
from edge_asc.errors import BundleError, InputError
from edge_asc.spec import FeatureSpec
from firmware_export.emit.levels import InputQuantization

EXPORT_JSON, SOURCES = "export.json", "src"
FORMAT_VERSION = 1
_NETWORK_TABLE = re.compile(r"asc_(m\d+_|plan\d+|model_(data|labels|members)$)")


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was exported, from what, and how its tensors are quantised."""

    folder: Path
    labels: tuple[str, ...]
    features: FeatureSpec
    members: tuple[str, ...]
    variant: str
    input: InputQuantization
    outputs: tuple[tuple[float, int], ...]
    """Scale and zero point of each member's output tensor."""
    bundle_path: str
    bundle_sha256: str
    """Of the bundle's manifest.json."""

    @classmethod
    def load(cls, folder: Path) -> Exported:
        """Read export.json.

        Raises:
            InputError: The folder is no export, or of another version.
        """
        path = folder / EXPORT_JSON
        try:
            values: dict[str, Any] = json.loads(path.read_text())
            if values["format_version"] != FORMAT_VERSION:
                raise InputError(f"{path} is of another version", found=values["format_version"], wanted=FORMAT_VERSION,
                                 fix="Export the bundle again.")
            return cls(folder=folder, labels=tuple(values["labels"]), members=tuple(values["members"]),
                       features=FeatureSpec.from_json(values["features"]), variant=values["variant"],
                       input=InputQuantization(**values["input"]),
                       outputs=tuple((output["scale"], output["zero_point"]) for output in values["outputs"]),
                       bundle_path=values["bundle"]["path"], bundle_sha256=values["bundle"]["sha256"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{folder} is not an export: {type(error).__name__} {error}",
                             wanted=f"a folder with {EXPORT_JSON}",
                             fix="Make one with: edge-asc firmware BUNDLE -o DIR") from error

    def to_json(self) -> dict[str, Any]:
        """The content of export.json; more keys may stand beside these."""
        return {"format_version": FORMAT_VERSION, "made_with": f"edge-asc {__version__}",
                "bundle": {"path": self.bundle_path, "sha256": self.bundle_sha256},
                "labels": list(self.labels), "members": list(self.members), "variant": self.variant,
                "input": {"scale": self.input.scale, "zero_point": self.input.zero_point},
                "outputs": [{"scale": scale, "zero_point": zero_point} for scale, zero_point in self.outputs],
                "features": self.features.to_json()}

    @property
    def source_folder(self) -> Path:
        """Where the C is."""
        return self.folder / SOURCES

    def sizes(self) -> dict[str, Any]:
        """Flash and RAM as they were counted at export, see sizes.py."""
        sizes: dict[str, Any] = json.loads((self.folder / EXPORT_JSON).read_text())["sizes"]
        return sizes

    def sources(self) -> list[Path]:
        """The C files."""
        return sorted(self.source_folder.glob("*.c"))

    @property
    def output_quantization(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scales and zero points, float32 [n_members] each."""
        scales, zero_points = zip(*self.outputs, strict=True)
        return np.array(scales, np.float32), np.array(zero_points, np.float32)

    def bundle(self, path: Path | None = None) -> Bundle:
        """The bundle that this was exported from.

        Args:
            path: Where it is now; by default where it was.

        Raises:
            BundleError: It is not there, or is another one.
        """
        where = path or Path(self.bundle_path)
        bundle = Bundle.load(where)
        if manifest_sha256(bundle) != self.bundle_sha256:
            raise BundleError(f"{where} is not the bundle that {self.folder} was exported from",
                              found=f"manifest {manifest_sha256(bundle)[:12]}…", wanted=f"{self.bundle_sha256[:12]}…",
                              fix="Give the right one with --bundle, or export again.")
        return bundle

    def is_network_table(self, symbol: str) -> bool:
        """Whether a symbol of the linked program is a table of the networks rather than of the front end."""
        return _NETWORK_TABLE.match(symbol) is not None


def manifest_sha256(bundle: Bundle) -> str:
    """What names a bundle: the hash of its manifest, which has the hashes of all its files."""
    return hashlib.sha256((bundle.path / "manifest.json").read_bytes()).hexdigest()


def provenance(what: str, *, bundle_sha256: str, command: str) -> str:
    """The C comment that opens a generated file: what it was made from, by which version and command."""
    origin = f"Generated by edge-asc {__version__} from the bundle with manifest sha256\n   {bundle_sha256}, {what}"
    typed = command.replace("*/", "* /").replace("/*", "/ *")
    return f"/* {origin}\n   Command: {typed} */" if command else f"/* {origin} */"
