"""The few numbers that training, the Pi and the C code must agree on, each written down once.

A `FeatureSpec` travels inside every bundle; the NumPy front end and the generated C constants both come from it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from edge_asc.errors import InputError

LABELS = ("indoor", "outdoor", "transportation")
"""The coarse labels of DCASE 2020 Task 1B, in the order of every output tensor."""


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """The log-mel front end (Ooi et al. 2020, section 2.1), with librosa's conventions for what the paper leaves out.

    Frames are not centred: frame i covers samples [i * hop_length, i * hop_length + n_fft). Bands follow the Slaney
    mel scale with Slaney area normalisation. The clamp `top_db` is applied last, over one whole window.
    """

    sample_rate_hz: int = 48_000
    n_fft: int = 2048
    """Samples per frame, also the length of the periodic Hann window."""
    hop_length: int = 1024
    """Samples between the starts of neighbouring frames."""
    n_mels: int = 48
    fmin_hz: float = 0.0
    fmax_hz: float = 24_000.0
    amin: float = 1e-10
    """Smallest power that is told apart from silence; -100 dB."""
    top_db: float | None = 80.0
    """Values further than this below the window's largest are raised to it; None leaves them."""
    n_frames: int = 467
    """Frames in one window: 10 s by default."""

    def __post_init__(self) -> None:
        for name in ("sample_rate_hz", "n_fft", "hop_length", "n_mels", "n_frames"):
            _require(getattr(self, name) >= 1, self, name, "at least 1")
        _require(self.n_fft >= 16 and self.n_fft & (self.n_fft - 1) == 0, self, "n_fft", "a power of two from 16")
        _require(self.hop_length <= self.n_fft, self, "hop_length", f"at most n_fft ({self.n_fft})")
        _require(0 <= self.fmin_hz < self.fmax_hz, self, "fmin_hz", f"from 0 to below fmax_hz ({self.fmax_hz})")
        nyquist_hz = self.sample_rate_hz / 2
        _require(self.fmax_hz <= nyquist_hz, self, "fmax_hz", f"at most half the sample rate ({nyquist_hz:g})")
        _require(self.amin > 0, self, "amin", "above 0")
        _require(self.top_db is None or self.top_db > 0, self, "top_db", "above 0, or none")

    @property
    def window_samples(self) -> int:
        """Samples that one window needs: 479232 by default, just under 10 s."""
        return self.n_fft + (self.n_frames - 1) * self.hop_length

    @property
    def window_s(self) -> float:
        """Length of one window in seconds."""
        return self.window_samples / self.sample_rate_hz

    def to_json(self) -> dict[str, object]:
        """A plain mapping, in the order of the fields."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> FeatureSpec:
        """The inverse of `to_json`. Every field must be there and no other.

        Raises:
            InputError: A key is missing or unknown, or a value is impossible.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        unknown, missing = sorted(set(values) - set(names)), [name for name in names if name not in values]
        if unknown or missing:
            raise InputError("the feature specification has other fields than this version knows",
                             found=f"unknown {unknown}, missing {missing}", wanted=", ".join(names))
        try:
            return cls(**values)  # type: ignore[arg-type]  # __post_init__ judges the values
        except TypeError as error:
            raise InputError(f"a feature specification value has the wrong type: {error}") from error

    def key(self) -> str:
        """Twelve hex digits that name this specification in a cache."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _require(ok: bool, spec: FeatureSpec, name: str, wanted: str) -> None:
    if not ok:
        raise InputError(f"impossible feature setting {name}", found=getattr(spec, name), wanted=wanted)
