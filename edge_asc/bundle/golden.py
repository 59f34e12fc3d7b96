"""The golden clip of a bundle: samples, features and answers, by which any engine can be judged."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_asc.bundle.manifest import COPY_AGAIN, GOLDEN
from edge_asc.errors import BundleError

_MAX_UNPACKED_BYTES = 256 << 20


@dataclass(frozen=True, kw_only=True)
class Golden:
    """A clip and what every member answered to it where the bundle was made."""

    samples: NDArray[np.float32]
    """float32 [n], mono, at the bundle's sample rate."""
    features: NDArray[np.float32]
    """float32 [n_mels, n_frames], the first window of the clip."""
    outputs: Mapping[str, NDArray[np.float32]]
    """Variant -> float32 [n_members, n_labels], dequantised probabilities, members in the manifest's order."""
    probabilities: NDArray[np.float32]
    """float32 [n_labels], the ensemble's answer in the default variant."""
    deflate: bool = True
    """Whether the file is compressed by itself; one that is packed afterwards is smaller in the end if not."""

    def to_bytes(self) -> bytes:
        """The npz file; samples that 16 bits hold without loss are stored in 16 bits."""
        samples = np.ascontiguousarray(self.samples, dtype=np.float32)
        scaled = samples * np.float32(32768)
        if np.array_equal(scaled, np.clip(np.rint(scaled), -32768, 32767)):
            samples = scaled.astype(np.int16)
        arrays = {f"outputs.{variant}": np.asarray(values, np.float32) for variant, values in self.outputs.items()}
        arrays |= {"samples": samples, "features": np.asarray(self.features, np.float32),
                   "probabilities": np.asarray(self.probabilities, np.float32)}
        buffer = io.BytesIO()
        save = np.savez_compressed if self.deflate else np.savez
        save(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Golden:
        """The inverse of `to_bytes`. Nothing in the file is ever executed.

        Raises:
            BundleError: The file is no golden file, or unpacks to more than 256 MiB.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > _MAX_UNPACKED_BYTES:
                    raise BundleError(f"{GOLDEN} unpacks to more than {_MAX_UNPACKED_BYTES >> 20} MiB", fix=COPY_AGAIN)
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                samples = arrays["samples"]
                if samples.dtype == np.int16:
                    samples = samples.astype(np.float32) / np.float32(32768)
                outputs = {name.removeprefix("outputs."): arrays[name]
                           for name in arrays.files if name.startswith("outputs.")}
                return cls(samples=samples, features=arrays["features"], outputs=outputs,
                           probabilities=arrays["probabilities"])
        except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError,
                MemoryError) as error:
            raise BundleError(f"{GOLDEN} cannot be read: {error}", fix=COPY_AGAIN) from error
